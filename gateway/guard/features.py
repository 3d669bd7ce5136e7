"""What a day's sketches say, as numbers of which more is always more like a harvest. Pure.

Shares alone mean nothing for a key with three requests, so each comes times the logarithm of how often it was seen.
Kinds of evidence that share a cause are one family: within a family the strongest counts, never their sum.
"""

import math
from typing import Final, NamedTuple

from gateway.guard import distinct
from gateway.guard.groups import Kin
from gateway.guard.profile import Profile, bits_set
from gateway.guard.rff import Window, discrepancy


class Features(NamedTuple):
    """Of one key and day, up to now."""

    novelty: float = 0.0
    coverage: float = 0.0
    template: float = 0.0
    volume: float = 0.0
    harvest: float = 0.0
    verbose: float = 0.0
    instruction: float = 0.0
    reasoning: float = 0.0
    probing: float = 0.0
    edits: float = 0.0
    refused: float = 0.0
    scalars: float = 0.0
    oracle: float = 0.0
    bias_spread: float = 0.0
    several: float = 0.0
    uniform: float = 0.0
    regular: float = 0.0
    hours: float = 0.0
    rush: float = 0.0
    replayed: float = 0.0
    twins: float = 0.0
    pivot: float = 0.0
    ring: float = 0.0
    ring_words: float = 0.0
    ring_even: float = 0.0
    ring_kin: float = 0.0
    ring_sync: float = 0.0


class Snapshot(NamedTuple):
    """A key's features at some time of a day; all of a day's snapshots together are one key-day."""

    key: str
    day: int
    features: Features


FAMILIES: Final = {
    "content": ("novelty", "coverage", "template"),
    "volume": ("volume", "verbose", "harvest"),
    "words": ("instruction", "reasoning"),
    "probing": ("probing", "edits", "refused"),
    "channel": ("scalars", "oracle", "bias_spread"),
    "sampling": ("several", "uniform"),
    "timing": ("regular", "hours", "rush"),
    "history": ("replayed", "pivot"),
    "copies": ("twins",),
    "ring": ("ring", "ring_words"),
    "rotation": ("ring_even", "ring_kin", "ring_sync"),
}
LEAST: Final = 8.0
"""Requests before anything is said of a key's own shape: refused ones are free, and would water it down."""
SHORTEST_GAPS: Final = 16


def features(profile: Profile, past: Window, kin: Kin, part: float, keys: float = 1.0) -> Features:
    """`past` is the key's own traffic of earlier days, `kin` the strongest group that it belongs to, `part` its requests there.

    Of an account's traffic, `keys`: a large customer is no harvest, so what grows with size is what one key had on average.
    """
    n = profile.get("requests") - profile.get("refused")
    shape = _shape(profile, n, past, keys) if n >= LEAST else {}
    return Features(
        **shape,
        probing=_weighted(profile, "probing"),
        refused=_weighted(profile, "refused"),
        scalars=_log(profile.get("scalars")),
        oracle=_log(profile.get("biased")) + _log(min(profile.get("constrained"), profile.get("short"))),
        bias_spread=_log(distinct.count(profile.biases)),
        **_ring(kin, part),
    )


def _shape(profile: Profile, n: float, past: Window, keys: float) -> dict[str, float]:
    each = n / keys
    fresh = min(1.0, distinct.count(profile.texts) / n)
    topics = bits_set(profile.topics)
    used, changing = profile.templates.harvest()
    volume = _log(profile.get("completion") / keys / 256)
    completion = profile.get("completion")
    ways = max(1.0, distinct.count(profile.samplings))
    return {
        "novelty": fresh * _log(each),
        "coverage": math.log(max(topics, 1)) / math.log(n) * _log(topics / keys),
        "template": changing * used / n * _log(used / keys),
        "volume": volume,
        "verbose": completion / n / 64,
        "harvest": fresh * completion / n / 64 * volume,
        "instruction": _weighted(profile, "instruction"),
        "reasoning": _weighted(profile, "reasoning"),
        "edits": _weighted(profile, "edits", keys),
        "several": _weighted(profile, "several", keys),
        "uniform": _log(each) / ways,
        "regular": _regular(profile, keys),
        "hours": bits_set(profile.minutes) / 1440 * 4 / keys,
        "rush": fresh * profile.rush / keys / 1000,
        "replayed": _log(profile.get("replayed") / keys)
        * profile.get("replayed")
        / max(1.0, profile.get("long_turns")),
        "twins": _weighted(profile, "twins", keys),
        "pivot": _pivot(profile.window, past, keys),
    }


def _ring(kin: Kin, part: float) -> dict[str, float]:
    if not kin.accounts:
        return {}
    many = kin.weight * _log(kin.accounts - 2) * _log(part) / 4
    return {
        "ring": many * kin.novelty * kin.kinship * math.sqrt(kin.evenness),
        "ring_words": many * kin.novelty * max(kin.instruction, kin.reasoning),
        "ring_even": many * kin.evenness,
        "ring_kin": many * kin.kinship,
        "ring_sync": many * kin.synchrony,
    }


def _log(count: float) -> float:
    return math.log2(1 + max(0.0, count))


def _weighted(profile: Profile, name: str, keys: float = 1.0) -> float:
    return profile.share(name) * _log(profile.get(name) / keys)


def _regular(profile: Profile, keys: float) -> float:
    """People's gaps spread over orders of magnitude; a clock's, and a load balancer's, do not."""
    gaps = profile.get("gaps")
    if gaps < SHORTEST_GAPS:
        return 0.0
    mean = profile.get("log_gaps") / gaps
    spread = math.sqrt(max(0.0, profile.get("log_gaps2") / gaps - mean * mean))
    return max(0.0, 1 - spread / 1.5) * _log(gaps / keys)


def _pivot(today: Window, past: Window, keys: float) -> float:
    if today.n < 32 or past.n < 32:
        return 0.0
    return math.sqrt(max(0.0, discrepancy(today, past))) * _log(today.n / keys)
