"""Records → the figures that objectives are about. Pure."""

from collections.abc import Sequence

import msgspec

from loadtests.arithmetic import percentile
from loadtests.suite.record import Outcome, Record

QUANTILES = (0.5, 0.9, 0.99, 1.0)


class Good(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a stream must keep to count as goodput: its first token's time, and the mean time between its tokens (ms)."""

    ttft_ms: float
    inter_token_ms: float

    def holds(self, record: Record) -> bool:
        gaps = record.gaps_s
        mean_ms = 1e3 * sum(gaps) / len(gaps) if gaps else 0.0
        return (
            record.outcome is Outcome.RIGHT
            and record.ttft_s is not None
            and record.ttft_s * 1e3 <= self.ttft_ms
            and mean_ms <= self.inter_token_ms
        )


class Spread(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nearest-rank percentiles of `count` values; NaN of none."""

    count: int
    p50: float
    p90: float
    p99: float
    max: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(len(values), *(percentile(values, share) for share in QUANTILES))


class Measures(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of one run. Latencies in ms, of streams that objectives are about; counts are of all attempts, and `goodput` is the share of
    those streams that were right and kept what `Good` asks for; one that was refused and never served did not. `lag_ms`: how late
    the generator itself was. `tool_calls`: share of the answers that should call a tool and did; None if there were none.
    """

    seconds: float
    right: int
    refused: int
    left: int
    failed: int
    unserved: int
    changed: int
    error_rate: float
    goodput: float
    goodput_per_s: float
    tokens_per_s: float
    ttft_ms: Spread
    inter_token_ms: Spread
    queue_ms: Spread
    e2e_ms: Spread
    lag_ms: Spread
    tool_calls: float | None
    by_persona: dict[str, dict[str, int]]
    problems: list[str]

    def values(self) -> dict[str, float]:
        """By the names of objectives."""
        return {
            "ttft_p99_ms": self.ttft_ms.p99,
            "inter_token_p99_ms": self.inter_token_ms.p99,
            "error_rate": self.error_rate,
            "goodput": self.goodput,
            "lag_p99_ms": self.lag_ms.p99,
        } | ({} if self.tool_calls is None else {"tool_calls": self.tool_calls})


def measure(records: Sequence[Record], seconds: float, good: Good) -> Measures:
    counts = {outcome: sum(record.outcome is outcome for record in records) for outcome in Outcome}
    judged = [one for one in records if one.judged and one.outcome in (Outcome.RIGHT, Outcome.FAILED, Outcome.UNSERVED)]
    right = [one for one in judged if one.outcome is Outcome.RIGHT and one.ttft_s is not None]
    kept = sum(good.holds(one) for one in judged)
    called = [one.called for one in records if one.called is not None]
    answered = counts[Outcome.RIGHT] + counts[Outcome.FAILED]
    return Measures(
        seconds=seconds,
        right=counts[Outcome.RIGHT],
        refused=counts[Outcome.REFUSED],
        left=counts[Outcome.LEFT],
        failed=counts[Outcome.FAILED],
        unserved=counts[Outcome.UNSERVED],
        changed=sum(one.changed for one in records),
        error_rate=counts[Outcome.FAILED] / answered if answered else 1.0,
        goodput=kept / len(judged) if judged else 0.0,
        goodput_per_s=kept / seconds if seconds else 0.0,
        tokens_per_s=sum(one.tokens for one in records) / seconds if seconds else 0.0,
        ttft_ms=Spread.of([1e3 * one.ttft_s for one in right if one.ttft_s is not None]),
        inter_token_ms=Spread.of([1e3 * gap for one in right for gap in one.gaps_s]),
        queue_ms=Spread.of([1e3 * one.queue_s for one in records if one.queue_s is not None]),
        e2e_ms=Spread.of([1e3 * one.e2e_s for one in right]),
        lag_ms=Spread.of([1e3 * one.lag_s for one in records if one.status and one.outcome is not Outcome.REFUSED]),
        tool_calls=sum(called) / len(called) if called else None,
        by_persona=_by_persona(records),
        problems=sorted({f"{one.persona}: {one.problem}" for one in records if one.problem})[:20],
    )


def _by_persona(records: Sequence[Record]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for record in records:
        counts = found.setdefault(record.persona, {outcome.value: 0 for outcome in Outcome})
        counts[record.outcome.value] += 1
    return dict(sorted(found.items()))
