"""Traces of Mooncake's form: JSON lines of arrival, lengths, and one id for each 512-token block of the prompt.

Equal ids mean equal prompts up to the end of that block, so the ids stand for what PromptHasher would make of the tokens.
"""

import itertools
from collections.abc import Sequence
from pathlib import Path

import msgspec

BLOCK_TOKENS = 512


class Arrival(msgspec.Struct, frozen=True):
    """`timestamp` in ms since the first, lengths in tokens."""

    timestamp: int
    input_length: int
    output_length: int
    hash_ids: list[int]


def read(file: Path) -> list[Arrival]:
    """In order of arrival. Raises msgspec.ValidationError if a line is of another form, OSError if there is no such file."""
    arrivals = [msgspec.json.decode(line, type=Arrival) for line in file.read_bytes().splitlines() if line.strip()]
    return sorted(arrivals, key=lambda arrival: arrival.timestamp)


def spread(arrivals: Sequence[Arrival]) -> list[Arrival]:
    """Those with equal timestamps evenly over the time until the next timestamp: the trace was recorded with a coarse clock, and
    thousands of users do not click in the same millisecond.
    """
    result: list[Arrival] = []
    stamps = sorted({arrival.timestamp for arrival in arrivals})
    until = dict(zip(stamps, [*stamps[1:], stamps[-1] + 1], strict=True)) if stamps else {}
    for stamp, group in itertools.groupby(arrivals, key=lambda arrival: arrival.timestamp):
        together = list(group)
        step = (until[stamp] - stamp) / len(together)
        result += [
            msgspec.structs.replace(arrival, timestamp=stamp + int(place * step))
            for place, arrival in enumerate(together)
        ]
    return result


def ceiling(arrivals: Sequence[Arrival]) -> float:
    """Share of all prompt blocks that one cache which never forgets would have held: no routing finds more."""
    seen: set[int] = set()
    found = total = 0
    for arrival in arrivals:
        total += len(arrival.hash_ids)
        for block in arrival.hash_ids:
            if block not in seen:
                break
            found += 1
        seen.update(arrival.hash_ids)
    return found / total if total else 0.0
