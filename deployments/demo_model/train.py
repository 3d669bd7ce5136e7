"""Train the demo model from nothing: generate dialogues, learn the tokenizer, train the network, write both formats."""

import argparse
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch
from tokenizers import Tokenizer
from torch.nn.functional import cross_entropy

from deployments.demo_model import BF16, INT8
from deployments.demo_model.batches import IGNORED, Batch, batches
from deployments.demo_model.model import Shape, Tensors, fresh, rounded, save
from deployments.demo_model.network import Network
from deployments.demo_model.quantize import is_linear, quantization_config, quantize
from deployments.demo_model.tokenizer import train_tokenizer

WARMUP = 100
REPORT_EVERY = 50
EXPORT_EVERY = 500


@dataclass(frozen=True)
class Plan:
    """What a run is determined by. `rate` is AdamW's learning rate, `matrix_rate` Muon's (0: AdamW for all)."""

    steps: int = 4000
    places: int = 4096
    seed: int = 0
    rate: float = 4e-3
    matrix_rate: float = 3e-3

    def share(self, step: int) -> float:
        """Share of the full learning rate: a short rise, then a straight line to zero."""
        return min((step + 1) / WARMUP, (self.steps - step) / max(1, self.steps - WARMUP))


def loss_of(network: Network, batch: Batch) -> torch.Tensor:
    """Mean cross-entropy of the learned tokens; the output projection runs at their places only."""
    wanted = batch.labels != IGNORED
    logits = network.logits(network.hidden(batch.ids)[wanted])
    return cross_entropy(logits.float(), batch.labels[wanted])


def _optimizers(weights: Tensors, plan: Plan) -> list[torch.optim.Optimizer]:
    matrices = [weight for name, weight in weights.items() if is_linear(name) and plan.matrix_rate]
    others = [weight for name, weight in weights.items() if not (is_linear(name) and plan.matrix_rate)]
    made: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(others, lr=plan.rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    ]
    if matrices:
        made.append(torch.optim.Muon(matrices, lr=plan.matrix_rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"))
    return made


def train(weights: Tensors, shape: Shape, source: Iterator[Batch], plan: Plan) -> Iterator[tuple[int, float]]:
    """Change float32 `weights` in place, one batch a step; yields step and loss. The passes run on bf16 copies."""
    copies = {name: weight.to(torch.bfloat16).requires_grad_() for name, weight in weights.items()}
    network = Network(copies, shape)
    optimizers = _optimizers(weights, plan)
    schedules = [torch.optim.lr_scheduler.LambdaLR(optimizer, plan.share) for optimizer in optimizers]
    for step in range(1, plan.steps + 1):
        loss = loss_of(network, next(source))
        loss.backward()
        for weight, copy in zip(weights.values(), copies.values(), strict=True):
            weight.grad = None if copy.grad is None else copy.grad.float()
            copy.grad = None
        torch.nn.utils.clip_grad_norm_(weights.values(), 1.0)
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            schedule.step()
        with torch.no_grad():
            for weight, copy in zip(weights.values(), copies.values(), strict=True):
                copy.copy_(weight)
        yield step, loss.item()


def export(weights: Tensors, tokenizer: Tokenizer, bf16: Path, int8: Path) -> None:
    """Write both checkpoint folders, each replaced as a whole."""
    tensors = rounded(weights)
    save(bf16, tensors, tokenizer)
    save(int8, quantize(tensors), tokenizer, {"quantization_config": quantization_config()})


def run(plan: Plan, bf16: Path, int8: Path) -> None:
    """A whole training run with progress lines."""
    torch.set_num_threads(2)
    tokenizer = train_tokenizer(plan.seed)
    shape = Shape()
    weights = fresh(shape, plan.seed)
    source = batches(tokenizer, Random(plan.seed + 1), plan.places)
    begun, recent = time.monotonic(), 0.0
    for step, loss in train(weights, shape, source, plan):
        recent += loss / REPORT_EVERY
        if step % REPORT_EVERY == 0:
            wall, busy = time.monotonic() - begun, sum(os.times()[:2])
            left = wall / step * (plan.steps - step)
            print(
                f"step {step}/{plan.steps} loss {recent:.4f} wall {wall:.0f}s cpu {busy:.0f}s left {left:.0f}s",
                flush=True,
            )
            recent = 0.0
        if step % EXPORT_EVERY == 0 or step == plan.steps:
            export(weights, tokenizer, bf16, int8)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--steps", type=int, default=Plan.steps, help="optimizer steps")
    parser.add_argument("--places", type=int, default=Plan.places, help="tokens per step, padding included")
    parser.add_argument("--seed", type=int, default=Plan.seed, help="decides data, tokenizer and first weights")
    parser.add_argument("--rate", type=float, default=Plan.rate, help="AdamW's learning rate")
    parser.add_argument(
        "--matrix-rate", type=float, default=Plan.matrix_rate, help="Muon's learning rate; 0: AdamW alone"
    )
    parser.add_argument("--bf16", type=Path, default=BF16, help="folder of the bf16 checkpoint")
    parser.add_argument("--int8", type=Path, default=INT8, help="folder of the int8 checkpoint")
    given = parser.parse_args()
    run(Plan(given.steps, given.places, given.seed, given.rate, given.matrix_rate), given.bf16, given.int8)


if __name__ == "__main__":
    main()
