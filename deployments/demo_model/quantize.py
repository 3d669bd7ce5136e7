"""int8 W8A8 in compressed-tensors' `int-quantized` layout: symmetric int8 weights with one scale per output row;
activations are scaled per token while running. Embedding and output projection stay bf16.

A row's scale is not simply max|w| / 127: of some scales below it, the one with the least squared rounding error is
taken. Clipping the largest weight a little often pays with finer steps for all the others.
"""

import argparse
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

from deployments.demo_model import BF16, INT8
from deployments.demo_model.model import Tensors, save

LIMIT = 127
_SHRINK = tuple(1.0 - 0.01 * step for step in range(31))


def quantize_rows(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Integers and bf16 scales (one per row) for which integers x scales is closest to `weight`."""
    exact = weight.float()
    widest = exact.abs().amax(dim=1, keepdim=True).clamp_min(1e-8) / LIMIT
    best = torch.full_like(widest, float("inf"))
    chosen = widest.to(torch.bfloat16)
    for shrink in _SHRINK:
        scale = (widest * shrink).to(torch.bfloat16)
        error = (_round(exact, scale) * scale.float() - exact).square().sum(dim=1, keepdim=True)
        better = error < best
        best, chosen = torch.where(better, error, best), torch.where(better, scale, chosen)
    return _round(exact, chosen).to(torch.int8), chosen


def _round(exact: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    return (exact / scale.float()).round().clamp(-LIMIT, LIMIT)


def is_linear(name: str) -> bool:
    """Whether a tensor is the weight of a projection inside a layer."""
    return name.endswith("_proj.weight")


def quantize(tensors: Tensors) -> Tensors:
    """The int8 checkpoint of a bf16 one."""
    result: Tensors = {}
    for name, tensor in tensors.items():
        if is_linear(name):
            result[name], result[f"{name}_scale"] = quantize_rows(tensor)
        else:
            result[name] = tensor.to(torch.bfloat16)
    return result


def _scheme(strategy: str, *, dynamic: bool) -> dict[str, Any]:
    return {"num_bits": 8, "type": "int", "strategy": strategy, "symmetric": True, "dynamic": dynamic}


def quantization_config() -> dict[str, Any]:
    """What config.json says, so that vLLM and transformers know the layout."""
    group = {
        "targets": ["Linear"],
        "weights": _scheme("channel", dynamic=False),
        "input_activations": _scheme("token", dynamic=True),
        "output_activations": None,
    }
    return {
        "quant_method": "compressed-tensors",
        "format": "int-quantized",
        "quantization_status": "compressed",
        "config_groups": {"group_0": group},
        "ignore": ["lm_head"],
        "kv_cache_scheme": None,
    }


def convert(source: Path, target: Path) -> None:
    """Read a bf16 folder, write the int8 one."""
    tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
    tensors = quantize(load_file(source / "model.safetensors"))
    save(target, tensors, tokenizer, {"quantization_config": quantization_config()})


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, default=BF16, help="bf16 folder (default: %(default)s)")
    parser.add_argument("--target", type=Path, default=INT8, help="int8 folder (default: %(default)s)")
    options = parser.parse_args()
    convert(options.source, options.target)


if __name__ == "__main__":
    main()
