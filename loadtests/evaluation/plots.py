"""The two pictures of the evaluation, as PNG."""

from pathlib import Path

from loadtests.evaluation import statistics
from loadtests.evaluation.results import Results

ROC, LEAKED = "guard-roc.png", "guard-leaked.png"
SHOWN = ("hydra, 50 % cover", "hydra, 50 % cover, paraphrased", "hydra, no cover", "harvest, 10 keys", "slow drip")
LEAST_RATE = 1e-4


def draw(results: Results, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    _roc(results, folder / ROC)
    _leaked(results, folder / LEAKED)


def _roc(results: Results, file: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5.5), layout="constrained")
    axes = figure.subplots()
    for number, (name, scores) in enumerate(results.attack_scores.items()):
        false, true = statistics.roc(results.honest_scores, scores)
        area = statistics.auroc(results.honest_scores, scores)
        axes.step(
            false.clip(LEAST_RATE),
            true,
            where="post",
            label=f"{name} ({area:.3f})",
            linestyle=("-", "--", ":")[number // 10 % 3],
        )
    axes.axvline(0.01, color="grey", linewidth=0.8)
    axes.set(
        xscale="log",
        xlim=(LEAST_RATE, 1),
        ylim=(0, 1.02),
        xlabel=f"false alarms per honest key-day (of {len(results.honest_scores)})",
        ylabel="share of the attack's key-days found",
        title=f"ROC by attack, {results.split} part (area under the curve)",
    )
    axes.legend(fontsize=7, loc="lower right")
    figure.savefig(file, dpi=130)


def _leaked(results: Results, file: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    for attack in results.attacks:
        if attack.family in SHOWN:
            end = max(hours for hours, _, _ in attack.curve)
            axes.plot(
                [hours / end for hours, _, _ in attack.curve], [got for _, _, got in attack.curve], label=attack.family
            )
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle=":", label="no guard, even pace")
    axes.axhline(0.2, color="grey", linewidth=0.8)
    axes.set(
        xlim=(0, 1),
        ylim=(0, 1.02),
        xlabel="time, as a share of the campaign",
        ylabel="tokens had before throttling, of the whole harvest",
        title=f"What a harvest gets before its keys are throttled, {results.split} part",
    )
    axes.legend(fontsize=8)
    figure.savefig(file, dpi=130)
