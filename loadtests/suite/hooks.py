"""What happens at Locust's own events: options, workers' records on their way to the master, the verdict at the end."""

import sys
import time
from pathlib import Path
from typing import Any

import msgspec
from locust import events
from locust.env import Environment
from locust.runners import LocalRunner, MasterRunner, WorkerRunner

from loadtests.suite import statistics
from loadtests.suite.gate import judge, read_objectives
from loadtests.suite.knee import Step, knee, points
from loadtests.suite.measures import measure
from loadtests.suite.record import JOURNAL, Run
from loadtests.suite.shapes import Shape
from loadtests.suite.webcharts import Webcharts

statistics.install()
_times: dict[str, float] = {}


def choose_users(environment: Environment, **_: Any) -> None:
    """A trace has one user class of its own; otherwise the personas that were asked for, with their weights. A worker has all
    of them: its master chooses.
    """
    options = environment.parsed_options
    assert options is not None
    if isinstance(environment.runner, WorkerRunner):
        return
    if options.arrivals == "trace":
        wanted = {"trace": None}
    else:
        wanted = {
            name: weight for name, _, weight in (part.partition("=") for part in options.personas.split(",")) if name
        }
        wanted = wanted or {cls.persona: None for cls in environment.user_classes if cls.persona != "trace"}  # type: ignore[attr-defined]
    known = {cls.persona: cls for cls in environment.user_classes}  # type: ignore[attr-defined]
    if unknown := wanted.keys() - known.keys():
        sys.exit(f"no such persona: {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}")
    for name, weight in wanted.items():
        if weight:
            known[name].weight = float(weight)
    environment.user_classes = [known[name] for name in wanted]
    if options.shape == "none":
        environment.shape_class = None


def show_charts(environment: Environment, **_: Any) -> None:
    if environment.web_ui is not None:
        Webcharts(environment, JOURNAL).register()


def begin(**_: Any) -> None:
    JOURNAL.records.clear()
    _times["begin"] = time.time()


def end(**_: Any) -> None:
    _times["end"] = time.time()


def send_records(data: dict[str, Any], **_: Any) -> None:
    data["records"] = JOURNAL.drain()


def take_records(data: dict[str, Any], **_: Any) -> None:
    JOURNAL.take(data.get("records") or msgspec.msgpack.encode([]))


def conclude(environment: Environment, **_: Any) -> None:
    """Records to a file; a line per objective, and the exit status that follows from them."""
    if not isinstance(environment.runner, LocalRunner | MasterRunner) or environment.parsed_options is None:
        return
    environment.runner.stop()
    options, now = environment.parsed_options, time.time()
    run = Run(_times.get("begin", now), _times.get("end", now), JOURNAL.records)
    if isinstance(environment.shape_class, Shape):
        run.steps = [(step.users, step.begin, step.end) for step in environment.shape_class.steps]
    if options.records:
        Path(options.records).write_bytes(msgspec.msgpack.encode(run))
    bend = knee(points(run.records, [Step(*step) for step in run.steps]))
    if run.steps and bend is None:
        print("knee: none, not saturated")
    if bend is not None:
        print(f"knee: {bend.users} users, {bend.tokens_per_s:.0f} tokens/s, TTFT p99 {bend.ttft_p99_ms:.0f} ms")
    if options.slo:
        objectives = read_objectives(Path(options.slo))
        verdicts = judge(objectives, measure(run.records, run.end - run.begin, objectives.good).values())
        print("\n".join(verdict.line() for verdict in verdicts))
        environment.process_exit_code = int(not all(verdict.met for verdict in verdicts))


events.init.add_listener(choose_users)
events.init.add_listener(show_charts)
events.test_start.add_listener(begin)
events.test_stop.add_listener(end)
events.report_to_master.add_listener(send_records)
events.worker_report.add_listener(take_records)
events.quitting.add_listener(conclude)
