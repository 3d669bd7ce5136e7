"""`python -m loadtests.suite [mixed|burst|ramp|soak|day|trace]`: starts Sluice, loads it with Locust, judges, reports."""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml
from rich.console import Console

from deployments import quantization
from gateway.config import load
from loadtests.bench.__main__ import PIPED_WIDTH, ROOT, commit, versions
from loadtests.bench.probe import machine
from loadtests.bench.results import without_paths
from loadtests.servers import Server, start_sluice
from loadtests.suite.arrivals import trace_file
from loadtests.suite.gate import Figures, Objectives, judge, read_objectives
from loadtests.suite.knee import Step, knee, points
from loadtests.suite.measures import measure
from loadtests.suite.presets import ARRIVALS, PRESETS, SLO, SLO_OF, Preset
from loadtests.suite.report import html, markdown, verdict_lines
from loadtests.suite.results import SCHEMA, Results, last, passed_over, placeless, write
from loadtests.suite.sampler import growth
from loadtests.suite.session import Finding, Target, perform

RESULTS = ROOT / "loadtests" / "results"
METERED = {"metered": {"key_concurrency": 2}}
BUDGET = {"scope": "key", "limit": 10**12, "per": "day"}
"""More than any run uses: it is there so that requests reserve tokens, and settle them."""


def parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(prog="python -m loadtests.suite", description="Locust against a Sluice of its own.")
    root.add_argument("suite", nargs="?", choices=sorted(PRESETS), default="mixed", help="(default: mixed)")
    root.add_argument("--config", type=Path, default=ROOT / "configs" / "local.yaml", help="what Sluice serves")
    root.add_argument("--slo", type=Path, help="objectives (default: loadtests/slo.yaml, or the suite's own)")
    root.add_argument("--out", type=Path, default=ROOT / "loadtests" / "reports", help="folder for report and summary")
    root.add_argument("--save", action="store_true", help="keep the result as the baseline of later runs")
    root.add_argument("--minutes", type=float, help="instead of the suite's own")
    root.add_argument("--users", type=int, help="instead of the suite's own")
    root.add_argument("--rate", type=float, help="requests/s of each user, in a poisson suite")
    root.add_argument("--arrivals", choices=ARRIVALS, help="instead of the suite's own")
    root.add_argument("--personas", help="comma-separated, as name or name=weight")
    root.add_argument("--trace", type=trace_file, help="CSV or Mooncake JSON lines, for suites trace and day")
    root.add_argument("--trace-speed", type=float, help="replay so many times faster")
    root.add_argument("--trace-scale", type=float, help="divide the trace's token counts by this")
    root.add_argument("--workers", type=int, default=0, help="Locust worker processes (default: one process for all)")
    root.add_argument("--same-texts", choices=("yes", "no"), help="greedy texts must be equal (default: on CPU)")
    root.add_argument("--seed", type=int, default=1)
    return root


def chosen(arguments: argparse.Namespace) -> Preset:
    """The named suite, changed by whatever was given."""
    names = {field.name for field in msgspec.structs.fields(Preset)}
    given = {name: value for name, value in vars(arguments).items() if name in names and value is not None}
    if "trace" in given:
        given["trace"] = str(given["trace"].resolve())
    preset = msgspec.structs.replace(PRESETS[arguments.suite], **given)
    if preset.arrivals == "trace" and not preset.trace:
        parser().error("--trace: which one?")
    return preset


def prepared(raw: dict[str, Any]) -> dict[str, Any]:
    """A configuration with a tier for the over-limit tenant, and a budget of tokens for keys that have none."""
    raw.setdefault("gateway", {}).setdefault("admission", {}).setdefault("tiers", {}).update(METERED)
    default = raw.setdefault("limits", {}).setdefault("default", {})
    default["tokens"] = default.get("tokens") or [BUDGET]
    return raw


def start(base: Path, folder: Path) -> tuple[Server, Target]:
    """Serves `base`, prepared, with a key for each kind of client."""
    file = folder / "base.yaml"
    file.write_text(yaml.safe_dump(prepared(yaml.safe_load(base.read_text(encoding="utf-8")))), encoding="utf-8")
    server = start_sluice(file, folder / "sluice", haproxy=False)
    try:
        return server, _target(server, folder / "sluice" / "sluice.yaml")
    except BaseException:
        server.stop()
        raise


def _target(server: Server, running: Path) -> Target:
    """`running`: the configuration that it runs with."""
    gateway = load(running).gateway
    metered, extractor = (
        _key(running, "--tenant", name, *tier)
        for name, tier in {"metered": ("--tier", "metered"), "extractor": ()}.items()
    )
    return Target(
        url=f"http://127.0.0.1:{server.ports['own']}",
        management=f"http://{gateway.management.host}:{gateway.management.port}",
        model=server.model,
        key=server.key,
        metered_key=metered,
        extractor_key=extractor,
        pids=server.pids,
        config=server.settings,
        given=yaml.safe_load(running.read_text(encoding="utf-8")),
        budgeted=True,
        keep_alive_s=gateway.keep_alive_s,
        lasting=not any(model["autoscaling"] for model in server.settings["models"]),
    )


