"""The texts of a request: every place in which a client can put words, and none in which there are only names."""

import pytest

from gateway.guard.observation import LONGEST, shortened
from gateway.http.conversation import MOST, messages_of


def test_texts_are_found_in_every_kind_of_content() -> None:
    told = messages_of(
        "/v1/messages",
        {
            "system": [{"type": "text", "text": "S"}],
            "tools": [{"name": "T", "input_schema": {"properties": {"P": {"type": "string"}}}}],
            "messages": [
                {"role": "user", "content": "U"},
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "H", "signature": "no"},
                        {"type": "tool_use", "id": "no", "name": "N", "input": {"I": 1}},
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": "no", "content": [{"type": "text", "text": "R"}]},
                        {"type": "text", "text": "X"},
                    ],
                },
            ],
        },
    )
    assert [role for role, _ in told] == ["tools", "system", "user", "assistant", "user"]
    assert told[1:] == (("system", "S"), ("user", "U"), ("assistant", 'H\nN\n{"I":1}'), ("user", "R\nX"))
    assert "P" in told[0][1]
    assert "no" not in str(told)


def test_items_without_a_role_are_the_models_or_its_tools() -> None:
    told = messages_of(
        "/v1/responses",
        {
            "instructions": "S",
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "U"}]},
                {"type": "reasoning", "id": "no", "content": [{"type": "reasoning_text", "text": "H"}]},
                {"type": "function_call", "call_id": "no", "name": "N", "arguments": "A"},
                {"type": "function_call_output", "call_id": "no", "output": "O"},
                {"type": "custom_tool_call_output", "call_id": "no", "output": [{"type": "input_text", "text": "Q"}]},
            ],
        },
    )
    assert told == (
        ("system", "S"),
        ("user", "U"),
        ("assistant", "H"),
        ("assistant", "N\nA"),
        ("tool", "O"),
        ("tool", "Q"),
    )


def test_a_prompt_is_a_users_message() -> None:
    assert messages_of("/v1/completions", {"prompt": "How?"}) == (("user", "How?"),)
    assert messages_of("/v1/completions", {}) == ()


@pytest.mark.parametrize("length", [LONGEST + 1, 5_000, 1_000_000])
def test_a_long_text_is_bounded_and_each_of_its_characters_makes_it_another(length: int) -> None:
    text = "word " * (length // 5 + 1)
    short = shortened(text)
    assert len(short) <= LONGEST
    assert shortened(short) == short
    for place in (0, length // 3, length // 2, length - 1):
        assert shortened(text[:place] + "#" + text[place + 1 :]) != short


def test_of_a_long_conversation_the_older_part_is_one_number() -> None:
    messages = [{"role": "user", "content": str(number)} for number in range(1000)]
    told = messages_of("/v1/chat/completions", {"messages": messages})
    assert MOST <= len(told) <= 2 * MOST
    assert told[0][0] == "history"
    assert told[-1] == ("user", "999")
    messages[3]["content"] = "other"
    assert messages_of("/v1/chat/completions", {"messages": messages})[0] != told[0]
