"""What becomes of every field of /v1/messages."""

from __future__ import annotations

from typing import Final

from gateway.http.surface_checks import Ignored, ListOf, Obj, Refused, Tagged, TextOr, Why
from gateway.http.surface_fields import REFUSED
from gateway.http.surface_values import AtMost, count, flag, free_object, number, one_of, text, whole

_IGNORED: Final = Ignored()
_MEDIA: Final = Refused(Why.MEDIA)
_SERVER: Final = Refused(Why.SERVER_TOOL)
_UNSUPPORTED: Final = Refused(Why.UNSUPPORTED)

TEXT_BLOCK: Final = Obj(
    {
        "type": text,
        "text": text,
        "cache_control": _IGNORED,
        "citations": _IGNORED,
        "source": _MEDIA,
        "tool": _UNSUPPORTED,
    }
)
TOOL_REFERENCE: Final = Obj({"type": text, "tool_name": text, "name": text, "cache_control": _IGNORED})

RESULT_BLOCKS: Final = Tagged(
    {"text": TEXT_BLOCK, "tool_reference": TOOL_REFERENCE, "image": _MEDIA, "document": _MEDIA}
)

BLOCKS: Final = Tagged(
    {
        "text": TEXT_BLOCK,
        "thinking": Obj({"type": text, "thinking": text, "signature": text}),
        "redacted_thinking": Obj({"type": text, "data": text}),
        "tool_use": Obj(
            {
                "type": text,
                "id": text,
                "name": text,
                "input": free_object,
                "caller": _IGNORED,
                "cache_control": _IGNORED,
            }
        ),
        "tool_result": Obj(
            {
                "type": text,
                "tool_use_id": text,
                "content": TextOr(ListOf(RESULT_BLOCKS)),
                "is_error": flag,
                "cache_control": _IGNORED,
            }
        ),
        "tool_reference": TOOL_REFERENCE,
        "tool_addition": _UNSUPPORTED,
        "tool_removal": _UNSUPPORTED,
        "image": _MEDIA,
        "document": _MEDIA,
        "search_result": _UNSUPPORTED,
        "server_tool_use": _SERVER,
        "web_search_tool_result": _SERVER,
    }
)

# vLLM silently skips every block of a system prompt that is not text.
_NOT_TEXT: Final = {
    name: _UNSUPPORTED for block in BLOCKS.kinds.values() if isinstance(block, Obj) for name in block.fields
}
SYSTEM_BLOCKS: Final = Tagged(
    {**dict.fromkeys(BLOCKS.kinds, _UNSUPPORTED), "text": Obj({**_NOT_TEXT, **TEXT_BLOCK.fields})}
)

MESSAGE: Final = Obj({"role": one_of("user", "assistant", "system"), "content": TextOr(ListOf(BLOCKS))})

TOOL: Final = Obj(
    {
        "type": one_of("custom"),
        "name": text,
        "description": text,
        "input_schema": free_object,
        "strict": flag,
        "defer_loading": flag,
        "cache_control": _IGNORED,
        "input_examples": _IGNORED,
        "eager_input_streaming": _IGNORED,
        "allowed_callers": _UNSUPPORTED,
    }
)
TOOL_CHOICE: Final = Obj(
    {"type": one_of("auto", "any", "tool", "none"), "name": text, "disable_parallel_tool_use": flag}
)

THINKING: Final = Obj({"type": one_of("enabled", "disabled", "adaptive"), "budget_tokens": count, "display": _IGNORED})
OUTPUT_CONFIG: Final = Obj({"effort": text, "format": Obj({"type": one_of("json_schema"), "schema": free_object})})

MESSAGES: Final = Obj(
    {
        **REFUSED,
        "model": text,
        "messages": ListOf(MESSAGE),
        "max_tokens": count,
        "system": TextOr(ListOf(SYSTEM_BLOCKS)),
        "stop_sequences": AtMost(ListOf(text), lambda policy: policy.max_stop, "stop strings"),
        "stream": flag,
        "temperature": number,
        "top_k": whole,
        "top_p": number,
        "thinking": THINKING,
        "output_config": OUTPUT_CONFIG,
        "tools": AtMost(ListOf(TOOL), lambda policy: policy.max_tools, "tools"),
        "tool_choice": TOOL_CHOICE,
        "metadata": _IGNORED,
        "service_tier": _IGNORED,
        "inference_geo": _IGNORED,
        "cache_control": _IGNORED,
        "context_management": Refused(Why.STATE),
        "container": _SERVER,
        "mcp_servers": Refused(Why.SERVER_TOOL, ([],)),
    }
)
