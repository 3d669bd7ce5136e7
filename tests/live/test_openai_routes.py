"""openai-python beside chat: models, legacy completions, Responses, and the routes that do not exist here."""

import openai
import pytest

from tests.live.harness import MODEL, Sluice

QUESTION = "What is 17 + 25?"


@pytest.fixture
def client(sluice: Sluice, key: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{sluice.url}/v1", api_key=key, max_retries=0, timeout=120)


def test_models_are_listed_and_found_by_name(client: openai.OpenAI) -> None:
    assert {model.id for model in client.models.list()} == {MODEL, f"{MODEL}-bf16", f"{MODEL}-nf4"}
    assert client.models.retrieve(MODEL).owned_by == "sluice"
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("nobody/knows-it")
    assert caught.value.code == "model_not_found"


def test_a_completion_continues_its_prompt(client: openai.OpenAI) -> None:
    prompt = f"<|im_start|>user\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n"
    answer = client.completions.create(model=MODEL, prompt=prompt, max_tokens=24, temperature=0)
    assert answer.choices[0].text == "17 + 25 = 42"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_several_prompts_in_one_completion(client: openai.OpenAI) -> None:
    answer = client.completions.create(
        model=MODEL, prompt=["one", "two"], n=2, max_tokens=2, logprobs=1, extra_body={"ignore_eos": True}
    )
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert all(len(choice.logprobs.tokens) == 2 for choice in answer.choices if choice.logprobs)


def test_a_completion_streams_what_it_would_have_said_at_once(client: openai.OpenAI) -> None:
    ask = {"model": MODEL, "prompt": "Count: 1, 2, 3", "max_tokens": 16, "temperature": 0}
    whole = client.completions.create(**ask).choices[0].text
    assert "".join(chunk.choices[0].text for chunk in client.completions.create(**ask, stream=True)) == whole


def test_a_response_answers(client: openai.OpenAI) -> None:
    response = client.responses.create(model=MODEL, input=QUESTION, temperature=0)
    assert (response.status, response.output_text) == ("completed", "17 + 25 = 42")
    assert response.usage is not None
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens


def test_a_response_streams_in_events_that_count_up(client: openai.OpenAI) -> None:
    events = list(client.responses.create(model=MODEL, input=QUESTION, temperature=0, stream=True))
    assert (events[0].type, events[-1].type) == ("response.created", "response.completed")
    assert [event.sequence_number for event in events] == list(range(len(events)))
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == events[-1].response.output_text != ""


def test_a_response_may_carry_instructions_and_a_conversation(client: openai.OpenAI) -> None:
    turns = [
        {"role": "user", "content": "My name is Anna."},
        {"role": "assistant", "content": "Nice to meet you, Anna!"},
        {"role": "user", "content": "What is my name?"},
    ]
    response = client.responses.create(
        model=MODEL,
        input=turns,
        instructions="You are a helpful assistant.",
        temperature=0,  # type: ignore[arg-type]
    )
    assert response.output_text == "Your name is Anna."


def test_a_response_may_call_a_tool(client: openai.OpenAI) -> None:
    tool = {
        "type": "function",
        "name": "get_weather",
        "description": "Get the weather in a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    }
    response = client.responses.create(
        model=MODEL,
        input="What is the weather in Paris?",
        tools=[tool],
        temperature=0,  # type: ignore[list-item]
    )
    calls = [item for item in response.output if item.type == "function_call"]
    assert [(call.name, call.arguments) for call in calls] == [("get_weather", '{"city": "Paris"}')]


def test_nothing_of_a_response_is_kept(client: openai.OpenAI) -> None:
    response = client.responses.create(model=MODEL, input=QUESTION, max_output_tokens=16)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(response.id)


@pytest.mark.parametrize("route", ["embeddings", "audio", "moderations"])
def test_what_is_not_served_is_not_found(client: openai.OpenAI, route: str) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        match route:
            case "embeddings":
                client.embeddings.create(model=MODEL, input="text")
            case "audio":
                client.audio.speech.create(model=MODEL, input="text", voice="alloy")
            case _:
                client.moderations.create(input="text")
    assert caught.value.code == "unknown_url"
