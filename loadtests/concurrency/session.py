"""The two measurements against a running Sluice, with its processes sampled beside them."""

import asyncio
import resource
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import NamedTuple

from loadtests.arithmetic import percentile
from loadtests.concurrency.idle import ask_all, close_all, open_all
from loadtests.concurrency.results import Connections, Streams
from loadtests.concurrency.streams import STAGGER_S, Door, Held, hold
from loadtests.roles import Role
from loadtests.suite.sampler import EVERY_S, Process, Sample, Sampler, sample

SETTLE_S = 5.0
PROBES, PROBE_TOKENS = 20, 16
SPARE = 200
"""Descriptors for everything but the connections that are counted."""


class TooFewDescriptorsError(RuntimeError):
    """`ulimit -n` allows fewer open files than connections were asked for."""


def gateway(seen: Sample) -> Process:
    """Raises StopIteration if the sample has none."""
    return next(process for process in seen.processes if process.role == Role.GATEWAY.value)


class InFlight(NamedTuple):
    """Of the samples that say how many streams ran: the median and the lowest count, the seconds from the first to the last, and
    their share of all samples.
    """

    median: float
    low: int
    steady_s: float
    seen_share: float


def in_flight(samples: Sequence[Sample]) -> InFlight:
    """A gateway that was too busy to say it has not lost its streams."""
    seen = [(one.at, one.running) for one in samples if one.running is not None]
    if not seen:
        return InFlight(0.0, 0, 0.0, 0.0)
    running = [count for _, count in seen]
    return InFlight(median(running), min(running), seen[-1][0] - seen[0][0], len(seen) / len(samples))


async def streams(
    door: Door, look: Callable[[], Sample], sampler: Sampler, wanted: int, seconds: float, max_tokens: int, seed: int
) -> Streams:
    """`look` takes one sample now."""
    await hold(door, max(1, wanted // 20), 5.0, 16, seed + 1, Held())
    await asyncio.sleep(SETTLE_S)
    idle = gateway(look())
    held, begun = Held(), time.time()
    full = begun + wanted * STAGGER_S + SETTLE_S
    with sampler:
        await hold(door, wanted, full + seconds + 2 * EVERY_S - begun, max_tokens, seed, held)
    took = time.time() - begun
    await asyncio.sleep(SETTLE_S)
    steady = [seen for seen in sampler.samples if full <= seen.at <= full + seconds + 2 * EVERY_S]
    peak = max(gateway(seen).anon for seen in sampler.samples)
    flight = in_flight(steady)
    return Streams(
        wanted=wanted,
        seconds=took,
        steady_s=flight.steady_s,
        seen_share=flight.seen_share,
        max_tokens=max_tokens,
        completed=held.completed,
        tokens_per_s=held.tokens / took,
        in_flight_median=flight.median,
        in_flight_low=flight.low,
        ttft_p50_ms=1e3 * percentile(held.ttft_s, 0.5),
        ttft_p99_ms=1e3 * percentile(held.ttft_s, 0.99),
        mean_gap_p50_ms=1e3 * percentile(held.mean_gaps_s, 0.5),
        problems=dict(held.problems),
        gateway_idle_mib=idle.anon / 2**20,
        gateway_peak_mib=peak / 2**20,
        kib_per_stream=(peak - idle.anon) / 1024 / wanted,
        gateway_after_mib=gateway(look()).anon / 2**20,
        gateway_fds_peak=max(gateway(seen).fds for seen in sampler.samples),
    )


async def connections(door: Door, look: Callable[[], Sample], wanted: int, seconds: float, seed: int) -> Connections:
    """Raises TooFewDescriptorsError."""
    allowed = _raise_limit(wanted + SPARE)
    before_ttft = await _ttft_ms(door, seed)
    before = gateway(look())
    limit = _limit_of(before.pid)
    idle = await open_all(door.host, door.port, wanted)
    begun = time.perf_counter()
    beside_ttft = await _ttft_ms(door, seed + 1)
    beside = gateway(look())
    await asyncio.sleep(max(0.0, seconds - (time.perf_counter() - begun)))
    await ask_all(door.host, door.port, idle)
    close_all(idle)
    return Connections(
        wanted=wanted,
        seconds=seconds,
        refused=idle.refused,
        lost=idle.lost,
        silent=idle.silent,
        opened_in_s=idle.opened_in_s,
        asked_in_s=idle.asked_in_s,
        stream_ttft_before_ms=before_ttft,
        stream_ttft_beside_ms=beside_ttft,
        gateway_before_mib=before.anon / 2**20,
        gateway_with_mib=beside.anon / 2**20,
        kib_per_connection=(beside.anon - before.anon) / 1024 / wanted,
        gateway_fds=beside.fds,
        descriptor_limit=min(limit, allowed),
    )


async def _ttft_ms(door: Door, seed: int) -> float:
    """Median over a few streams, one after another."""
    held = Held()
    for number in range(PROBES):
        await hold(door, 1, 0.0, PROBE_TOKENS, seed + 7 * number, held)
    return 1e3 * percentile(held.ttft_s, 0.5)


def _limit_of(pid: int) -> int:
    return resource.prlimit(pid, resource.RLIMIT_NOFILE)[0]


def _raise_limit(wanted: int) -> int:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise TooFewDescriptorsError(f"ulimit -n allows {hard} open files, and {wanted} are needed")
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(soft, wanted)


def looking(management: str, pids: Callable[[], list[int]]) -> Callable[[], Sample]:
    return lambda: sample(management, pids(), time.time())
