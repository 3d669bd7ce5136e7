"""vLLM's Hermes parser reads what the model is taught to write, whole and token by token."""

import json
from random import Random
from typing import Any

import pytest
from transformers import AutoTokenizer
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.tool_parsers.hermes_tool_parser import Hermes2ProToolParser

from deployments.demo_model import BF16
from deployments.demo_model.dialogue import Message
from deployments.demo_model.rendering import body
from deployments.demo_model.tool_dialogues import parallel_calls, tool_call

TOKENIZER = AutoTokenizer.from_pretrained(BF16)
REQUEST = ChatCompletionRequest(messages=[{"role": "user", "content": "-"}], model="demo")
TURNS = [
    next(message for message in make(Random(seed), "test").messages if message.tool_calls)
    for seed in range(12)
    for make in (tool_call, parallel_calls)
]


def calls(message: Message) -> list[tuple[str, Any]]:
    return [(call.name, call.arguments) for call in message.tool_calls]


@pytest.mark.parametrize("message", TURNS)
def test_whole_answers(message: Message) -> None:
    read = Hermes2ProToolParser(TOKENIZER).extract_tool_calls(body(message), REQUEST)
    assert read.tools_called
    assert not read.content
    assert [(call.function.name, json.loads(call.function.arguments)) for call in read.tool_calls] == calls(message)


@pytest.mark.parametrize("message", TURNS)
def test_streams(message: Message) -> None:
    parser, ids = Hermes2ProToolParser(TOKENIZER), TOKENIZER.encode(body(message))
    names: list[str] = []
    arguments: list[str] = []
    before = ""
    for end in range(1, len(ids) + 1):
        now = TOKENIZER.decode(ids[:end], skip_special_tokens=True)
        delta = parser.extract_tool_calls_streaming(
            before, now, now[len(before) :], ids[: end - 1], ids[:end], ids[end - 1 : end], REQUEST
        )
        before = now
        for part in delta.tool_calls if delta else ():
            if part.function.name:
                names.append(part.function.name)
                arguments.append("")
            arguments[part.index] += part.function.arguments or ""
    assert list(zip(names, map(json.loads, arguments), strict=True)) == calls(message)


def test_a_plain_answer_is_content() -> None:
    read = Hermes2ProToolParser(TOKENIZER).extract_tool_calls("Hello! How can I help you?", REQUEST)
    assert not read.tools_called
    assert read.content == "Hello! How can I help you?"
