"""Samples → rows and the promises measured against them."""

from collections.abc import Iterable, Sequence

from loadtests.arithmetic import Spread, paired_differences, paired_ratios, percentile, spread
from loadtests.bench.plan import BARE, HAPROXY, HEADLINE, OWN
from loadtests.bench.probe import Shot
from loadtests.bench.results import Bar, Row, Sample


def chosen(samples: Iterable[Sample], door: str, streams: int, *, pinned: bool = False) -> list[Sample]:
    """In the order of their pairs."""
    found = [s for s in samples if (s.door, s.streams, s.pinned) == (door, streams, pinned)]
    return sorted(found, key=lambda sample: sample.pair)


def row(shots: Sequence[Shot]) -> Row:
    """Of all shots through one door at one point."""
    samples = [shot.sample for shot in shots]
    ttft = [value for shot in shots for value in shot.load.ttft_s]
    gaps = [value for shot in shots for value in shot.load.gaps_s]
    return Row(
        door=samples[0].door,
        streams=samples[0].streams,
        pinned=samples[0].pinned,
        requests_per_s=spread([s.requests_per_s for s in samples]),
        tokens_per_s=spread([s.tokens_per_s for s in samples]),
        ttft_p50_ms=percentile(ttft, 0.5) * 1e3,
        ttft_p99_ms=percentile(ttft, 0.99) * 1e3,
        gap_p50_ms=percentile(gaps, 0.5) * 1e3,
        gap_p99_ms=percentile(gaps, 0.99) * 1e3,
        front_us=spread([s.front_us for s in samples]),
        core_us=spread([s.core_us for s in samples]),
        client_us=spread([s.client_us for s in samples]),
    )


def requests_ratio(samples: Sequence[Sample], door: str, streams: int, *, pinned: bool = False) -> Spread:
    ours, theirs = (chosen(samples, name, streams, pinned=pinned) for name in (door, BARE))
    return spread(paired_ratios([s.requests_per_s for s in ours], [s.requests_per_s for s in theirs]))


def cpu_ratio(samples: Sequence[Sample], door: str, streams: int, *, pinned: bool = False) -> Spread:
    ours, theirs = (chosen(samples, name, streams, pinned=pinned) for name in (door, BARE))
    return spread(paired_ratios([s.front_us for s in ours], [s.front_us for s in theirs]))


def ttft_difference(samples: Sequence[Sample], door: str) -> Spread:
    """Milliseconds between the medians at one stream."""
    ours, theirs = (chosen(samples, name, 1) for name in (door, BARE))
    return spread(paired_differences([s.ttft_p50_ms for s in ours], [s.ttft_p50_ms for s in theirs]))


def bars(samples: Sequence[Sample]) -> list[Bar]:
    """Those whose points were measured."""
    found = []
    if chosen(samples, BARE, HEADLINE):
        found += [
            Bar("requests/s at 64 streams, own port", "×", requests_ratio(samples, OWN, HEADLINE), 1.00, 1.20, True),
            Bar("front-end CPU per token, own port", "×", cpu_ratio(samples, OWN, HEADLINE), 0.80, 0.50, False),
            Bar("front-end CPU per token, HAProxy", "×", cpu_ratio(samples, HAPROXY, HEADLINE), 1.10, 0.80, False),
        ]
    if chosen(samples, BARE, 1):
        found.append(Bar("TTFT p50 at 1 stream, own port", "ms", ttft_difference(samples, OWN), 1.0, 0.3, False))
    return found
