"""int8 rounding: small errors, scales no worse than the plain ones, and the layout vLLM expects."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.demo_model.quantize import LIMIT, quantize, quantize_rows


def random_rows(seed: int, spread: float = 1.0) -> torch.Tensor:
    source = torch.Generator().manual_seed(seed)
    return (torch.randn(16, 64, generator=source) * spread).to(torch.bfloat16)


@given(st.integers(min_value=0, max_value=1000), st.sampled_from([1e-4, 0.02, 1.0, 50.0]))
@settings(max_examples=30, deadline=None)
def test_every_unclipped_weight_is_within_half_a_step(seed: int, spread: float) -> None:
    weight = random_rows(seed, spread)
    integers, scale = quantize_rows(weight)
    inside = integers.abs() < LIMIT
    error = (integers.float() * scale.float() - weight.float()).abs()
    assert (error <= 0.501 * scale.float())[inside].all()


@given(st.integers(min_value=0, max_value=1000))
@settings(max_examples=30, deadline=None)
def test_chosen_scales_round_no_worse_than_plain_ones(seed: int) -> None:
    weight = random_rows(seed).float()
    integers, scale = quantize_rows(weight)
    plain = (weight.abs().amax(1, keepdim=True) / LIMIT).to(torch.bfloat16).float()
    rounded = (weight / plain).round().clamp(-LIMIT, LIMIT) * plain
    chosen = integers.float() * scale.float()
    assert ((chosen - weight).square().sum(1) <= (rounded - weight).square().sum(1) + 1e-6).all()


def test_a_row_of_zeros_stays_zero() -> None:
    integers, scale = quantize_rows(torch.zeros(2, 8))
    assert not integers.any()
    assert (scale > 0).all()


def test_only_projections_inside_layers_become_integers() -> None:
    made = quantize(
        {
            "model.layers.0.mlp.up_proj.weight": random_rows(1),
            "lm_head.weight": random_rows(2),
            "model.norm.weight": torch.ones(8),
        }
    )
    assert made["model.layers.0.mlp.up_proj.weight"].dtype == torch.int8
    assert made["model.layers.0.mlp.up_proj.weight_scale"].shape == (16, 1)
    assert made["lm_head.weight"].dtype == made["model.norm.weight"].dtype == torch.bfloat16
