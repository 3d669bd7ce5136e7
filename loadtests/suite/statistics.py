"""TTFT, inter-token latency, tokens/s, queue time and end-to-end latency as Locust statistics of their own.

Each has a row per persona: the metric stands in Locust's `Type` column. Only end-to-end latency goes into Locust's totals, so
that its requests/s and failures stay what they say. Values are milliseconds, but for `tokens/s`.
"""

import time
from collections.abc import Sequence
from enum import StrEnum

from locust import stats as locust_stats
from locust.env import Environment
from locust.stats import RequestStats

from loadtests.suite.record import Outcome, Record


class Metric(StrEnum):
    TTFT = "TTFT"
    GAP = "ITL"
    RATE = "tokens/s"
    QUEUE = "queue"
    E2E = "e2e"


def bucket(value: float) -> float:
    """Three significant digits: Locust's own whole milliseconds would show an inter-token latency of 1.4 ms as 1."""
    return float(f"{value:.3g}")


def install() -> None:
    """Before any statistic is kept."""
    locust_stats.bucket_response_time = bucket  # type: ignore[assignment]
    locust_stats.PERCENTILES_TO_STATISTICS = [0.5, 0.99]
    locust_stats.PERCENTILES_TO_CHART = [0.5, 0.99]


def observe(stats: RequestStats, metric: Metric, persona: str, values: Sequence[float]) -> None:
    """All of them at once, as of now; what StatsEntry.log does for one."""
    if not values:
        return
    entry = stats.entries[persona, metric.value]
    now = time.time()
    if entry.use_response_times_cache and entry.last_request_timestamp and int(now) > int(entry.last_request_timestamp):
        entry._cache_response_times(int(now) - 1)  # noqa: SLF001  as `log` does
    entry.num_requests += len(values)
    entry.num_reqs_per_sec[int(now)] += len(values)
    entry.last_request_timestamp = now
    entry.total_response_time += sum(values)  # type: ignore[assignment]
    low, high = min(values), max(values)
    entry.min_response_time = low if entry.min_response_time is None else min(low, entry.min_response_time)  # type: ignore[assignment]
    entry.max_response_time = max(high, entry.max_response_time)  # type: ignore[assignment]
    for value in values:
        entry.response_times[bucket(value)] += 1  # type: ignore[index]


def tell(environment: Environment, record: Record) -> None:
    """One record to all statistics that it has something to say to."""
    persona, stats = record.persona, environment.stats
    if record.outcome is Outcome.RIGHT:
        if record.ttft_s is not None:
            observe(stats, Metric.TTFT, persona, [record.ttft_s * 1e3])
        observe(stats, Metric.GAP, persona, [gap * 1e3 for gap in record.gaps_s])
        if (rate := record.tokens_per_s) is not None:
            observe(stats, Metric.RATE, persona, [rate])
    if record.queue_s is not None:
        observe(stats, Metric.QUEUE, persona, [record.queue_s * 1e3])
    environment.events.request.fire(
        request_type=Metric.E2E.value,
        name=persona if record.outcome in (Outcome.RIGHT, Outcome.FAILED) else f"{persona} ({record.outcome})",
        response_time=record.e2e_s * 1e3,
        response_length=record.tokens,
        exception=record.problem or None,
        context={},
    )
