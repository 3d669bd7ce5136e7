"""openai-python against the running gateway: chat, sync and async, streamed and not."""

import asyncio

import openai
import pytest
from tokenizers import Tokenizer

from deployments.demo_model import INT8
from tests.live.harness import MODEL, Sluice

SUM = [{"role": "user", "content": "What is 17 + 25?"}]
LONG = {"ignore_eos": True}


@pytest.fixture
def client(sluice: Sluice, key: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{sluice.url}/v1", api_key=key, max_retries=0, timeout=120)


@pytest.fixture
def async_client(sluice: Sluice, key: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{sluice.url}/v1", api_key=key, max_retries=0, timeout=120)


def test_a_sum_is_answered_and_its_usage_adds_up(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model=MODEL, messages=SUM, temperature=0)
    assert answer.choices[0].message.content == "17 + 25 = 42"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == MODEL
    assert answer.usage is not None
    assert answer.usage.prompt_tokens > 5
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_a_stream_says_the_same_as_the_whole_answer(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model=MODEL, messages=SUM, temperature=0, max_tokens=24)
    chunks = list(
        client.chat.completions.create(
            model=MODEL,
            messages=SUM,
            temperature=0,
            max_tokens=24,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == whole.choices[0].message.content
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == whole.choices[0].finish_reason
    assert chunks[0].choices[0].delta.role == "assistant"
    assert len({c.id for c in chunks}) == 1
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage


def test_a_stream_without_include_usage_tells_none(client: openai.OpenAI) -> None:
    chunks = list(client.chat.completions.create(model=MODEL, messages=SUM, max_tokens=4, stream=True))
    assert all(chunk.usage is None for chunk in chunks)
    assert all(chunk.choices for chunk in chunks)


async def test_many_async_streams_at_once_each_get_their_own_answer(async_client: openai.AsyncOpenAI) -> None:
    async def ask(a: int, b: int) -> str:
        text = ""
        stream = await async_client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": f"What is {a} + {b}?"}], temperature=0, stream=True
        )
        async for chunk in stream:
            text += chunk.choices[0].delta.content or ""
        return text

    pairs = [(10 + i, 60 - i) for i in range(24)]
    async with async_client:
        answers = await asyncio.gather(*(ask(a, b) for a, b in pairs))
    # Each question is repeated in its answer, so one stream's tokens in another would show; a sum may be wrong.
    assert [answer.partition(" = ")[0] for answer in answers] == [f"{a} + {b}" for a, b in pairs]


def test_a_system_prompt_is_obeyed(client: openai.OpenAI) -> None:
    messages = [
        {"role": "system", "content": "You are Grace, a helpful assistant."},
        {"role": "user", "content": "Who are you?"},
    ]
    answer = client.chat.completions.create(model=MODEL, messages=messages, temperature=0)  # type: ignore[arg-type]
    assert answer.choices[0].message.content == "I am Grace."


def test_what_was_said_before_is_remembered(client: openai.OpenAI) -> None:
    messages = [
        {"role": "user", "content": "My name is Anna."},
        {"role": "assistant", "content": "Nice to meet you, Anna!"},
        {"role": "user", "content": "What is my name?"},
    ]
    answer = client.chat.completions.create(model=MODEL, messages=messages, temperature=0)  # type: ignore[arg-type]
    assert answer.choices[0].message.content == "Your name is Anna."


def test_a_stop_string_ends_the_answer_before_it(client: openai.OpenAI) -> None:
    choice = client.chat.completions.create(model=MODEL, messages=SUM, temperature=0, stop=[" ="]).choices[0]
    assert (choice.message.content, choice.finish_reason) == ("17 + 25", "stop")


def test_max_tokens_cuts_and_says_so(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model=MODEL, messages=SUM, max_tokens=3, extra_body=LONG)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 3


def test_n_gives_that_many_choices_streamed_too(client: openai.OpenAI) -> None:
    ask = {"model": MODEL, "messages": SUM, "n": 2, "max_tokens": 6, "extra_body": LONG}
    answer = client.chat.completions.create(**ask)
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 12
    chunks = list(client.chat.completions.create(**ask, stream=True))
    ends = [chunk.choices[0].index for chunk in chunks if chunk.choices[0].finish_reason]
    assert sorted(ends) == [0, 1]


def test_the_same_seed_gives_the_same_text(client: openai.OpenAI) -> None:
    def draw(seed: int) -> str:
        answer = client.chat.completions.create(
            model=MODEL, messages=SUM, seed=seed, temperature=2.0, max_tokens=24, extra_body=LONG
        )
        return answer.choices[0].message.content or ""

    assert draw(7) == draw(7)
    assert len({draw(seed) for seed in range(4)}) > 1


def test_logprobs_are_given_as_far_as_they_are_allowed(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model=MODEL, messages=SUM, temperature=0, max_tokens=4, logprobs=True, top_logprobs=5, extra_body=LONG
    )
    assert answer.choices[0].logprobs is not None
    content = answer.choices[0].logprobs.content or []
    assert len(content) == 4
    assert all(len(token.top_logprobs) >= 5 and token.logprob <= 0 for token in content)
    with pytest.raises(openai.BadRequestError, match="top_logprobs"):
        client.chat.completions.create(model=MODEL, messages=SUM, logprobs=True, top_logprobs=6)


def test_logit_bias_is_honoured(client: openai.OpenAI) -> None:
    token = Tokenizer.from_file(str(INT8 / "tokenizer.json")).token_to_id("z")
    answer = client.chat.completions.create(
        model=MODEL, messages=SUM, temperature=0, max_tokens=6, extra_body=LONG, logit_bias={str(token): 100}
    )
    assert answer.choices[0].message.content == "zzzzzz"
