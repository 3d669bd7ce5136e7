"""A plug-in of an engine core that dies over a request which asks for it."""

import os
from typing import Any

import torch
from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor

DEADLY = "deadly"
"""In a request's `extra_args`, which no client can set through the gateway."""


class Deadly(LogitsProcessor):
    def __init__(self, *_: Any) -> None:
        pass

    def is_argmax_invariant(self) -> bool:
        return True

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        return logits

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        for _, params, _, _ in batch_update.added if batch_update is not None else ():
            if (params.extra_args or {}).get(DEADLY):
                os.abort()
