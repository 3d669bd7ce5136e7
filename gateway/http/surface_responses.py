"""What becomes of every field of /v1/responses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.http.surface_checks import Ignored, ListOf, Obj, Refused, Tagged, TextOr, Why
from gateway.http.surface_fields import BOOKKEEPING, CACHE_HINTS, REFUSED, SAMPLING, TOP_LOGPROBS
from gateway.http.surface_values import AtMost, count, flag, free_object, one_of, text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.http.surface_checks import Check

_IGNORED: Final = Ignored()
_SERVER: Final = Refused(Why.SERVER_TOOL)
_STATE: Final = Refused(Why.STATE)
_UNSUPPORTED: Final = Refused(Why.UNSUPPORTED)

PARTS: Final = Tagged(
    {
        "input_text": Obj({"type": text, "text": text, **CACHE_HINTS}),
        "output_text": Obj({"type": text, "text": text, "annotations": _IGNORED, "logprobs": _IGNORED}),
        "refusal": Obj({"type": text, "refusal": text}),
        "input_image": Refused(Why.MEDIA),
        "input_file": Refused(Why.MEDIA),
        "input_audio": Refused(Why.MEDIA),
    }
)

# vLLM takes a last item that is not completed as the beginning of its answer; the status is therefore dropped.
MESSAGE: Final = Obj(
    {
        "type": text,
        "id": text,
        "role": one_of("user", "assistant", "system", "developer"),
        "content": TextOr(ListOf(PARTS)),
        "phase": _IGNORED,
        "status": _IGNORED,
    }
)

_OUTPUT: Final = TextOr(ListOf(PARTS))
_CALL: Final[Mapping[str, Check]] = {
    "type": text,
    "id": text,
    "call_id": text,
    "status": _IGNORED,
    "caller": _IGNORED,
    "created_by": _IGNORED,
    "async": _UNSUPPORTED,
    "namespace": _UNSUPPORTED,
}

ITEMS: Final = Tagged(
    {
        "message": MESSAGE,
        "function_call": Obj({**_CALL, "name": text, "arguments": text}),
        "function_call_output": Obj({**_CALL, "name": text, "output": _OUTPUT}),
        "custom_tool_call": Obj({**_CALL, "name": text, "input": text}),
        "custom_tool_call_output": Obj({**_CALL, "output": _OUTPUT}),
        "reasoning": Obj(
            {
                "type": text,
                "id": text,
                "summary": ListOf(Obj({"type": one_of("summary_text"), "text": text})),
                "content": ListOf(Obj({"type": one_of("reasoning_text"), "text": text})),
                "encrypted_content": Refused(Why.STATE),
                "status": _IGNORED,
            }
        ),
        "item_reference": _STATE,
        "compaction": _STATE,
        "compaction_trigger": _STATE,
        "configuration_update": _UNSUPPORTED,
        "additional_tools": _UNSUPPORTED,
        "tool_search_call": _SERVER,
        "tool_search_output": _SERVER,
        "file_search_call": _SERVER,
        "computer_call": _SERVER,
        "computer_call_output": _SERVER,
        "web_search_call": _SERVER,
        "image_generation_call": _SERVER,
        "code_interpreter_call": _SERVER,
        "local_shell_call": _SERVER,
        "local_shell_call_output": _SERVER,
        "shell_call": _SERVER,
        "shell_call_output": _SERVER,
        "apply_patch_call": _SERVER,
        "apply_patch_call_output": _SERVER,
        "mcp_list_tools": _SERVER,
        "mcp_approval_request": _SERVER,
        "mcp_approval_response": _SERVER,
        "mcp_call": _SERVER,
        "program": _SERVER,
        "program_output": _SERVER,
    },
    default="message",
)

TOOLS: Final = Tagged(
    {
        "function": Obj(
            {
                "type": text,
                "name": text,
                "description": text,
                "parameters": free_object,
                "strict": flag,
                "defer_loading": flag,
                "allowed_callers": _UNSUPPORTED,
                "output_schema": _UNSUPPORTED,
                "async": _UNSUPPORTED,
            }
        ),
        "custom": Obj(
            {
                "type": text,
                "name": text,
                "description": text,
                "format": Tagged({"text": Obj({"type": text}), "grammar": _UNSUPPORTED}),
                "defer_loading": flag,
                "allowed_callers": _UNSUPPORTED,
                "async": _UNSUPPORTED,
            }
        ),
        "namespace": _UNSUPPORTED,
        "tool_search": _SERVER,
        "file_search": _SERVER,
        "computer": _SERVER,
        "computer_use_preview": _SERVER,
        "web_search": _SERVER,
        "web_search_2025_08_26": _SERVER,
        "web_search_preview": _SERVER,
        "web_search_preview_2025_03_11": _SERVER,
        "mcp": _SERVER,
        "code_interpreter": _SERVER,
        "programmatic_tool_calling": _SERVER,
        "image_generation": _SERVER,
        "local_shell": _SERVER,
        "shell": _SERVER,
        "apply_patch": _SERVER,
    }
)

TOOL_CHOICE: Final = Tagged(
    {
        **{kind: check for kind, check in TOOLS.kinds.items() if isinstance(check, Refused)},
        "computer_use": _SERVER,
        "function": Obj({"type": text, "name": text}),
        "custom": Obj({"type": text, "name": text}),
        "allowed_tools": _UNSUPPORTED,
    }
)

TEXT: Final = Obj(
    {
        "format": Tagged(
            {
                "text": Obj({"type": text}),
                "json_object": Obj({"type": text}),
                "json_schema": Obj(
                    {"type": text, "name": text, "description": text, "schema": free_object, "strict": flag}
                ),
            }
        ),
        "verbosity": _IGNORED,
    }
)

REASONING: Final = Obj(
    {
        "effort": text,
        "summary": _IGNORED,
        "generate_summary": _IGNORED,
        "context": _IGNORED,
        "mode": _UNSUPPORTED,
    }
)

RESPONSES: Final = Obj(
    {
        **SAMPLING,
        **BOOKKEEPING,
        **REFUSED,
        "input": TextOr(ListOf(ITEMS)),
        "instructions": text,
        "max_output_tokens": count,
        "max_tool_calls": count,
        "metadata": free_object,
        "parallel_tool_calls": flag,
        "reasoning": REASONING,
        "include_reasoning": flag,
        "include": ListOf(one_of("message.output_text.logprobs", "reasoning.encrypted_content")),
        "top_logprobs": TOP_LOGPROBS,
        "text": TEXT,
        "tools": AtMost(ListOf(TOOLS), lambda policy: policy.max_tools, "tools"),
        "tool_choice": TextOr(TOOL_CHOICE),
        "truncation": one_of("auto", "disabled"),
        "stream_options": _IGNORED,
        "store": _IGNORED,
        "background": Refused(Why.STATE, (False,)),
        "previous_response_id": _STATE,
        "conversation": _STATE,
        "context_management": _STATE,
        "prompt": _STATE,
        "previous_input_messages": Refused(Why.TEMPLATE),
        "enable_response_messages": Refused(Why.LEAKS, (False,)),
    }
)
