"""The committed checkpoints keep what the README promises of them."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from deployments.demo_model import BF16, INT8
from deployments.demo_model.model import Shape
from deployments.demo_model.quantize import is_linear, quantize

FOLDERS = pytest.mark.parametrize("folder", [BF16, INT8], ids=lambda folder: folder.name)


def test_both_formats_together_stay_within_16_mb() -> None:
    files = [file for folder in (BF16, INT8) for file in folder.iterdir()]
    assert sum(file.stat().st_size for file in files) <= 16_000_000


def test_it_has_at_most_five_million_parameters() -> None:
    tensors = load_file(BF16 / "model.safetensors")
    assert {name: tuple(tensor.shape) for name, tensor in tensors.items()} == Shape().tensors()
    assert sum(tensor.numel() for tensor in tensors.values()) <= 5_000_000
    assert all(tensor.dtype == torch.bfloat16 and tensor.isfinite().all() for tensor in tensors.values())


@FOLDERS
def test_the_config_says_untied_and_a_context_of_2048(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert config["tie_word_embeddings"] is False
    assert config["max_position_embeddings"] == 2048


@FOLDERS
def test_generation_ends_at_the_end_of_a_turn(folder: Path) -> None:
    tokens = {
        entry["content"]: entry["id"] for entry in json.loads((folder / "tokenizer.json").read_text())["added_tokens"]
    }
    assert tokens["<|im_end|>"] in json.loads((folder / "generation_config.json").read_text())["eos_token_id"]
    assert tokens["<|im_end|>"] == json.loads((folder / "config.json").read_text())["eos_token_id"]


def test_int8_is_the_quantized_bf16() -> None:
    expected, found = quantize(load_file(BF16 / "model.safetensors")), load_file(INT8 / "model.safetensors")
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in found)
    assert any(is_linear(name) and tensor.dtype == torch.int8 for name, tensor in found.items())


def test_int8_says_how_it_is_quantized() -> None:
    described = json.loads((INT8 / "config.json").read_text())["quantization_config"]
    assert (described["quant_method"], described["format"]) == ("compressed-tensors", "int-quantized")
    assert described["ignore"] == ["lm_head"]
    assert "quantization_config" not in json.loads((BF16 / "config.json").read_text())


def test_the_template_in_the_checkpoints_is_the_one_in_the_source() -> None:
    source = (BF16.parents[1] / "chat_template.jinja").read_text(encoding="utf-8")
    assert (BF16 / "chat_template.jinja").read_text(encoding="utf-8").rstrip() == source.rstrip()
    assert (INT8 / "chat_template.jinja").read_text(encoding="utf-8").rstrip() == source.rstrip()
