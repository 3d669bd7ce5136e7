"""Tool calls through openai-python: chosen by the model, forced, streamed, several at once, and the way back."""

import json

import openai
import pytest

from tests.live.harness import MODEL, Sluice

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather in a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
ASKED = {"role": "user", "content": "What is the weather in Paris?"}


@pytest.fixture
def client(sluice: Sluice, key: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{sluice.url}/v1", api_key=key, max_retries=0, timeout=120)


def test_the_model_calls_a_tool_and_makes_an_answer_of_its_result(client: openai.OpenAI) -> None:
    first = client.chat.completions.create(model=MODEL, messages=[ASKED], tools=[WEATHER], temperature=0)
    choice = first.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.tool_calls is not None
    (call,) = choice.message.tool_calls
    assert call.type == "function"
    assert (call.function.name, json.loads(call.function.arguments)) == ("get_weather", {"city": "Paris"})

    result = {"role": "tool", "tool_call_id": call.id, "content": '{"temperature": 21, "condition": "sunny"}'}
    then = client.chat.completions.create(
        model=MODEL,
        messages=[ASKED, choice.message, result],
        tools=[WEATHER],
        temperature=0,
    )
    assert then.choices[0].message.content == "It is 21 degrees and sunny in Paris."
    assert not then.choices[0].message.tool_calls


def test_a_streamed_call_arrives_in_parts_that_fit_together(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model=MODEL,
        messages=[ASKED],
        tools=[WEATHER],
        temperature=0,
        stream=True,
    )
    name, arguments, finish, text = "", "", None, ""
    for chunk in stream:
        delta = chunk.choices[0].delta
        text += delta.content or ""
        finish = chunk.choices[0].finish_reason or finish
        for part in delta.tool_calls or ():
            assert part.index == 0
            assert part.function is not None
            name += part.function.name or ""
            arguments += part.function.arguments or ""
    assert (name, json.loads(arguments), finish) == ("get_weather", {"city": "Paris"}, "tool_calls")
    assert "tool_call" not in text


def test_two_cities_are_two_calls(client: openai.OpenAI) -> None:
    asked = {"role": "user", "content": "What is the weather in Paris and Tokyo?"}
    answer = client.chat.completions.create(model=MODEL, messages=[asked], tools=[WEATHER], temperature=0)
    calls = answer.choices[0].message.tool_calls or []
    assert [json.loads(call.function.arguments)["city"] for call in calls] == ["Paris", "Tokyo"]
    assert len({call.id for call in calls}) == 2


def test_a_named_tool_is_called_whatever_was_asked(client: openai.OpenAI) -> None:
    """The grammar enforces it, so it holds for any model."""
    answer = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "Hello"}],
        tools=[WEATHER],
        tool_choice={"type": "function", "function": {"name": "get_weather"}},
        temperature=0,
        max_tokens=200,
    )
    (call,) = answer.choices[0].message.tool_calls or []
    assert call.function.name == "get_weather"


def test_a_tool_can_be_required(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model=MODEL,
        messages=[ASKED],
        tools=[WEATHER],
        tool_choice="required",
        temperature=0,
        max_tokens=200,
    )
    calls = answer.choices[0].message.tool_calls or []
    assert [call.function.name for call in calls] == ["get_weather"]


def test_tools_need_not_be_used(client: openai.OpenAI) -> None:
    asked = {"role": "user", "content": "Hello!"}
    answer = client.chat.completions.create(model=MODEL, messages=[asked], tools=[WEATHER], temperature=0)
    assert answer.choices[0].message.content == "Hello! How can I help you?"
    forbidden = client.chat.completions.create(
        model=MODEL,
        messages=[ASKED],
        tools=[WEATHER],
        tool_choice="none",
        temperature=0,
        max_tokens=60,
    )
    assert not forbidden.choices[0].message.tool_calls
