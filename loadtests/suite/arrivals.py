"""When requests come: pure functions of traces and rates. Open loop: nothing here waits for an answer."""

import argparse
import csv
import math
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from random import Random

import msgspec

from loadtests.simulation import mooncake

BLOCK_TOKENS = mooncake.BLOCK_TOKENS


class TraceError(ValueError):
    """A trace that cannot be read; the message names file and line."""


class Arrival(msgspec.Struct, frozen=True):
    """`at_s` since the trace's first arrival; lengths in tokens; `blocks`: equal ids mean equal prompts up to that block's end."""

    at_s: float
    prompt_tokens: int
    output_tokens: int
    blocks: tuple[int, ...] = ()


def poisson(rate: float, rng: Random) -> Iterator[float]:
    """Endless arrival times in seconds from 0; gaps are exponential with mean 1 / rate."""
    at = 0.0
    while True:
        at += rng.expovariate(rate)
        yield at


def read_trace(file: Path) -> list[Arrival]:
    """Mooncake's JSON lines, or CSV with a header; in order of arrival, the first at 0. Raises TraceError.

    CSV columns: `timestamp` in seconds or as date and time, prompt and output tokens (`input_tokens`, `output_tokens`, or the
    `ContextTokens` and `GeneratedTokens` of Azure's public traces).
    """
    try:
        arrivals = _read_csv(file) if file.suffix == ".csv" else _read_mooncake(file)
    except (OSError, UnicodeDecodeError, csv.Error, msgspec.MsgspecError) as exc:
        raise TraceError(f"{file}: {exc}") from exc
    if not arrivals:
        raise TraceError(f"{file}: no arrivals")
    arrivals.sort(key=lambda arrival: arrival.at_s)
    first = arrivals[0].at_s
    return [msgspec.structs.replace(arrival, at_s=arrival.at_s - first) for arrival in arrivals]


def trace_file(text: str) -> Path:
    """The type of a command-line option: a file that `read_trace` can read. Raises ArgumentTypeError."""
    try:
        read_trace(Path(text))
    except TraceError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from exc
    return Path(text)


def _read_mooncake(file: Path) -> list[Arrival]:
    return [
        Arrival(one.timestamp / 1e3, one.input_length, one.output_length, tuple(one.hash_ids))
        for one in mooncake.spread(mooncake.read(file))
    ]


def _read_csv(file: Path) -> list[Arrival]:
    arrivals = []
    with file.open(newline="", encoding="utf-8") as lines:
        for number, row in enumerate(csv.DictReader(lines), 2):
            fields = {name.strip().lower(): value for name, value in row.items() if name}
            try:
                prompt = fields.get("input_tokens") or fields["contexttokens"]
                output = fields.get("output_tokens") or fields["generatedtokens"]
                arrivals.append(Arrival(_seconds(fields["timestamp"]), int(prompt), int(output)))
            except (KeyError, ValueError, TypeError, OverflowError) as exc:
                raise TraceError(f"{file}:{number}: {type(exc).__name__}: {exc}") from exc
    return arrivals


def _seconds(value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        return datetime.fromisoformat(value.strip()[:26]).timestamp()
    if not math.isfinite(seconds):
        raise ValueError(f"{value!r} is no time")
    return seconds


def fitted(arrival: Arrival, scale: float, context: int) -> Arrival:
    """Lengths divided by `scale`, and cut so that prompt and output fit into `context` tokens."""
    output = max(1, min(round(arrival.output_tokens / scale), context // 2))
    prompt = max(8, min(round(arrival.prompt_tokens / scale), context - output))
    return Arrival(arrival.at_s, prompt, output, arrival.blocks)


def part(arrivals: Sequence[Arrival], index: int, parts: int) -> list[Arrival]:
    """Every `parts`-th arrival: what one of several workers replays."""
    return list(arrivals[index::parts])


def rates(arrivals: Sequence[Arrival], bins: int) -> list[float]:
    """A trace's load curve: arrivals in each of `bins` equal spans, as shares of the fullest one."""
    span = (arrivals[-1].at_s or 1.0) / bins
    counts = [0] * bins
    for arrival in arrivals:
        counts[min(bins - 1, int(arrival.at_s / span))] += 1
    return [count / max(counts) for count in counts]
