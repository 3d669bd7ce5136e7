"""The chat template: the same text as training saw, tolerant of what clients send, and readable by vLLM."""

from random import Random
from typing import Any

import pytest
from transformers import AutoTokenizer

from deployments.demo_model import BF16
from deployments.demo_model.cases import openai
from deployments.demo_model.mixture import sample
from deployments.demo_model.rendering import text

TOKENIZER = AutoTokenizer.from_pretrained(BF16)
ADD = {
    "type": "function",
    "function": {"name": "add", "parameters": {"type": "object", "properties": {}, "required": []}, "strict": None},
}


def render(messages: list[dict[str, Any]], **options: Any) -> str:
    rendered = TOKENIZER.apply_chat_template(messages, tokenize=False, **options)
    assert isinstance(rendered, str)
    return rendered


def test_it_renders_what_training_saw() -> None:
    rng = Random(13)
    for _ in range(200):
        dialogue = sample(rng, "train")
        messages = [openai(message) for message in dialogue.messages]
        assert render(messages, tools=list(dialogue.tools) or None) == text(dialogue)


def test_the_generation_prompt_opens_an_assistant_turn() -> None:
    assert render([{"role": "user", "content": "Hi"}], add_generation_prompt=True) == (
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )


def test_content_may_be_a_list_of_text_parts() -> None:
    parts = [{"type": "text", "text": "one"}, {"type": "image_url"}, {"type": "text", "text": "two"}]
    assert render([{"role": "user", "content": parts}]) == render([{"role": "user", "content": "one\ntwo"}])


@pytest.mark.parametrize("role", ["developer", "critic"])
def test_unknown_roles_are_instructions(role: str) -> None:
    assert render([{"role": role, "content": "Be brief."}]) == render([{"role": "system", "content": "Be brief."}])


@pytest.mark.parametrize("arguments", [{"city": "Köln"}, '{"city": "Köln"}'])
def test_arguments_may_be_an_object_or_its_json(arguments: Any) -> None:
    call = {"id": "x", "type": "function", "function": {"name": "get_weather", "arguments": arguments}}
    rendered = render([{"role": "assistant", "content": None, "tool_calls": [call, call]}])
    one = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Köln"}}\n</tool_call>'
    assert rendered == f"<|im_start|>assistant\n{one}\n{one}<|im_end|>\n"


@pytest.mark.parametrize("first", ["system", "developer", "user"])
def test_functions_are_told_once_in_the_first_system_text(first: str) -> None:
    rendered = render([{"role": first, "content": "A"}, {"role": "system", "content": "B"}], tools=[ADD])
    assert rendered.count("<tools>") == 1
    assert rendered.startswith("<|im_start|>system\n")
    assert '"strict"' not in rendered


def test_vllm_gives_the_template_plain_strings() -> None:
    from vllm.renderers.hf import _detect_content_format, _detect_developer_role_support

    assert _detect_content_format(TOKENIZER.chat_template, default="openai") == "string"
    assert not _detect_developer_role_support(TOKENIZER.chat_template)
