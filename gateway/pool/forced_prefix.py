"""Leads a request along tokens that it has given before, on another engine: what sampling carries from token to token (its
generator, penalties, a grammar's state) is then what it was, and all that follows is as if nothing had happened.

Runs in the engine core, as a logits processor found by its entry point (`vllm.logits_processors`). Requests without such a
prefix never meet it.
"""

from collections.abc import Callable
from functools import partial

import torch
from vllm.sampling_params import SamplingParams
from vllm.v1.sample.logits_processor import AdapterLogitsProcessor

FORCED = "sluice_forced"
"""Key in `SamplingParams.extra_args`; clients cannot set these (gateway/http/surface.py)."""

NEUTRAL: dict[str, tuple[object, ...]] = {
    "presence_penalty": (0.0,),
    "frequency_penalty": (0.0,),
    "seed": (None,),
    "structured_outputs": (None,),
    "bad_words": (None, []),
    "thinking_token_budget": (None,),
    "repetition_detection": (None,),
    "prompt_logprobs": (None,),
    "extra_args": (None, {}),
}
"""Fields whose other values make the next token depend on more than the tokens before it. A test decides about every field."""


def continuable(params: SamplingParams) -> bool:
    """Whether prompt and answer so far, as one prompt, are continued as the answer would have been."""
    return all(
        getattr(params, name) in neutral or (name == "seed" and params.temperature == 0)
        for name, neutral in NEUTRAL.items()
    )


class ForcedPrefix(AdapterLogitsProcessor):
    def is_argmax_invariant(self) -> bool:
        return False

    def new_req_logits_processor(self, params: SamplingParams) -> Callable[..., torch.Tensor] | None:
        tokens = (params.extra_args or {}).get(FORCED)
        return partial(_force, tokens) if tokens else None


def _force(tokens: list[int], output_ids: list[int], logits: torch.Tensor) -> torch.Tensor:
    if (place := len(output_ids)) < len(tokens):
        logits.fill_(float("-inf"))
        logits[tokens[place]] = 0.0
    return logits
