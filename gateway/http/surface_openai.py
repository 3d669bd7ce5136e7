"""What becomes of every field of /v1/chat/completions and /v1/completions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.http.surface_checks import ListOf, Obj, Refused, Tagged, TextOr, Why
from gateway.http.surface_fields import (
    BOOKKEEPING,
    CACHE_HINTS,
    IGNORED,
    REFUSED_BY_COMPLETION_ROUTES,
    RESPONSE_FORMAT,
    SAMPLING,
    STREAM_OPTIONS,
    TOP_LOGPROBS,
)
from gateway.http.surface_values import AtMost, Between, count, flag, free_object, one_of, prompts, text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.http.surface_checks import Check

_MEDIA: Final = Refused(Why.MEDIA)

CHAT_PARTS: Final = Tagged(
    {
        "text": Obj({"type": text, "text": text, **CACHE_HINTS}),
        "refusal": Obj({"type": text, "refusal": text}),
        "thinking": Obj({"type": text, "thinking": text, "closed": flag, "signature": IGNORED}),
        "tool_reference": Obj({"type": text, "name": text}),
        "input_text": Refused(Why.UNSUPPORTED),
        "output_text": Refused(Why.UNSUPPORTED),
        "image_url": _MEDIA,
        "input_image": _MEDIA,
        "image_pil": _MEDIA,
        "image_embeds": _MEDIA,
        "audio_url": _MEDIA,
        "input_audio": _MEDIA,
        "audio_embeds": _MEDIA,
        "video_url": _MEDIA,
        "video_embeds": _MEDIA,
        "prompt_embeds": _MEDIA,
        "file": _MEDIA,
    }
)

TOOL_CALL: Final = Obj(
    {
        "id": text,
        "type": one_of("function"),
        "function": Obj({"name": text, "arguments": text}),
        "index": IGNORED,
        "custom": Refused(Why.UNSUPPORTED),
    }
)

MESSAGE: Final = Obj(
    {
        "role": one_of("system", "developer", "user", "assistant", "tool", "function"),
        "content": TextOr(ListOf(CHAT_PARTS)),
        "name": text,
        "tool_calls": ListOf(TOOL_CALL),
        "tool_call_id": text,
        "reasoning": text,
        "reasoning_content": text,
        "refusal": text,
        "annotations": IGNORED,
        "audio": Refused(Why.MEDIA),
        "function_call": Refused(Why.LEGACY),
        "tools": Refused(Why.TEMPLATE),
        "task": Refused(Why.TEMPLATE),
        "author": Refused(Why.TEMPLATE),
        "recipient": Refused(Why.TEMPLATE),
        "channel": Refused(Why.TEMPLATE),
        "content_type": Refused(Why.TEMPLATE),
    }
)

FUNCTION: Final = Obj(
    {
        "name": text,
        "description": text,
        "parameters": free_object,
        "strict": flag,
        "defer_loading": flag,
    }
)
TOOL: Final = Obj({"type": one_of("function"), "function": FUNCTION, "defer_loading": flag, **CACHE_HINTS})
TOOL_CHOICE: Final = Obj({"type": one_of("function"), "function": Obj({"name": text})})

_SHARED: Final[Mapping[str, Check]] = {
    **SAMPLING,
    **BOOKKEEPING,
    **REFUSED_BY_COMPLETION_ROUTES,
    "n": Between(1, lambda policy: policy.max_n),
    "max_tokens": count,
    "min_tokens": count,
    "spaces_between_special_tokens": flag,
    "stream_options": STREAM_OPTIONS,
    "stream_interval": count,
    "response_format": RESPONSE_FORMAT,
    "metadata": IGNORED,
    "store": IGNORED,
}

CHAT: Final = Obj(
    {
        **_SHARED,
        "messages": ListOf(MESSAGE),
        "max_completion_tokens": count,
        "logprobs": flag,
        "top_logprobs": TOP_LOGPROBS,
        "tools": AtMost(ListOf(TOOL), lambda policy: policy.max_tools, "tools"),
        "tool_choice": TextOr(TOOL_CHOICE),
        "parallel_tool_calls": flag,
        "reasoning_effort": text,
        "include_reasoning": flag,
        "verbosity": IGNORED,
        "prediction": IGNORED,
        "modalities": Refused(Why.MEDIA, (["text"],)),
        "audio": Refused(Why.MEDIA),
        "web_search_options": Refused(Why.SERVER_TOOL),
        "functions": Refused(Why.LEGACY),
        "function_call": Refused(Why.LEGACY),
        "chat_template": Refused(Why.TEMPLATE),
        "documents": Refused(Why.TEMPLATE),
        "add_generation_prompt": Refused(Why.TEMPLATE, (True,)),
        "continue_final_message": Refused(Why.TEMPLATE, (False,)),
        "return_prompt_text": Refused(Why.LEAKS, (False,)),
    }
)

COMPLETIONS: Final = Obj(
    {
        **_SHARED,
        "prompt": prompts,
        "logprobs": TOP_LOGPROBS,
        "suffix": Refused(Why.UNSUPPORTED, ("",)),
        "prompt_embeds": Refused(Why.MEDIA),
    }
)
