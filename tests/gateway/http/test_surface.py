"""Request fields: what is let in, what is refused, and in which words."""

import copy
import timeit
from typing import Any

import pytest

from gateway.errors import (
    InvalidRequest,
    MalformedJson,
    UnknownField,
    face_of,
)
from gateway.http.surface import ROUTES, Admitted, SurfacePolicy, admit
from gateway.http.surface_checks import MAX_RECORDED

CHAT, COMPLETIONS, RESPONSES, MESSAGES = (
    f"/v1/{name}" for name in ("chat/completions", "completions", "responses", "messages")
)
STRICT = SurfacePolicy()
LENIENT = SurfacePolicy(unknown_fields="drop")

CHAT_BODY: dict[str, Any] = {
    "model": "demo",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "2+2?"}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c", "content": "4"},
    ],
    "stream": True,
    "stream_options": {"include_usage": True},
    "temperature": 0.7,
    "max_tokens": 64,
    "n": 1,
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "deep": [{}]}}}],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "x", "schema": {"anything": ["goes"]}},
    },
}
TYPICAL: dict[str, Any] = {
    "model": "demo",
    "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2+2?"}],
    "stream": True,
    "stream_options": {"include_usage": True},
    "temperature": 0.7,
    "top_p": 0.9,
    "max_tokens": 64,
    "seed": 1,
}


def take(path: str, policy: SurfacePolicy = STRICT, /, **fields: Any) -> Admitted:
    return admit(ROUTES[path], fields, policy)


def refusal(path: str, policy: SurfacePolicy = STRICT, /, **fields: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        take(path, policy, **fields)
    return caught.value


def test_a_full_chat_request_is_admitted_whole() -> None:
    expected = copy.deepcopy(CHAT_BODY)
    del expected["messages"][2]["content"]
    assert take(CHAT, **CHAT_BODY) == Admitted(expected, (), 1)


def test_the_admitted_body_may_be_changed_without_changing_what_was_sent() -> None:
    sent = copy.deepcopy(CHAT_BODY)
    body: Any = take(CHAT, **sent).body
    body["messages"][1]["content"][0]["text"] = "other"
    body["tools"][0]["function"]["parameters"]["deep"][0]["x"] = 1
    assert sent == CHAT_BODY


def test_a_responses_request_is_never_stored() -> None:
    assert take(RESPONSES, model="m", input="hi").body["store"] is False
    admitted = take(RESPONSES, model="m", input="hi", store=True)
    assert admitted.body["store"] is False
    assert admitted.dropped == ("store",)


def test_a_responses_conversation_is_admitted_without_the_status_of_its_items() -> None:
    items = [
        {"role": "user", "content": "hi"},
        {
            "type": "reasoning",
            "id": "r",
            "summary": [],
            "content": [{"type": "reasoning_text", "text": "so"}],
        },
        {
            "type": "message",
            "id": "m",
            "role": "assistant",
            "status": "incomplete",
            "content": [{"type": "output_text", "text": "he", "annotations": []}],
        },
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}", "status": "in_progress"},
        {"type": "function_call_output", "call_id": "c", "output": "4"},
    ]
    admitted: Any = take(RESPONSES, model="m", input=items)
    assert not any("status" in item for item in admitted.body["input"])
    assert admitted.dropped == ("input[2].status", "input[2].content[0].annotations", "input[3].status")