def _key(config: Path, *options: str) -> str:
    words = [sys.executable, "-m", "gateway.cli", "keys", "-c", str(config), "create", "--name", "load test", *options]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()[0]


def served(config: Mapping[str, Any], accelerator: str) -> str:
    """What is served: each model's name, and its checkpoint and format on this accelerator."""
    checkpoints = ((model["name"], model["checkpoints"].get(accelerator, {})) for model in config["models"])
    return ", ".join(f"{name} ({one.get('source')}, {one.get('format')})" for name, one in checkpoints)


def required(objectives: Objectives, preset: Preset) -> set[str]:
    """What a run of our own must have measured: everything that its personas can show."""
    named = {part.partition("=")[0] for part in preset.personas.split(",") if part}
    agents = preset.arrivals != "trace" and (not named or "agent" in named)
    return set(objectives.objectives) - (set() if agents else {"tool_calls"})


def results_of(
    arguments: argparse.Namespace, preset: Preset, finding: Finding, target: Target, version: str, on: dict[str, str]
) -> Results:
    objectives = read_objectives(arguments.slo)
    run = finding.run
    measures = measure(run.records, run.end - run.begin, objectives.good)
    memory = growth(finding.samples)
    grown = {"memory_growth_mib": memory[0].growth_mib} if memory else {}
    figures = Figures(measures.values() | finding.unloaded.values | grown, finding.unloaded.calibration_ms)
    accelerator = quantization.installed()
    like = {
        "options": without_paths(msgspec.structs.asdict(preset), {str(ROOT): "."}),
        "model": without_paths(served(target.config, accelerator), {str(ROOT): "."}),
        "accelerator": accelerator,
        "cores": len(os.sched_getaffinity(0)),
        "configuration": placeless(target.given),
    }
    baseline = last(RESULTS, arguments.suite, like)
    ramp = points(run.records, [Step(*step) for step in run.steps])
    return Results(
        schema=SCHEMA,
        suite=arguments.suite,
        started=time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(run.begin)),
        command=without_paths(["python", "-m", "loadtests.suite", *sys.argv[1:]], {str(ROOT): "."}),
        seed=arguments.seed,
        commit=version,
        machine=on,
        versions=versions(),
        config=target.config,
        **like,
        figures=figures,
        measures=measures,
        verdicts=judge(objectives, figures, baseline[1] if baseline else None, required(objectives, preset)),
        memory=memory,
        faults=finding.faults,
        notes=finding.notes + passed_over(RESULTS, arguments.suite, like),
        ramp=ramp,
        knee=knee(ramp),
        baseline=baseline[0] if baseline else None,
    )


def main() -> None:
    arguments = parser().parse_args()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)
    begun, preset, version, before = time.monotonic(), chosen(arguments), commit(), machine()
    arguments.slo = arguments.slo or SLO_OF.get(arguments.suite, SLO)
    read_objectives(arguments.slo)
    if arguments.save and version.endswith("+"):
        parser().error("--save: the working tree differs from its commit, and a baseline must name what it is of")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

    def say(text: str) -> None:
        console.print(f"[dim]{time.monotonic() - begun:6.1f} s[/dim]  {text}")

    with tempfile.TemporaryDirectory(prefix="sluice-suite-") as name:
        folder = Path(name)
        say("starting Sluice")
        server, target = start(arguments.config, folder)
        try:
            more = ["--same-texts", arguments.same_texts or ("yes" if quantization.installed() == "cpu" else "no")]
            finding = perform(target, preset, arguments.seed, folder, processes=arguments.workers, more=more, say=say)
        finally:
            server.stop()
        results = msgspec.structs.replace(
            results_of(arguments, preset, finding, target, version, before),
            config=without_paths(target.config, {str(ROOT): ".", name: "<scratch>"}),
        )
    saved = publish(arguments, results, finding)
    for line in verdict_lines(results):
        console.print(line, markup=False)
    console.print(f"report: {arguments.out / 'report.html'}", markup=False)
    if arguments.save and not saved:
        console.print("not saved: only a run that meets its objectives is a baseline", markup=False)
    sys.exit(int(not results.met))


def publish(arguments: argparse.Namespace, results: Results, finding: Finding) -> bool:
    """Report, summary and figures. True if they became the baseline: with --save, and everything met."""
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.html").write_text(html(results, finding.run, finding.samples), encoding="utf-8")
    (out / "summary.md").write_text(markdown(results), encoding="utf-8")
    write(results, out / "results.json")
    save = bool(arguments.save and results.met)
    if save:
        write(results, RESULTS / f"suite-{results.suite}-{time.strftime('%Y-%m-%d-%H%M%S')}.json")
    return save


if __name__ == "__main__":
    main()
