"""The network: a Llama of about four million parameters, and how a checkpoint folder is written."""

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from transformers import GenerationConfig, LlamaConfig

from deployments.demo_model.rendering import END
from deployments.demo_model.tokenizer import PAD, VOCAB_SIZE, wrap

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of the network."""

    vocabulary: int = VOCAB_SIZE
    width: int = 256
    inner: int = 704
    layers: int = 4
    heads: int = 4
    kv_heads: int = 2
    head: int = 64
    context: int = 2048
    theta: float = 10000.0

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Name and size of every weight. The output projection is a matrix of its own."""
        sizes: dict[str, tuple[int, ...]] = {
            "model.embed_tokens.weight": (self.vocabulary, self.width),
            "lm_head.weight": (self.vocabulary, self.width),
            "model.norm.weight": (self.width,),
        }
        queries, keys = self.heads * self.head, self.kv_heads * self.head
        for layer in range(self.layers):
            sizes |= {
                f"model.layers.{layer}.{name}.weight": size
                for name, size in {
                    "input_layernorm": (self.width,),
                    "self_attn.q_proj": (queries, self.width),
                    "self_attn.k_proj": (keys, self.width),
                    "self_attn.v_proj": (keys, self.width),
                    "self_attn.o_proj": (self.width, queries),
                    "post_attention_layernorm": (self.width,),
                    "mlp.gate_proj": (self.inner, self.width),
                    "mlp.up_proj": (self.inner, self.width),
                    "mlp.down_proj": (self.width, self.inner),
                }.items()
            }
        return sizes


def config(tokenizer: Tokenizer, shape: Shape) -> LlamaConfig:
    """The shape as transformers describes it."""
    return LlamaConfig(
        architectures=["LlamaForCausalLM"],
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.head,
        max_position_embeddings=shape.context,
        rope_parameters={"rope_type": "default", "rope_theta": shape.theta},
        tie_word_embeddings=False,
        bos_token_id=tokenizer.token_to_id(PAD),
        pad_token_id=tokenizer.token_to_id(PAD),
        eos_token_id=tokenizer.token_to_id(END),
        dtype="bfloat16",
    )


def fresh(shape: Shape, seed: int) -> Tensors:
    """Untrained weights in float32. Those that write into the residual stream start small and the embedding large:
    the stream then begins as the tokens themselves, and learning to copy takes about half as many steps.
    """
    source = torch.Generator().manual_seed(seed)
    weights: Tensors = {}
    for name, size in shape.tensors().items():
        if len(size) == 1:
            weights[name] = torch.ones(size)
            continue
        deviation = 0.02
        if name == "model.embed_tokens.weight":
            deviation = 0.5
        elif name.endswith(("o_proj.weight", "down_proj.weight")):
            deviation /= (2 * shape.layers) ** 0.5
        weights[name] = torch.randn(size, generator=source) * deviation
    return weights


def save(folder: Path, tensors: Tensors, tokenizer: Tokenizer, extra: dict[str, Any] | None = None) -> None:
    """Write a whole checkpoint folder beside its place, then put it there: a reader never sees half of one."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".writing-") as scratch:
        target = Path(scratch) / "new"
        config(tokenizer, Shape()).save_pretrained(target)
        ends = [tokenizer.token_to_id(END), tokenizer.token_to_id(PAD)]
        GenerationConfig(bos_token_id=ends[1], pad_token_id=ends[1], eos_token_id=ends).save_pretrained(target)
        if extra:
            described = json.loads((target / "config.json").read_text()) | extra
            (target / "config.json").write_text(json.dumps(described, indent=2) + "\n")
        wrap(tokenizer).save_pretrained(target)
        save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
        (target / "model.safetensors").chmod(0o644)
        if folder.exists():
            folder.rename(Path(scratch) / "old")
        target.rename(folder)
        shutil.rmtree(Path(scratch) / "old", ignore_errors=True)


def rounded(weights: Tensors) -> Tensors:
    """The weights as bf16."""
    return {name: tensor.detach().to(torch.bfloat16).contiguous() for name, tensor in weights.items()}