def test_a_messages_conversation_is_admitted() -> None:
    body: dict[str, Any] = {
        "model": "m",
        "max_tokens": 9,
        "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {"a": [1]}}],
            },
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "4"}]}],
            },
        ],
        "tools": [{"name": "f", "input_schema": {"type": "object"}}],
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "metadata": {"user_id": "u"},
    }
    admitted: Any = take(MESSAGES, **body)
    assert admitted.body["messages"] == body["messages"]
    assert admitted.dropped == ("system[0].cache_control", "metadata")


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        (CHAT, {"spell": 1}, "spell"),
        (CHAT, {"stream_options": {"spell": 1}}, "stream_options.spell"),
        (CHAT, {"messages": [{"role": "user", "spell": 1}]}, "messages[0].spell"),
        (
            CHAT,
            {"messages": [{"role": "user", "content": [{"type": "text", "s": 1}]}]},
            "messages[0].content[0].s",
        ),
        (CHAT, {"tools": [{"type": "function", "function": {"name": "f", "s": 1}}]}, "tools[0].function.s"),
        (COMPLETIONS, {"structured_outputs": {"_backend": "x"}}, "structured_outputs._backend"),
        (RESPONSES, {"reasoning": {"spell": 1}}, "reasoning.spell"),
        (MESSAGES, {"thinking": {"type": "disabled", "spell": 1}}, "thinking.spell"),
    ],
)
def test_an_unlisted_field_is_named_or_dropped(path: str, body: dict[str, Any], param: str) -> None:
    err = refusal(path, **body)
    assert isinstance(err, UnknownField)
    assert (err.param, face_of(err).code) == (param, "unknown_parameter")
    assert take(path, LENIENT, **body).dropped == (param,)


REFUSED_EVERYWHERE = {
    "cache_salt": "x",
    "priority": -1,
    "request_id": "x",
    "session_id": "x",
    "watermarking": False,
    "kv_transfer_params": {"prompt_token_ids": [1]},
    "ec_transfer_params": {},
    "vllm_xargs": {"a": 1},
    "mm_processor_kwargs": {},
    "media_io_kwargs": {},
    "chat_template_kwargs": {},
}
REFUSED_COMPLETING = {
    "logprob_token_ids": [1],
    "prompt_logprobs": 0,
    "allowed_token_ids": [1],
    "bad_words": ["x"],
    "echo": True,
    "return_token_ids": True,
    "return_tokens_as_token_ids": True,
    "use_beam_search": True,
    "length_penalty": 2.0,
    "best_of": 2,
    "truncate_prompt_tokens": -1,
    "add_special_tokens": False,
    "repetition_detection": {},
    "guided_json": {},
    "thinking_token_budget": 1,
}
REFUSED_CHATTING = {
    "chat_template": "{{ x }}",
    "documents": [],
    "add_generation_prompt": False,
    "continue_final_message": True,
    "return_prompt_text": True,
    "functions": [],
    "audio": {},
    "web_search_options": {},
}
REFUSED_RESPONDING = {
    "background": True,
    "previous_response_id": "resp_1",
    "conversation": "c",
    "prompt": {"id": "p"},
    "previous_input_messages": [],
    "enable_response_messages": True,
}
REFUSED = [
    *(
        (path, name, value)
        for path in (CHAT, COMPLETIONS, RESPONSES, MESSAGES)
        for name, value in REFUSED_EVERYWHERE.items()
    ),
    *((path, name, value) for path in (CHAT, COMPLETIONS) for name, value in REFUSED_COMPLETING.items()),
    *((CHAT, name, value) for name, value in REFUSED_CHATTING.items()),
    *((RESPONSES, name, value) for name, value in REFUSED_RESPONDING.items()),
    (COMPLETIONS, "prompt_embeds", "AAAA"),
    (COMPLETIONS, "suffix", "x"),
    (MESSAGES, "mcp_servers", [{}]),
]


@pytest.mark.parametrize(("path", "name", "value"), REFUSED)
def test_a_dangerous_field_is_refused_in_both_modes(path: str, name: str, value: object) -> None:
    for policy in (STRICT, LENIENT):
        assert refusal(path, policy, **{name: value}).param == name


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
@pytest.mark.parametrize(
    ("name", "value"),
    [("echo", False), ("best_of", 1), ("priority", 0), ("logprob_token_ids", None), ("bad_words", [])],
)
def test_a_value_that_asks_for_nothing_is_dropped(path: str, name: str, value: object) -> None:
    admitted = take(path, **{name: value})
    assert admitted.body == {}


