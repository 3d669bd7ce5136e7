"""The words of the conventions: every name is one of theirs or begins with ours, and content is whole JSON, redacted."""

import importlib
import json
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.semconv._incubating import attributes as incubating

from gateway.telemetry.content import MOST_CHARS, MOST_STOP_CHARS, MOST_TOGETHER, stop_sequences
from gateway.telemetry.genai import REQUEST, content_attributes, genai_attributes, http_attributes
from gateway.telemetry.record import Outcome, RequestRecord
from gateway.telemetry.waterfall import Node, waterfall
from tests.gateway.telemetry.records import leg, record

CHAT = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [{"type": "text", "text": "my card:\n4111111111111111"}, {"type": "image", "n": 1}],
        },
        {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": '{"to": "a@b.org"}'}}]},
        {"role": "tool", "tool_call_id": "c", "content": "done"},
    ],
    "stop": ["END", "write to a@b.org"],
    "n": 2,
    "response_format": {"type": "json_object"},
    "stream": True,
    **{name: 1 for name in REQUEST if name != "stream"},
}


def asked(body: dict[str, Any], answer: str = "yes", path: str = "/v1/chat/completions") -> RequestRecord:
    return record(leg(), body=body, decode=lambda _: answer, path=path)


def conventional() -> set[str]:
    names: set[str] = set()
    for module in pkgutil.iter_modules(incubating.__path__):
        found = importlib.import_module(f"{incubating.__name__}.{module.name}")
        names |= {value for name, value in vars(found).items() if name.isupper() and isinstance(value, str)}
    return names


def spans(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from spans(child)


def test_every_attribute_is_of_the_conventions_or_ours() -> None:
    made = asked(CHAT | {"instructions": "Be kind."})
    made.outcome, made.error, made.guard = Outcome.ERROR, "engine_lost", "throttle"
    told = http_attributes(made) | genai_attributes(made) | content_attributes(made)
    tree = list(spans(waterfall(made)))
    names = {*told, *(name for node in tree for name in node.attributes)}
    names |= {name for node in tree for moment in node.events for name in moment.attributes}
    assert len(names) > 35
    assert {name for name in names if not name.startswith("sluice.")} <= conventional()


def test_numbers_are_of_the_conventions_types_however_a_client_writes_them() -> None:
    """A backend that has seen one as a double may refuse it as an integer."""
    told = genai_attributes(asked(CHAT | {"temperature": 0, "top_p": 1, "top_k": 40, "seed": 7}))
    doubles = ("temperature", "top_p", "top_k", "frequency_penalty", "presence_penalty")
    assert {type(told[f"gen_ai.request.{name}"]) for name in doubles} == {float}
    assert {type(told[f"gen_ai.request.{name}"]) for name in ("seed", "max_tokens", "choice.count")} == {int}
    assert told["gen_ai.request.stream"] is True


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"response_format": {"type": "json_schema"}}),
        ("/v1/responses", {"text": {"format": {"type": "json_schema"}}}),
        ("/v1/messages", {"output_config": {"format": {"type": "json_schema"}}}),
    ],
)
def test_every_route_has_its_own_word_for_the_kind_of_answer(path: str, body: dict[str, Any]) -> None:
    assert genai_attributes(asked(body, path=path))["gen_ai.output.type"] == "json"
    assert "gen_ai.output.type" not in genai_attributes(asked({}, path=path))


def test_a_request_over_tls_says_so() -> None:
    assert http_attributes(record(scheme="https"))["url.scheme"] == "https"


def test_stop_sequences_are_texts_and_told_with_the_content_alone() -> None:
    made = asked(CHAT)
    assert "gen_ai.request.stop_sequences" not in genai_attributes(made)
    assert content_attributes(made)["gen_ai.request.stop_sequences"] == ("END", "write to [email]")
    (told,) = stop_sequences({"stop": "1_ " * 100_000})
    assert len(told) <= MOST_STOP_CHARS + 1


def test_messages_have_roles_parts_and_the_reason_of_their_end() -> None:
    told = content_attributes(asked(CHAT, "write to a@b.org"))
    assert json.loads(told["gen_ai.input.messages"]) == [
        {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]},
        {"role": "user", "parts": [{"type": "text", "content": "my card:\n[card]"}, {"type": "image", "n": 1}]},
        {
            "role": "assistant",
            "parts": [{"type": "tool_call", "id": "c", "name": "f", "arguments": '{"to": "[email]"}'}],
        },
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c", "response": "done"}]},
    ]
    (answer,) = json.loads(told["gen_ai.output.messages"])
    assert answer == {
        "role": "assistant",
        "parts": [{"type": "text", "content": "write to [email]"}],
        "finish_reason": "stop",
    }


@pytest.mark.parametrize("name", ["system", "instructions"])
def test_instructions_beside_the_messages_have_an_attribute_of_their_own(name: str) -> None:
    told = content_attributes(asked({name: "Mail a@b.org.", "input": "Hello"}, path="/v1/responses"))
    assert json.loads(told["gen_ai.system_instructions"]) == [{"type": "text", "content": "Mail [email]."}]
    assert json.loads(told["gen_ai.input.messages"]) == [
        {"role": "user", "parts": [{"type": "text", "content": "Hello"}]}
    ]


@pytest.mark.parametrize(("prompt", "messages"), [("a", 1), (["a", "b"], 2), ([1, 2, 3], 1)])
def test_prompts_are_messages_of_the_user(prompt: object, messages: int) -> None:
    told = json.loads(content_attributes(asked({"prompt": prompt}, path="/v1/completions"))["gen_ai.input.messages"])
    assert [one["role"] for one in told] == ["user"] * messages


def test_what_is_too_long_is_cut_text_by_text_and_the_latest_is_told() -> None:
    texts = ['"' * (MOST_CHARS + 5), *(f"{number} " + "x" * MOST_CHARS for number in range(6))]
    body = {"messages": [{"role": "user", "content": text} for text in texts]}
    told = json.loads(content_attributes(asked(body))["gen_ai.input.messages"])
    contents = [one["parts"][0]["content"] for one in told]
    assert [content[0] for content in contents] == ["2", "3", "4", "5"]
    assert sum(map(len, contents)) <= MOST_TOGETHER + 10
    assert all(content.endswith("…") for content in contents)


def test_a_card_that_a_cut_would_halve_is_taken_out_first() -> None:
    body = {"messages": [{"role": "user", "content": "x" * (MOST_CHARS - 40) + " card 4111 1111 1111 1111"}]}
    assert "4111" not in content_attributes(asked(body))["gen_ai.input.messages"]


def test_what_is_too_long_and_no_text_tells_its_type_alone() -> None:
    body = {"messages": [{"role": "user", "content": [{"type": "image", "data": "A" * (MOST_CHARS + 1)}]}]}
    (told,) = json.loads(content_attributes(asked(body))["gen_ai.input.messages"])
    assert told["parts"] == [{"type": "image", "content": "…"}]
