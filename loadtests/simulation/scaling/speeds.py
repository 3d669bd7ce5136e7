"""How fast an engine is: seconds to prefill a prompt, and seconds of a decoding step by its batch.

Measured tables have the columns of Splitwise's performance model (Patel et al., ISCA 2024): model, hardware, tensor_parallel,
prompt_size, batch_size, token_size, prompt_time and token_time (ms). Between two points the line; beyond the last, its slope.
"""

import csv
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

SLOTS = 64
CHUNK = 2048
"""Prompt tokens of one step: while a prompt is prefilled, each step also decodes one token of every running sequence."""


class Speeds(NamedTuple):
    """`step_s[n]` of n sequences; prompts by (tokens, seconds), rising."""

    name: str
    step_s: tuple[float, ...]
    prompts: tuple[tuple[float, float], ...]

    @property
    def slots(self) -> int:
        return len(self.step_s) - 1

    def prefill_s(self, tokens: int) -> float:
        return _line(self.prompts, tokens)


def synthetic() -> Speeds:
    """Round numbers of the order of a 70B model on four A100s, for machines without a measured table."""
    steps = tuple(0.044 + 0.0004 * batch for batch in range(SLOTS + 1))
    return Speeds("synthetic", steps, ((0.0, 0.02), (1024.0, 0.23), (8192.0, 2.0)))


def read(file: Path, model: str, hardware: str, tensor_parallel: int) -> Speeds:
    """Raises OSError, or ValueError if the table has no such row."""
    prompts: dict[int, list[float]] = defaultdict(list)
    steps: dict[int, list[float]] = defaultdict(list)
    with file.open(newline="") as lines:
        for row in csv.DictReader(lines):
            if (row["model"], row["hardware"], int(row["tensor_parallel"])) != (model, hardware, tensor_parallel):
                continue
            if int(row["batch_size"]) == 1:
                prompts[int(row["prompt_size"])].append(float(row["prompt_time"]) / 1000)
            if int(row["prompt_size"]) == 512:
                steps[int(row["batch_size"])].append(float(row["token_time"]) / 1000)
    if not prompts or not steps:
        raise ValueError(f"{file.name} has no rows of {model} on {hardware} with tensor_parallel {tensor_parallel}")
    line = _rising(steps)
    return Speeds(
        f"{model} on {hardware} x{tensor_parallel}",
        tuple(_line(line, batch) for batch in range(SLOTS + 1)),
        _rising(prompts),
    )


def _rising(measured: dict[int, list[float]]) -> tuple[tuple[float, float], ...]:
    """Medians, none below the one before: more work is never faster."""
    points: list[tuple[float, float]] = []
    for x in sorted(measured):
        points.append((float(x), max(median(measured[x]), points[-1][1] if points else 0.0)))
    return tuple(points)


def _line(points: Sequence[tuple[float, float]], x: float) -> float:
    if len(points) == 1 or x <= points[0][0]:
        return points[0][1]
    place = min(bisect_left(points, (x, 0.0)), len(points) - 1)
    (x0, y0), (x1, y1) = points[place - 1], points[place]
    return y0 + (y1 - y0) * (x - x0) / (x1 - x0)
