"""The embedded default model: where its two checkpoints lie. Importing this costs nothing."""

from pathlib import Path

_WEIGHTS = Path(__file__).resolve().parent / "weights"

BF16 = _WEIGHTS / "bf16"
"""Folder of the bf16 checkpoint (weights, config, tokenizer, chat template)."""

INT8 = _WEIGHTS / "int8"
"""Folder of the int8 W8A8 checkpoint, same tokenizer and template."""

__all__ = ["BF16", "INT8"]
