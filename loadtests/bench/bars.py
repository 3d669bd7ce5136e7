"""Samples → rows and the promises measured against them."""

from collections.abc import Callable, Iterable, Sequence

from loadtests.arithmetic import Spread, paired_differences, paired_ratios, percentile, spread
from loadtests.bench.plan import BARE, HAPROXY, HEADLINE, OWN
from loadtests.bench.probe import Shot
from loadtests.bench.results import Bar, Noisy, Row, Sample, Tracing

Figure = Callable[[Sample], float]


def requests(sample: Sample) -> float:
    return sample.requests_per_s


def front_cpu(sample: Sample) -> float:
    return sample.front_us


def chosen(samples: Iterable[Sample], phase: str, door: str, streams: int, *, pinned: bool = False) -> list[Sample]:
    """In the order of their pairs."""
    found = [s for s in samples if (s.phase, s.door, s.streams, s.pinned) == (phase, door, streams, pinned)]
    return sorted(found, key=lambda sample: sample.pair)


def ratio(figure: Figure, samples: Sequence[Sample], door: str, streams: int, *, pinned: bool = False) -> Spread:
    """Of a door to bare vLLM beside it, pair by pair."""
    ours, theirs = (
        [figure(sample) for sample in chosen(samples, door, side, streams, pinned=pinned)] for side in (door, BARE)
    )
    return spread(paired_ratios(ours, theirs))


def ttft_difference(samples: Sequence[Sample], door: str) -> Spread:
    """Milliseconds between the medians at one stream."""
    ours, theirs = ([sample.ttft_p50_ms for sample in chosen(samples, door, side, 1)] for side in (door, BARE))
    return spread(paired_differences(ours, theirs))


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
        events_per_token=sum(s.token_events for s in samples) / max(1, sum(s.tokens for s in samples)),
        front_us=spread([s.front_us for s in samples]),
        core_us=spread([s.core_us for s in samples]),
        client_us=spread([s.client_us for s in samples]),
    )


def bars(samples: Sequence[Sample], noisy: Noisy | None = None, tracing: Tracing | None = None) -> list[Bar]:
    """Those whose points were measured."""
    found = []
    if chosen(samples, OWN, BARE, HEADLINE):
        rate, cpu = (ratio(figure, samples, OWN, HEADLINE) for figure in (requests, front_cpu))
        through = ratio(front_cpu, samples, HAPROXY, HEADLINE)
        found += [
            Bar("requests/s at 64 streams, own port", "×", rate, bar=1.00, aim=1.20, higher_is_better=True),
            Bar("front-end CPU per token, own port", "×", cpu, bar=0.80, aim=0.50, higher_is_better=False),
            Bar("front-end CPU per token, HAProxy", "×", through, bar=1.10, aim=0.80, higher_is_better=False),
        ]
    if chosen(samples, OWN, BARE, 1):
        ttft = ttft_difference(samples, OWN)
        found.append(Bar("TTFT p50 at 1 stream, own port", "ms", ttft, bar=1.0, aim=0.3, higher_is_better=False))
    if noisy is not None:
        name = "TTFT p99 beside a noisy neighbour, to alone"
        found += [
            Bar(name, "×", noisy.ratio, bar=1.5, aim=1.1, higher_is_better=False, interval=noisy.interval),
            Bar(
                "the same, to beside a fair one",
                "×",
                noisy.ratio_to_fair,
                bar=1.5,
                aim=1.0,
                higher_is_better=False,
                interval=noisy.interval_to_fair,
            ),
        ]
    if tracing is not None:
        name = f"requests/s with {tracing.ratio:.0%} of traces, to none"
        value, interval = tracing.requests_per_s, tracing.requests_interval
        found.append(Bar(name, "×", value, bar=0.98, aim=1.00, higher_is_better=True, interval=interval))
    return found
