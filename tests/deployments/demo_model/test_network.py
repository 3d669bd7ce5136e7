"""The training network is the Llama that is served, and training lowers the loss."""

from random import Random

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from deployments.demo_model.batches import IGNORED, batches
from deployments.demo_model.model import Shape, config, fresh
from deployments.demo_model.network import Network
from deployments.demo_model.tokenizer import train_tokenizer
from deployments.demo_model.train import Plan, train

SMALL = Shape(vocabulary=300, width=64, inner=96, layers=2, heads=4, kv_heads=2, head=16, context=512)
TOKENIZER = train_tokenizer(seed=0, dialogues=500)


@pytest.mark.parametrize("length", [7, 300])
def test_it_computes_what_transformers_computes(length: int) -> None:
    described: LlamaConfig = config(TOKENIZER, SMALL)
    reference = LlamaForCausalLM(described).float().eval()
    weights = fresh(SMALL, seed=4)
    reference.load_state_dict(weights)
    ids = torch.randint(0, SMALL.vocabulary, (2, length), generator=torch.Generator().manual_seed(1))
    network = Network(weights, SMALL)
    with torch.no_grad():
        assert torch.allclose(network.logits(network.hidden(ids)), reference(ids).logits, atol=1e-4)


def test_the_norms_own_backward_pass_is_the_gradient() -> None:
    from deployments.demo_model.network import _norm

    x = torch.randn(3, 8, dtype=torch.float32, generator=torch.Generator().manual_seed(2)).requires_grad_()
    weight = torch.linspace(0.5, 1.5, 8).requires_grad_()
    target = torch.randn(3, 8, generator=torch.Generator().manual_seed(3))
    (_norm(x, weight) * target).sum().backward()
    mine = [x.grad, weight.grad]
    x.grad = weight.grad = None
    (torch.nn.functional.rms_norm(x, (8,), weight, 1e-6) * target).sum().backward()
    for own, reference in zip(mine, [x.grad, weight.grad], strict=True):
        assert torch.allclose(own, reference, atol=1e-5)


def test_batches_hold_only_answers_as_labels_and_keep_to_their_size() -> None:
    source = batches(TOKENIZER, Random(2), tokens=1024, pool=2)
    for _ in range(4):
        batch = next(source)
        assert batch.ids.shape == batch.labels.shape
        assert len(batch.ids) == 1 or batch.ids.numel() <= 1024
        wanted = batch.labels != IGNORED
        assert wanted.any(dim=1).all()
        assert torch.equal(batch.labels[:, :-1][wanted[:, :-1]], batch.ids[:, 1:][wanted[:, :-1]])


def test_a_few_steps_lower_the_loss() -> None:
    plan = Plan(steps=60, places=512, rate=2e-2)
    shape = Shape(width=64, inner=96, layers=2, heads=2, kv_heads=1, head=32, context=512)
    source = batches(TOKENIZER, Random(1), plan.places, pool=2)
    losses = [loss for _, loss in train(fresh(shape, plan.seed), shape, source, plan)]
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


def test_the_same_seed_gives_the_same_first_weights() -> None:
    one, other = fresh(SMALL, 1), fresh(SMALL, 1)
    assert all(torch.equal(one[name], other[name]) for name in one)
