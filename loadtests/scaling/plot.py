"""What was asked, replicas and queue over time as a picture: measured, and as simulated."""

from collections.abc import Sequence
from pathlib import Path

from loadtests.scaling.compare import Beside
from loadtests.scaling.watch import Look
from loadtests.simulation.scaling.arrivals import Arrival

BIN_S = 5.0


def draw(arrivals: Sequence[Arrival], looks: Sequence[Look], beside: Beside, file: Path) -> None:
    """Written as a PNG; second 0 is the first arrival."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, (load, replicas, queue) = plt.subplots(3, 1, figsize=(9, 7), sharex=True, layout="constrained")
    counts = [0] * (int(arrivals[-1].at / BIN_S) + 2)
    for arrival in arrivals:
        counts[int(arrival.at / BIN_S)] += 1
    load.step([BIN_S * place for place in range(len(counts))], [each / BIN_S for each in counts], where="post")
    load.set_ylabel("requests/s")
    load.set_title("The demo model under Ray Serve: 1 → 3 → 1 → 0 replicas")
    at = [look.at for look in looks]
    replicas.step(at, [look.target for look in looks], where="post", label="asked for")
    replicas.step(at, [look.engines for look in looks], where="post", label="take work")
    simulated = [(second, count) for second, count in beside.replicas if second <= beside.until_s]
    replicas.step(
        *zip(*simulated, strict=True), where="post", linestyle=":", color="black", label="simulated: asked for"
    )
    replicas.set_ylabel("replicas")
    replicas.legend(loc="upper right", fontsize="small")
    queue.plot(at, [look.waiting for look in looks], label="measured")
    queue.plot(*zip(*beside.queue, strict=True), linestyle=":", color="black", label="simulated")
    queue.set_ylabel("requests waiting")
    queue.set_xlabel("seconds")
    queue.legend(loc="upper right", fontsize="small")
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=90)
    plt.close(figure)
