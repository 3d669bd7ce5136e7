"""Decisions shared by the routes: sampling, structured output, and what no route lets through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.http.surface_checks import Ignored, ListOf, Obj, Refused, TextOr, Why
from gateway.http.surface_values import (
    AtMost,
    Between,
    flag,
    free_object,
    number,
    one_of,
    text,
    token_biases,
    token_ids,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.http.surface_checks import Check

IGNORED: Final = Ignored()
CACHE_HINTS: Final[Mapping[str, Check]] = {"cache_control": IGNORED, "prompt_cache_breakpoint": IGNORED}

STOP: Final = TextOr(AtMost(ListOf(text), lambda policy: policy.max_stop, "stop strings"))
STOP_IDS: Final = AtMost(token_ids, lambda policy: policy.max_stop, "stop token ids")
TOP_LOGPROBS: Final = Between(0, lambda policy: policy.max_top_logprobs)

STRUCTURED_OUTPUTS: Final = Obj(
    {
        "json": TextOr(free_object),
        "regex": AtMost(text, lambda policy: policy.max_constraint_chars, "characters"),
        "choice": AtMost(ListOf(text), lambda policy: policy.max_constraint_chars // 64, "choices"),
        "grammar": AtMost(text, lambda policy: policy.max_constraint_chars, "characters"),
        "json_object": flag,
        "disable_any_whitespace": Refused(Why.ENGINE, (False,)),
        "disable_additional_properties": Refused(Why.ENGINE, (False,)),
        "whitespace_pattern": Refused(Why.ENGINE),
        "structural_tag": Refused(Why.ENGINE),
    }
)

RESPONSE_FORMAT: Final = Obj(
    {
        "type": one_of("text", "json_object", "json_schema"),
        "json_schema": Obj({"name": text, "description": text, "schema": free_object, "strict": flag}),
        "format": Refused(Why.ENGINE),
        "structures": Refused(Why.ENGINE),
        "triggers": Refused(Why.ENGINE),
    }
)

STREAM_OPTIONS: Final = Obj(
    {
        "include_usage": flag,
        "include_obfuscation": IGNORED,
        "continuous_usage_stats": Refused(Why.COST, (False,)),
    }
)

SAMPLING: Final[Mapping[str, Check]] = {
    "model": text,
    "stream": flag,
    "temperature": number,
    "top_p": number,
    "top_k": whole,
    "min_p": number,
    "presence_penalty": number,
    "frequency_penalty": number,
    "repetition_penalty": number,
    "logit_bias": token_biases,
    "seed": whole,
    "stop": STOP,
    "stop_token_ids": STOP_IDS,
    "ignore_eos": flag,
    "skip_special_tokens": flag,
    "include_stop_str_in_output": flag,
    "structured_outputs": STRUCTURED_OUTPUTS,
}

BOOKKEEPING: Final[Mapping[str, Check]] = {
    "user": text,
    "service_tier": IGNORED,
    "safety_identifier": IGNORED,
    "prompt_cache_key": IGNORED,
    "prompt_cache_retention": IGNORED,
}

REFUSED: Final[Mapping[str, Check]] = {
    "cache_salt": Refused(Why.OWNED),
    "priority": Refused(Why.OWNED, (0,)),
    "request_id": Refused(Why.OWNED),
    "session_id": Refused(Why.OWNED),
    "watermarking": Refused(Why.OWNED),
    "kv_transfer_params": Refused(Why.ENGINE),
    "ec_transfer_params": Refused(Why.ENGINE),
    "vllm_xargs": Refused(Why.ENGINE),
    "chat_template_kwargs": Refused(Why.TEMPLATE),
    "mm_processor_kwargs": Refused(Why.MEDIA),
    "media_io_kwargs": Refused(Why.MEDIA),
    "mm_payload": Refused(Why.MEDIA),
    "return_mm_kwargs": Refused(Why.MEDIA, (False,)),
}

REFUSED_BY_COMPLETION_ROUTES: Final[Mapping[str, Check]] = {
    **REFUSED,
    "logprob_token_ids": Refused(Why.LEAKS),
    "prompt_logprobs": Refused(Why.LEAKS),
    "allowed_token_ids": Refused(Why.LEAKS),
    "bad_words": Refused(Why.LEAKS, ([],)),
    "echo": Refused(Why.LEAKS, (False,)),
    "return_token_ids": Refused(Why.LEAKS, (False,)),
    "return_tokens_as_token_ids": Refused(Why.LEAKS, (False,)),
    "use_beam_search": Refused(Why.COST, (False,)),
    "length_penalty": Refused(Why.COST, (1, 1.0)),
    "best_of": Refused(Why.COST, (1,)),
    "thinking_token_budget": Refused(Why.ENGINE),
    "truncate_prompt_tokens": Refused(Why.TEMPLATE),
    "truncation_side": Refused(Why.TEMPLATE),
    "add_special_tokens": Refused(Why.TEMPLATE),
    "return_token_offsets": Refused(Why.DEBUG, (False,)),
    "routed_experts_prompt_start": Refused(Why.DEBUG, (0,)),
    "repetition_detection": Refused(Why.DEBUG),
    "guided_json": Refused(Why.LEGACY),
    "guided_regex": Refused(Why.LEGACY),
    "guided_choice": Refused(Why.LEGACY),
    "guided_grammar": Refused(Why.LEGACY),
    "guided_decoding_backend": Refused(Why.LEGACY),
    "guided_whitespace_pattern": Refused(Why.LEGACY),
}
