"""A run as pictures: inline SVG by matplotlib, small enough that a whole report is one file."""

import io
import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from loadtests.suite.knee import Point
from loadtests.suite.record import Outcome, Record
from loadtests.suite.sampler import Sample
from loadtests.suite.timeline import Window

SIZE = (6.4, 2.8)
STYLE: Any = {"svg.fonttype": "none", "font.size": 8, "axes.grid": True, "grid.alpha": 0.3, "axes.spines.top": False}
POINTS = 400


def _drawn(title: str, x: str, y: str, draw: Callable[[Axes], None]) -> str:
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=SIZE, layout="constrained")
        axes = figure.add_subplot()
        draw(axes)
        axes.set(title=title, xlabel=x, ylabel=y)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=7, frameon=False)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return re.sub(r"^.*?(?=<svg)", "", out.getvalue(), flags=re.DOTALL)


def _logarithmic(axes: Axes) -> bool:
    """False where nothing was measured, and no scale could be."""
    drawn = (np.asarray(line.get_ydata(), dtype=float) for line in axes.get_lines())
    seen = any(bool((values > 0).any()) for values in drawn)
    if seen:
        axes.set_yscale("log")
    return seen


def latency_over_time(windows: Sequence[Window]) -> str:
    def draw(axes: Axes) -> None:
        at = [window.at for window in windows]
        axes.plot(at, [window.ttft_p50_ms for window in windows], label="TTFT p50")
        axes.plot(at, [window.ttft_p99_ms for window in windows], label="TTFT p99")
        axes.plot(at, [window.queue_p99_ms for window in windows], label="queue p99", linestyle=":")
        _logarithmic(axes)

    return _drawn("Time to first token and queue time", "s", "ms", draw)


def gaps_over_time(windows: Sequence[Window]) -> str:
    def draw(axes: Axes) -> None:
        at = [window.at for window in windows]
        axes.plot(at, [window.gap_p50_ms for window in windows], label="p50")
        axes.plot(at, [window.gap_p99_ms for window in windows], label="p99")
        _logarithmic(axes)

    return _drawn("Inter-token latency", "s", "ms", draw)


def percentiles(records: Sequence[Record]) -> str:
    """Share of streams that were no slower, on a scale that opens the tail."""
    right = [one for one in records if one.judged and one.outcome is Outcome.RIGHT]
    curves = {
        "TTFT": sorted(1e3 * one.ttft_s for one in right if one.ttft_s is not None),
        "inter-token": sorted(1e3 * gap for one in right for gap in one.gaps_s),
        "end to end": sorted(1e3 * one.e2e_s for one in right),
    }

    def draw(axes: Axes) -> None:
        for name, values in curves.items():
            step = max(1, len(values) // POINTS)
            places = [*range(0, len(values), step), *range(max(0, len(values) - 50), len(values))]
            places = sorted(set(places))
            axes.plot([1 / (1 - place / len(values)) for place in places], [values[p] for p in places], label=name)
        if _logarithmic(axes):
            axes.set_xscale("log")
            axes.set_xticks([2, 10, 100, 1000], ["50 %", "90 %", "99 %", "99.9 %"])

    return _drawn("Percentiles", "share of streams", "ms", draw)


def throughput(windows: Sequence[Window], ramp: Sequence[Point], knee: Point | None) -> str:
    def draw(axes: Axes) -> None:
        axes.scatter(
            [window.in_flight for window in windows], [window.tokens_per_s for window in windows], s=8, alpha=0.5,
            label="5-second windows",
        )  # fmt: skip
        axes.set_ylim(bottom=0)
        if ramp:
            axes.plot(
                [point.users for point in ramp], [point.tokens_per_s for point in ramp], "o-", label="ramp (users)"
            )
        if knee is not None:
            axes.axvline(knee.users, linestyle=":", color="black", label=f"knee: {knee.users} users")

    return _drawn("Throughput against concurrency", "streams in flight", "tokens/s", draw)


def _known(values: Iterable[float | None]) -> list[float]:
    """What nobody knows is a gap in the line."""
    return [math.nan if value is None else value for value in values]


def engines(samples: Sequence[Sample], begin: float) -> str:
    def draw(axes: Axes) -> None:
        at = [sample.at - begin for sample in samples]
        axes.step(at, _known(sample.engines for sample in samples), where="post", label="engine replicas")
        axes.plot(at, _known(sample.kv_use for sample in samples), label="KV cache in use (share)")
        axes.set_ylim(bottom=0)

    return _drawn("Replicas", "s", "", draw)


def queue(samples: Sequence[Sample], begin: float) -> str:
    def draw(axes: Axes) -> None:
        at = [sample.at - begin for sample in samples]
        axes.plot(at, _known(sample.waiting for sample in samples), label="waiting")
        axes.plot(at, _known(sample.running for sample in samples), label="running")

    return _drawn("Queue depth", "s", "requests", draw)


def outcomes(windows: Sequence[Window]) -> str:
    def draw(axes: Axes) -> None:
        at = [window.at for window in windows]
        for name in ("failed", "refused", "left"):
            axes.step(at, [getattr(window, name) for window in windows], where="post", label=name)

    return _drawn("Errors, refusals and disconnects", "s", "requests", draw)


def memory(samples: Sequence[Sample], begin: float) -> str:
    """By role; processes of one role together."""
    roles = sorted({process.role for sample in samples for process in sample.processes})

    def draw(axes: Axes) -> None:
        at = [sample.at - begin for sample in samples]
        for role in roles:
            used = [sum(one.anon for one in sample.processes if one.role == role) / 2**20 for sample in samples]
            if max(used) >= 50:
                axes.plot(at, used, label=role)

    return _drawn("Anonymous memory", "s", "MiB", draw)
