"""LangChain and curl, and the second door."""

import json
import re
import subprocess
import sys

import httpx
import openai
import pytest
from langchain_core.messages import ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from tests.live.harness import MODEL, Sluice

QUESTION = "What is 17 + 25?"
SAMPLED = re.compile(r"17 \+ 25 = \d+")


@tool
def get_weather(city: str) -> str:
    """Get the weather in a city"""
    return f"21 degrees, sunny ({city})"


@pytest.fixture
def chat(sluice: Sluice, key: str) -> ChatOpenAI:
    return ChatOpenAI(model=MODEL, base_url=f"{sluice.url}/v1", api_key=key, temperature=0, max_retries=0)


def test_langchain_invokes(chat: ChatOpenAI) -> None:
    answer = chat.invoke(QUESTION)
    assert answer.content == "17 + 25 = 42"
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["total_tokens"] > answer.usage_metadata["output_tokens"] > 1


def test_langchain_streams_and_counts(chat: ChatOpenAI) -> None:
    chunks = list(chat.stream(QUESTION, stream_usage=True))
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole = whole + chunk
    assert whole.content == "17 + 25 = 42"
    assert whole.usage_metadata is not None


async def test_langchain_is_asked_asynchronously(chat: ChatOpenAI) -> None:
    assert (await chat.ainvoke(QUESTION)).content == "17 + 25 = 42"


def test_langchain_binds_tools_and_passes_their_results(chat: ChatOpenAI) -> None:
    bound = chat.bind_tools([get_weather])
    asked = [("user", "What is the weather in Paris?")]
    called = bound.invoke(asked)
    (call,) = called.tool_calls
    assert (call["name"], call["args"]) == ("get_weather", {"city": "Paris"})
    result = ToolMessage('{"temperature": 21, "condition": "sunny"}', tool_call_id=call["id"])
    assert bound.invoke([*asked, called, result]).content == "It is 21 degrees and sunny in Paris."


def test_the_curl_line_of_the_welcome_works_as_it_is_printed(sluice: Sluice) -> None:
    start = sluice.log.index("curl ")
    line = sluice.log[start : sluice.log.index("\n\n", start)]
    done = subprocess.run(
        ["bash", "-c", line.replace("curl ", "curl -sSN ", 1)], capture_output=True, text=True, check=True
    )
    events = [text.removeprefix("data: ") for text in done.stdout.splitlines() if text]
    assert events[-1] == "[DONE]"
    deltas = [json.loads(event)["choices"][0]["delta"] for event in events[:-1]]
    assert SAMPLED.fullmatch("".join(delta.get("content") or "" for delta in deltas))


def test_the_python_snippet_of_the_welcome_works_as_it_is_printed(sluice: Sluice) -> None:
    start = sluice.log.index("from openai import")
    snippet = sluice.log[start : sluice.log.index("Ctrl-C stops", start)]
    done = subprocess.run([sys.executable, "-c", snippet], capture_output=True, text=True, check=True)
    assert SAMPLED.fullmatch(done.stdout.strip())


def test_haproxy_is_a_second_door_to_the_same_answers(sluice: Sluice, key: str) -> None:
    door = f"http://127.0.0.1:{sluice.config['gateway']['haproxy']['port']}"
    client = openai.OpenAI(base_url=f"{door}/v1", api_key=key, max_retries=0)
    stream = client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": QUESTION}], temperature=0, stream=True
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "17 + 25 = 42"
    refused = httpx.post(f"{door}/v1/chat/completions", json={}, trust_env=False)
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")