def test_zero_is_not_false() -> None:
    assert refusal(CHAT, echo=0).param == "echo"


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        (CHAT, {"n": 9}, "n"),
        (CHAT, {"n": 0}, "n"),
        (CHAT, {"n": True}, "n"),
        (CHAT, {"top_logprobs": 6}, "top_logprobs"),
        (CHAT, {"top_logprobs": -1}, "top_logprobs"),
        (COMPLETIONS, {"logprobs": -1}, "logprobs"),
        (COMPLETIONS, {"logprobs": 6}, "logprobs"),
        (RESPONSES, {"top_logprobs": 20}, "top_logprobs"),
        (CHAT, {"stop": ["x"] * 17}, "stop"),
        (CHAT, {"stop_token_ids": [1] * 17}, "stop_token_ids"),
        (MESSAGES, {"stop_sequences": ["x"] * 17}, "stop_sequences"),
        (CHAT, {"logit_bias": {str(i): 1 for i in range(17)}}, "logit_bias"),
        (CHAT, {"logit_bias": {"x": 1}}, "logit_bias"),
        (CHAT, {"logit_bias": {"1": "1"}}, "logit_bias.1"),
        (CHAT, {"tools": [{}] * 129}, "tools"),
        (COMPLETIONS, {"prompt": ["x"] * 17}, "prompt"),
        (COMPLETIONS, {"prompt": [[1]] * 17}, "prompt"),
        (CHAT, {"structured_outputs": {"regex": "a" * 20_000}}, "structured_outputs.regex"),
        (CHAT, {"structured_outputs": {"structural_tag": "{}"}}, "structured_outputs.structural_tag"),
        (CHAT, {"stream_options": {"continuous_usage_stats": True}}, "stream_options.continuous_usage_stats"),
        (CHAT, {"response_format": {"type": "structural_tag"}}, "response_format.type"),
        (RESPONSES, {"include": ["file_search_call.results"]}, "include[0]"),
    ],
)
def test_what_costs_or_leaks_is_bounded(path: str, body: dict[str, Any], param: str) -> None:
    assert refusal(path, LENIENT, **body).param == param


@pytest.mark.parametrize("value", ["1", [1], {"a": 1}, True, float("nan"), float("inf"), 10**400])
def test_a_number_is_a_finite_number(value: object) -> None:
    assert refusal(CHAT, temperature=value).param == "temperature"


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        (CHAT, {"messages": "hi"}, "messages"),
        (CHAT, {"messages": ["hi"]}, "messages[0]"),
        (CHAT, {"messages": [{"role": "ipython"}]}, "messages[0].role"),
        (
            CHAT,
            {"messages": [{"role": "user", "content": [{"type": ["text"]}]}]},
            "messages[0].content[0].type",
        ),
        (CHAT, {"stream": 1}, "stream"),
        (CHAT, {"seed": 2**63}, "seed"),
        (CHAT, {"max_tokens": -1}, "max_tokens"),
        (RESPONSES, {"max_output_tokens": -1}, "max_output_tokens"),
        (MESSAGES, {"max_tokens": 2**63}, "max_tokens"),
        (COMPLETIONS, {"prompt": [1, "x"]}, "prompt"),
        (COMPLETIONS, {"prompt": [[1], [True]]}, "prompt[1]"),
        (COMPLETIONS, {"prompt": [1, 2**31]}, "prompt"),
        (COMPLETIONS, {"prompt": [1, 2**64]}, "prompt"),
        (COMPLETIONS, {"prompt": [[1], [-1]]}, "prompt[1]"),
        (CHAT, {"stop_token_ids": [2**64]}, "stop_token_ids"),
        (COMPLETIONS, {"prompt": {"prompt_embeds": "x"}}, "prompt"),
        (RESPONSES, {"input": [{"type": "item_reference", "id": "x"}]}, "input[0].type"),
        (RESPONSES, {"tools": [{"type": "mcp", "server_url": "http://169.254.169.254/"}]}, "tools[0].type"),
        (MESSAGES, {"system": [{"type": "image"}]}, "system[0].type"),
    ],
)
def test_a_value_of_the_wrong_shape_is_named(path: str, body: dict[str, Any], param: str) -> None:
    assert refusal(path, LENIENT, **body).param == param


