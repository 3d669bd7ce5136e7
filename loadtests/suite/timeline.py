"""Records → what happened in each span of time. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

import msgspec

from loadtests.arithmetic import percentile
from loadtests.suite.record import Outcome, Record


class Window(msgspec.Struct, frozen=True):
    """One span; `at` in seconds since the run's begin. Counts and latencies are of requests that ended in it, but for `in_flight`
    (mean) and `tokens_per_s`, in which a stream counts for as long as it ran. Latencies in ms; NaN where nothing ended.
    """

    at: float
    right: int
    failed: int
    refused: int
    left: int
    in_flight: float
    tokens_per_s: float
    ttft_p50_ms: float
    ttft_p99_ms: float
    gap_p50_ms: float
    gap_p99_ms: float
    queue_p99_ms: float
    e2e_p50_ms: float
    e2e_p99_ms: float


class Timeline:
    """Windows of `width` seconds from Unix time `begin` on, as records come. Each record is read once, and the percentiles of a
    window are worked out once, unless a record comes that ended in it.
    """

    def __init__(self, begin: float, width: float) -> None:
        self._begin, self._width = begin, width
        self._ended: defaultdict[int, list[Record]] = defaultdict(list)
        self._busy: defaultdict[int, float] = defaultdict(float)
        self._tokens: defaultdict[int, float] = defaultdict(float)
        self._known: dict[int, tuple[int, Window]] = {}

    def take(self, records: Iterable[Record]) -> None:
        for record in records:
            self._ended[int((record.ended - self._begin) // self._width)].append(record)
            self._spread(1.0, record.at + record.sent_s, record.ended, self._busy)
            if record.tokens:
                self._spread(record.tokens, record.at + (record.ttft_s or 0.0), record.ended, self._tokens, share=True)

    def window(self, place: int) -> Window:
        """That from begin + place x width."""
        ended = self._ended.get(place, [])
        count, known = self._known.get(place, (-1, None))
        if known is None or count != len(ended):
            known = _window(place * self._width, ended)
            self._known[place] = len(ended), known
        busy, tokens = (amounts.get(place, 0.0) / self._width for amounts in (self._busy, self._tokens))
        return msgspec.structs.replace(known, in_flight=busy, tokens_per_s=tokens)

    def forget(self, place: int) -> None:
        """The windows before that one."""
        for kept in (self._ended, self._busy, self._tokens, self._known):
            for old in [one for one in kept if one < place]:
                del kept[old]

    def _spread(
        self, amount: float, start: float, stop: float, into: defaultdict[int, float], *, share: bool = False
    ) -> None:
        """Adds amount x overlap to each window; with `share`, overlap is a part of the whole instead of seconds."""
        begin, width = self._begin, self._width
        length = max(stop - start, 1e-6)
        for place in range(int((start - begin) // width), int((stop - begin) // width) + 1):
            left = begin + place * width
            overlap = min(stop, left + width) - max(start, left)
            into[place] += amount * max(0.0, overlap) / (length if share else 1.0)


def windows(records: Iterable[Record], begin: float, end: float, width: float) -> list[Window]:
    """`begin` and `end` in Unix time; whole windows of `width` seconds only."""
    line = Timeline(begin, width)
    line.take(records)
    return [line.window(place) for place in range(max(0, int((end - begin) / width)))]


def _window(at: float, ended: Sequence[Record]) -> Window:
    """Of what ended in it alone."""
    right = [one for one in ended if one.outcome is Outcome.RIGHT]
    judged = [one for one in right if one.judged]
    ttft = [one.ttft_s * 1e3 for one in judged if one.ttft_s is not None]
    gaps = sorted([gap * 1e3 for one in judged for gap in one.gaps_s])
    queue = [one.queue_s * 1e3 for one in right if one.queue_s is not None]
    e2e = [one.e2e_s * 1e3 for one in judged]
    return Window(
        at=at,
        right=len(right),
        failed=_count(ended, Outcome.FAILED),
        refused=_count(ended, Outcome.REFUSED),
        left=_count(ended, Outcome.LEFT),
        in_flight=0.0,
        tokens_per_s=0.0,
        ttft_p50_ms=percentile(ttft, 0.5),
        ttft_p99_ms=percentile(ttft, 0.99),
        gap_p50_ms=percentile(gaps, 0.5),
        gap_p99_ms=percentile(gaps, 0.99),
        queue_p99_ms=percentile(queue, 0.99),
        e2e_p50_ms=percentile(e2e, 0.5),
        e2e_p99_ms=percentile(e2e, 0.99),
    )


def _count(records: Iterable[Record], outcome: Outcome) -> int:
    return sum(record.outcome is outcome for record in records)
