"""A case as a picture: what arrived, replicas paid for, and how long requests waited for their first token."""

from collections.abc import Sequence
from pathlib import Path

from loadtests.arithmetic import percentile
from loadtests.simulation.scaling.arrivals import Trace
from loadtests.simulation.scaling.world import Outcome

BINS = 120
COLOURS = {
    "Sluice": "tab:blue",
    "Ray Serve, tuned": "tab:orange",
    "KEDA on waiting, tuned": "tab:red",
    "KEDA on waiting and running, tuned": "tab:green",
    "oracle": "black",
}


def draw(trace: Trace, startup_s: float, goal_s: float, runs: dict[str, Outcome], file: Path) -> None:
    """`runs` by the name of the policy; written as a PNG."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, (above, middle, below) = plt.subplots(3, 1, figsize=(9, 7), sharex=True, layout="constrained")
    width = trace.span_s / BINS
    counts = [0] * (BINS + 1)
    for arrival in trace.arrivals:
        counts[int(arrival.at / width)] += 1
    minutes = [place * width / 60 for place in range(BINS)]
    above.fill_between(minutes, [count / width for count in counts[:BINS]], step="post", alpha=0.5, color="grey")
    above.set_ylabel("requests/s")
    above.set_title(f"{trace.name}, start-up {startup_s:g} s")
    for name, outcome in runs.items():
        colour = COLOURS[name]
        style = ":" if name == "oracle" else "-"
        at = [second / 60 for second, _ in outcome.counts]
        middle.step(at, [count for _, count in outcome.counts], where="post", label=name, color=colour, linestyle=style)
        below.plot(minutes, worst(trace, outcome.ttfts, width), label=name, color=colour, linestyle=style)
    below.axhline(goal_s, color="red", linewidth=0.8)
    middle.set_ylabel("replicas asked for")
    middle.legend(loc="upper right", fontsize="small")
    below.set_yscale("log")
    below.set_ylabel("TTFT p99, s")
    below.set_xlabel("minutes")
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=90)
    plt.close(figure)


def worst(trace: Trace, ttfts: Sequence[float], width: float) -> list[float]:
    """p99 of each bin of arrivals."""
    bins: list[list[float]] = [[] for _ in range(BINS + 1)]
    for arrival, ttft in zip(trace.arrivals, ttfts, strict=True):
        bins[int(arrival.at / width)].append(ttft)
    return [percentile(each, 0.99) for each in bins[:BINS]]