@pytest.mark.parametrize("kind", ["image_url", "input_audio", "video_url", "prompt_embeds", "image_embeds", "file"])
def test_media_is_refused_so_that_no_client_makes_the_gateway_fetch_urls(kind: str) -> None:
    part = {"type": kind, kind: {"url": "http://169.254.169.254/"}}
    err = refusal(CHAT, LENIENT, messages=[{"role": "user", "content": [part]}])
    assert err.param == "messages[0].content[0].type"


def test_a_part_that_hides_its_kind_is_refused() -> None:
    part = {"image_url": "http://169.254.169.254/"}
    assert refusal(CHAT, LENIENT, messages=[{"role": "user", "content": [part]}]).param is not None


def test_a_null_is_an_absent_field() -> None:
    assert take(CHAT, model="m", max_tokens=None, tools=None).body == {"model": "m"}


def test_free_json_may_not_be_nested_without_end() -> None:
    deep: dict[str, Any] = {}
    for _ in range(100):
        deep = {"a": deep}
    tool = {"type": "function", "function": {"name": "f", "parameters": deep}}
    assert refusal(CHAT, tools=[tool]).param == "tools[0].function.parameters"


@pytest.mark.parametrize(
    ("prompt", "n", "sequences"),
    [("a", 1, 1), ([1, 2, 3], 1, 1), (["a", "b"], 1, 2), ([[1], [2]], 3, 6), ("a", None, 1), ([], 2, 2)],
)
def test_sequences_are_prompts_times_n(prompt: object, n: int | None, sequences: int) -> None:
    assert take(COMPLETIONS, prompt=prompt, n=n).sequences == sequences


@pytest.mark.parametrize("body", [None, [], "x", 1])
def test_a_body_must_be_an_object(body: object) -> None:
    with pytest.raises(MalformedJson):
        admit(ROUTES[CHAT], body, STRICT)


def test_hostile_names_are_shown_and_recorded_within_bounds() -> None:
    assert len(refusal(CHAT, **{"x" * 10_000: 1}).message) < 200
    admitted = take(CHAT, LENIENT, **{f"x{i}": 1 for i in range(1000)})
    assert len(admitted.dropped) == MAX_RECORDED


SMALL = SurfacePolicy(max_items=3, max_values=3)
TEXT_PART = {"type": "text", "text": ""}


@pytest.mark.parametrize(
    ("path", "fields", "param"),
    [
        (CHAT, {"messages": [{"role": "user", "content": ""}] * 4}, "messages"),
        (CHAT, {"messages": [{"role": "user", "content": [TEXT_PART]}] * 2}, "messages[1].content"),
        (MESSAGES, {"messages": [{"role": "user", "content": [TEXT_PART] * 3}]}, "messages[0].content"),
        (RESPONSES, {"input": [{"role": "user", "content": ""}] * 4}, "input"),
        (RESPONSES, {"metadata": {"a": [1, 2, 3]}}, "metadata"),
        (MESSAGES, {"tools": [{"name": "f", "input_schema": {str(n): n for n in range(4)}}]}, "tools[0].input_schema"),
    ],
)
def test_what_takes_long_to_look_at_has_a_bound(path: str, fields: dict[str, Any], param: str) -> None:
    assert refusal(path, SMALL, **fields).param == param
    take(path, **fields)


def test_a_typical_chat_body_is_admitted_in_under_100_microseconds() -> None:
    best = min(timeit.repeat(lambda: take(CHAT, **TYPICAL), number=200, repeat=5)) / 200
    assert best < 100e-6
