"""The forward pass used for training: the same Llama as transformers', written for short sequences on a CPU.

Everything runs in the weights' type (bf16), the norm has its own backward pass, and attention is plain matrix products
as long as the score matrix is small: 1.8 times the steps per second of the general implementation under autocast.
A test holds the two together.
"""

import torch
from torch.autograd.function import FunctionCtx
from torch.nn.functional import embedding, linear, scaled_dot_product_attention, silu

from deployments.demo_model.model import Shape, Tensors

_EPSILON = 1e-6
_PLAIN_ATTENTION = 256
"""Longest sequence whose attention scores are kept in memory."""


class _Norm(torch.autograd.Function):
    """x / rms(x) * weight, with the mean taken in float32."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        inverse = torch.rsqrt(x.float().square().mean(-1, keepdim=True) + _EPSILON).to(x.dtype)
        ctx.save_for_backward(x, weight, inverse)
        return x * inverse * weight

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x, weight, inverse = ctx.saved_tensors  # type: ignore[attr-defined]
        unit, inner = x * inverse, gradient * weight
        along = unit * (inner * unit).mean(-1, keepdim=True)
        return (inner - along) * inverse, (gradient * unit).flatten(0, -2).sum(0)


def _norm(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    result: torch.Tensor = _Norm.apply(x, weight)  # type: ignore[no-untyped-call]
    return result


class Network:
    """Weights by their checkpoint names, and the pass from token ids to hidden states."""

    def __init__(self, weights: Tensors, shape: Shape) -> None:
        self.weights, self.shape = weights, shape
        half = torch.arange(0, shape.head, 2) / shape.head
        angles = torch.outer(torch.arange(shape.context), shape.theta**-half)
        kind = weights["lm_head.weight"].dtype
        self._cos = torch.cat([angles.cos(), angles.cos()], 1).to(kind)
        self._sin = torch.cat([-angles.sin(), angles.sin()], 1).to(kind)

    def hidden(self, ids: torch.Tensor) -> torch.Tensor:
        """Normed hidden states, one per place. Padding must be on the right."""
        x = embedding(ids, self.weights["model.embed_tokens.weight"])
        for layer in range(self.shape.layers):
            x = self._layer(x, f"model.layers.{layer}.")
        return _norm(x, self.weights["model.norm.weight"])

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Scores of all tokens."""
        return linear(hidden, self.weights["lm_head.weight"])

    def _layer(self, x: torch.Tensor, at: str) -> torch.Tensor:
        w = self.weights
        x = x + self._attention(_norm(x, w[at + "input_layernorm.weight"]), at + "self_attn.")
        inner = _norm(x, w[at + "post_attention_layernorm.weight"])
        gate = silu(linear(inner, w[at + "mlp.gate_proj.weight"]))
        return x + linear(gate * linear(inner, w[at + "mlp.up_proj.weight"]), w[at + "mlp.down_proj.weight"])

    def _attention(self, x: torch.Tensor, at: str) -> torch.Tensor:
        rows, length, _ = x.shape

        def heads(name: str) -> torch.Tensor:
            return (
                linear(x, self.weights[f"{at}{name}_proj.weight"])
                .view(rows, length, -1, self.shape.head)
                .transpose(1, 2)
            )

        query, key, value = self._rotate(heads("q")), self._rotate(heads("k")), heads("v")
        share = self.shape.heads // self.shape.kv_heads
        key, value = key.repeat_interleave(share, 1), value.repeat_interleave(share, 1)
        if length <= _PLAIN_ATTENTION:
            future = torch.ones(length, length, dtype=torch.bool).triu(1)
            scores = (query @ key.transpose(2, 3)) * self.shape.head**-0.5
            mixed = scores.masked_fill(future, float("-inf")).softmax(-1) @ value
        else:
            mixed = scaled_dot_product_attention(query, key, value, is_causal=True)
        return linear(mixed.transpose(1, 2).reshape(rows, length, -1), self.weights[f"{at}o_proj.weight"])

    def _rotate(self, x: torch.Tensor) -> torch.Tensor:
        length = x.shape[2]
        return x * self._cos[:length] + x.roll(self.shape.head // 2, -1) * self._sin[:length]
