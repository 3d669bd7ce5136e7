"""Arrivals to be replayed: recorded ones, those of a recorded rate, or made ones.

CSV files are told apart by their columns: `arrival_s, input_tokens, output_tokens` are requests, `t_s, total_rps` a rate, from
which a Poisson process is drawn whose lengths are those of requests handed in, or log-normal ones.
"""

import csv
import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

PROMPT, OUTPUT = (6.6, 0.9), (5.0, 0.8)
"""Mean and deviation of the logarithm of made lengths: medians of 735 and 148 tokens."""
LONGEST = 8192


class Arrival(NamedTuple):
    """Seconds since the first, tokens of the prompt, tokens of the answer."""

    at: float
    prompt: int
    output: int


class Trace(NamedTuple):
    name: str
    arrivals: tuple[Arrival, ...]

    @property
    def span_s(self) -> float:
        return self.arrivals[-1].at


def copies(trace: Trace, number: int, seed: int) -> Trace:
    """A larger service with the same ups and downs: the trace laid over itself, each copy up to a minute later."""
    rng = random.Random(seed)
    shifts = [0.0, *(rng.uniform(0.0, 60.0) for _ in range(number - 1))]
    laid = sorted(arrival._replace(at=arrival.at + shift) for shift in shifts for arrival in trace.arrivals)
    return Trace(f"{trace.name} x{number}", tuple(laid))


def read(file: Path, scale: float, faster: float, seed: int, lengths: Sequence[Arrival] = ()) -> Trace:
    """A recorded rate is multiplied by `scale` and passes `faster` times as fast; requests are replayed as they are. Raises
    OSError, or ValueError on other columns.
    """
    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    columns = set(rows[0]) if rows else set()
    if {"arrival_s", "input_tokens", "output_tokens"} <= columns:
        arrivals = [
            Arrival(float(r["arrival_s"]), max(1, int(r["input_tokens"])), max(1, int(r["output_tokens"])))
            for r in rows
        ]
        return Trace(file.stem, tuple(sorted(arrivals)))
    if {"t_s", "total_rps"} <= columns:
        points = [(float(r["t_s"]) / faster, scale * float(r["total_rps"])) for r in rows]
        return Trace(f"{file.stem} x{scale:g}, {faster:g} times as fast", poisson(points, seed, lengths))
    raise ValueError(
        f"{file.name}: neither arrival_s, input_tokens, output_tokens nor t_s, total_rps among its columns"
    )


def synthetic(seed: int, minutes: int = 60) -> Trace:
    """A wave of an hour with two bursts of two minutes, drawn from the seed: for machines without a recorded trace."""
    points = [(15.0 * step, _wave(step * 15.0, minutes * 60.0)) for step in range(minutes * 4)]
    return Trace(f"synthetic, seed {seed}", poisson(points, seed))


def _wave(t: float, span: float) -> float:
    wave = 5.5 - 3.0 * math.cos(2 * math.pi * t / span)
    return wave * (1.5 if (t / span + 0.7) % 0.5 < 0.034 else 1.0)


def poisson(points: Sequence[tuple[float, float]], seed: int, lengths: Sequence[Arrival] = ()) -> tuple[Arrival, ...]:
    """Arrivals of a rate given by (second, requests per second) until the next point; lengths drawn from `lengths` or made."""
    rng = random.Random(seed)
    step = points[1][0] - points[0][0]
    found: list[Arrival] = []
    for begin, rate in points:
        t = begin + (rng.expovariate(rate) if rate > 0 else step)
        while t < begin + step:
            drawn = rng.choice(lengths) if lengths else None
            prompt = drawn.prompt if drawn else _made(rng, *PROMPT)
            output = drawn.output if drawn else _made(rng, *OUTPUT)
            found.append(Arrival(t, prompt, output))
            t += rng.expovariate(rate)
    return tuple(found)


def _made(rng: random.Random, mean: float, deviation: float) -> int:
    return max(1, min(LONGEST, round(rng.lognormvariate(mean, deviation))))
