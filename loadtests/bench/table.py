"""Results → one table and a few lines, for a terminal."""

import statistics
from collections.abc import Iterable

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from loadtests.arithmetic import Spread
from loadtests.bench.bars import front_cpu, ratio, requests
from loadtests.bench.plan import BARE, DOORS, HEADLINE
from loadtests.bench.results import Bar, Batching, Equality, Noisy, Results, Row, Tracing

SIDES = (BARE, *DOORS)
LEAST_US = 0.05
"""What a process must use per token to be shown."""


def show(results: Results, console: Console) -> None:
    console.print(Group(_main(results), "", _cpu_by_role(results), "", _memory(results), "", _bars(results.bars)))
    for line in _lines(results):
        console.print(line)


def _range(value: Spread, digits: int) -> str:
    return f"{value.median:.{digits}f} ({value.low:.{digits}f}–{value.high:.{digits}f})"


def _main(results: Results) -> Table:
    table = Table("streams", "measure", *SIDES, "own/bare", "HAProxy/bare", title="Sluice beside bare vLLM")
    rows = {(row.streams, row.pinned, row.door): row for row in results.rows}
    for streams, pinned in dict.fromkeys((row.streams, row.pinned) for row in results.rows):
        cells = [rows[streams, pinned, side] for side in SIDES]
        rates, cpu = (
            [_range(ratio(figure, results.samples, door, streams, pinned=pinned), 2) for door in DOORS]
            for figure in (requests, front_cpu)
        )
        label = f"{streams}, pinned" if pinned else str(streams)
        table.add_section()
        if not pinned:
            table.add_row(label, "requests/s", *(_range(cell.requests_per_s, 1) for cell in cells), *rates)
            table.add_row("", "tokens/s", *(f"{cell.tokens_per_s.median:.0f}" for cell in cells))
            table.add_row("", "TTFT p50 / p99, ms", *map(_ttft, cells))
            table.add_row("", "gap p50 / p99, ms", *map(_gap, cells))
        table.add_row(
            label if pinned else "", "front-end CPU, µs/token", *(_range(cell.front_us, 1) for cell in cells), *cpu
        )
        table.add_row(
            "", "front-end CPU, µs/event", *(f"{cell.front_us.median / cell.events_per_token:.1f}" for cell in cells)
        )
        table.add_row("", "events per token", *(f"{cell.events_per_token:.3f}" for cell in cells))
        table.add_row("", "engine core CPU, µs/token", *(f"{cell.core_us.median:.1f}" for cell in cells))
    return table


def _ttft(row: Row) -> str:
    return f"{row.ttft_p50_ms:.2f} / {row.ttft_p99_ms:.2f}"


def _gap(row: Row) -> str:
    return f"{row.gap_p50_ms:.2f} / {row.gap_p99_ms:.2f}"


def _cpu_by_role(results: Results) -> Table:
    points = {(s.streams, s.pinned) for s in results.samples}
    streams, pinned = (HEADLINE, False) if (HEADLINE, False) in points else max(points)
    table = Table(
        "process", *SIDES, title=f"Front-end CPU by process at {streams} streams, µs/token, idle use subtracted"
    )
    of_side = {
        side: [s.front_us_by_role for s in results.samples if (s.door, s.streams, s.pinned) == (side, streams, pinned)]
        for side in SIDES
    }
    for role in dict.fromkeys(role for samples in of_side.values() for sample in samples for role in sample):
        means = [statistics.fmean(sample.get(role, 0.0) for sample in of_side[side]) for side in SIDES]
        if max(means) >= LEAST_US:
            table.add_row(role, *(f"{mean:.1f}" for mean in means))
    return table


def _memory(results: Results) -> Table:
    table = Table("system", "process", "RSS, MiB", "PSS, MiB", "idle use, % of a core", title="Memory and idle use")
    for system, roles in results.memory.items():
        table.add_section()
        idle = results.idle_cores[system]
        for name, memory in sorted(roles.items(), key=lambda item: -item[1].pss):
            table.add_row(
                system, name, str(memory.rss >> 20), str(memory.pss >> 20), f"{100 * idle.get(name, 0.0):.2f}"
            )
        whole = [sum(getattr(memory, kind) for memory in roles.values()) >> 20 for kind in ("rss", "pss")]
        table.add_row(system, "together", *map(str, whole), f"{100 * sum(idle.values()):.2f}")
    return table


def _bars(bars: Iterable[Bar]) -> Table:
    table = Table("promise", "median (range)", "pairs", "bar", "", "aim", "", title="Promises")
    for bar in bars:
        sign = "≥" if bar.higher_is_better else "≤"
        table.add_row(
            bar.name,
            f"{_range(bar.value, 2)} {bar.unit}",
            str(bar.value.count),
            f"{sign} {bar.bar:.2f}",
            Text(bar.verdict, "green" if bar.met else "bold red"),
            f"{sign} {bar.aim:.2f}",
            "reached" if bar.aim_met else "not yet",
        )
    return table


def _lines(results: Results) -> Iterable[str]:
    for one in results.equality:
        yield _equality(one)
    problems = [problem for sample in results.samples for problem in sample.problems]
    yield f"streams with errors: {len(problems)}" + (f", such as {problems[0]}" if problems else "")
    foreign = [sample.foreign_cores for sample in results.samples]
    yield f"used by other processes: median {statistics.median(foreign):.2f}, at most {max(foreign):.2f} cores"
    for batch in results.batching:
        yield _batching(batch)
    if results.noisy is not None:
        yield noisy_line(results.noisy)
    if results.tracing is not None:
        yield tracing_line(results.tracing)
    machine = results.machine
    yield f"{machine['cpu']}, {machine['cores']} cores, kernel {machine['kernel']}; commit {results.commit}, seed {results.seed}"


def tracing_line(one: Tracing) -> str:
    """With the intervals, for they say whether the bar can be told from the noise."""
    rates, cpu = (
        f"× {value.median:.4f} (95 %: {low:.4f} to {high:.4f})"
        for value, (low, high) in ((one.requests_per_s, one.requests_interval), (one.cpu, one.cpu_interval))
    )
    return f"traces of {one.ratio:.0%} of requests: requests/s {rates}, CPU per token {cpu}, {one.requests_per_s.count} pairs"


def noisy_line(noisy: Noisy) -> str:
    rows = (noisy.alone_ms, noisy.fair_ms, noisy.beside_ms)
    alone, fair, beside = (statistics.median(values) for values in rows)
    low, high = noisy.interval or (noisy.ratio.low, noisy.ratio.high)
    return (
        f"{noisy.quiet_streams} streams of one tenant, max_num_seqs {noisy.max_num_seqs}: TTFT p99 {alone:.1f} ms alone, "
        f"{fair:.1f} ms beside {noisy.fair_streams} streams of another, {beside:.1f} ms beside {noisy.noisy_streams}: "
        f"× {noisy.ratio.median:.2f} ({low:.2f} to {high:.2f}) of alone, {noisy.ratio.count} rounds"
    )


def _equality(one: Equality) -> str:
    return f"answers {one.where}: {one.compared - one.different} of {one.compared} equal bare vLLM's"


def _batching(batch: Batching) -> str:
    first = "before" if batch.short_ended_ms < batch.long_ended_ms else "after"
    speed = f"max_num_seqs {batch.max_num_seqs}: {batch.tokens_per_s:.0f} tokens/s at 64 streams"
    long, sent, short = (f"{ms:.0f} ms" for ms in (batch.long_ended_ms, batch.short_sent_ms, batch.short_ended_ms))
    return f"{speed}; a short request sent {sent} after a long one ended at {short}, {first} it ({long})"
