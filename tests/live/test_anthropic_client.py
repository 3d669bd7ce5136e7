"""Anthropic's SDK against /v1/messages."""

import anthropic
import pytest

from tests.live.harness import MODEL, Sluice

SUM = [{"role": "user", "content": "What is 17 + 25?"}]
WEATHER = {
    "name": "get_weather",
    "description": "Get the weather in a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
GREEDY = {"temperature": 0}  # the SDK has no argument for it any more
ASKED = {"role": "user", "content": "What is the weather in Paris?"}


@pytest.fixture
def client(sluice: Sluice, key: str) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=sluice.url, api_key=key, max_retries=0, timeout=120)


def text_of(message: anthropic.types.Message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def test_a_message_is_answered(client: anthropic.Anthropic) -> None:
    message = client.messages.create(model=MODEL, max_tokens=64, messages=SUM, extra_body=GREEDY)
    assert (message.role, message.stop_reason, text_of(message)) == ("assistant", "end_turn", "17 + 25 = 42")
    assert message.usage.input_tokens > 5
    assert message.usage.output_tokens > 1


def test_a_streamed_message_ends_up_the_same(client: anthropic.Anthropic) -> None:
    whole = client.messages.create(model=MODEL, max_tokens=24, messages=SUM, extra_body=GREEDY)
    with client.messages.stream(model=MODEL, max_tokens=24, messages=SUM, extra_body=GREEDY) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == text_of(final) == text_of(whole)
    assert final.stop_reason == whole.stop_reason
    assert final.usage.output_tokens == whole.usage.output_tokens


def test_a_system_prompt_is_obeyed(client: anthropic.Anthropic) -> None:
    message = client.messages.create(
        model=MODEL,
        max_tokens=32,
        system="You are Grace, a helpful assistant.",
        messages=[{"role": "user", "content": "Who are you?"}],
        extra_body=GREEDY,
    )
    assert text_of(message) == "I am Grace."


def test_max_tokens_and_stop_sequences_are_told_apart(client: anthropic.Anthropic) -> None:
    cut = client.messages.create(model=MODEL, max_tokens=2, messages=SUM, extra_body=GREEDY)
    assert cut.stop_reason == "max_tokens"
    stopped = client.messages.create(model=MODEL, max_tokens=32, messages=SUM, extra_body=GREEDY, stop_sequences=[" ="])
    assert (stopped.stop_reason, text_of(stopped)) == ("stop_sequence", "17 + 25")


def test_a_tool_is_used_and_its_result_told(client: anthropic.Anthropic) -> None:
    first = client.messages.create(model=MODEL, max_tokens=100, messages=[ASKED], tools=[WEATHER], extra_body=GREEDY)
    assert first.stop_reason == "tool_use"
    (use,) = [block for block in first.content if block.type == "tool_use"]
    assert (use.name, use.input) == ("get_weather", {"city": "Paris"})

    result = {"type": "tool_result", "tool_use_id": use.id, "content": '{"temperature": 21, "condition": "sunny"}'}
    turns = [ASKED, {"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
    then = client.messages.create(model=MODEL, max_tokens=100, messages=turns, tools=[WEATHER], extra_body=GREEDY)
    assert text_of(then) == "It is 21 degrees and sunny in Paris."


def test_a_tool_use_streams(client: anthropic.Anthropic) -> None:
    with client.messages.stream(
        model=MODEL,
        max_tokens=100,
        messages=[ASKED],
        tools=[WEATHER],
        extra_body=GREEDY,
    ) as stream:
        final = stream.get_final_message()
    uses = [(block.name, block.input) for block in final.content if block.type == "tool_use"]
    assert (uses, final.stop_reason) == ([("get_weather", {"city": "Paris"})], "tool_use")


def test_errors_come_in_anthropics_shape(client: anthropic.Anthropic, sluice: Sluice) -> None:
    with pytest.raises(anthropic.NotFoundError) as missing:
        client.messages.create(model="nobody", max_tokens=5, messages=SUM)
    body = missing.value.body
    assert isinstance(body, dict)
    assert (body["type"], body["error"]["type"]) == ("error", "not_found_error")
    stranger = anthropic.Anthropic(base_url=sluice.url, api_key="sk-wrong", max_retries=0)
    with pytest.raises(anthropic.AuthenticationError):
        stranger.messages.create(model=MODEL, max_tokens=5, messages=SUM)
    with pytest.raises(anthropic.BadRequestError, match="max_tokens"):
        client.messages.create(model=MODEL, max_tokens=-1, messages=SUM)
