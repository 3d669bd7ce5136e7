"""What happens at Locust's own events: options, workers' records on their way to the master, the verdict at the end."""

import sys
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

import gevent
import msgspec
from locust import events
from locust.env import Environment
from locust.rpc import Message
from locust.runners import STATE_STOPPED, STATE_STOPPING, LocalRunner, MasterRunner, WorkerRunner

from loadtests.suite import statistics
from loadtests.suite.arrivals import read_trace
from loadtests.suite.client import address
from loadtests.suite.faults import faults
from loadtests.suite.gate import Figures, judge, read_objectives
from loadtests.suite.knee import Step, knee, points
from loadtests.suite.measures import measure
from loadtests.suite.presets import Preset
from loadtests.suite.record import JOURNAL, Run
from loadtests.suite.shapes import Shape
from loadtests.suite.webcharts import Webcharts

statistics.install()
PATIENCE_S = 10.0
"""Of a master with workers that have stopped: that much longer than users may take."""
_times: dict[str, float] = {}
_begun: set[str] = set()
_over: set[str] = set()
"""Workers: those that began the run, and those whose last records have come."""


def choose_users(environment: Environment, **_: Any) -> None:
    """A trace has one user class of its own; otherwise the personas that were asked for, with their weights. A worker has all
    of them: its master chooses.
    """
    options = environment.parsed_options
    assert options is not None
    if environment.host:
        try:
            address(environment.host, options.ca_file)
        except ValueError as exc:
            sys.exit(f"--host: {exc}")
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


def begin(environment: Environment, **_: Any) -> None:
    JOURNAL.clear()
    _times["begin"] = time.time()
    _begun.clear()
    if isinstance(environment.runner, MasterRunner):
        _begun.update(_here(environment.runner))


def _here(runner: MasterRunner) -> set[str]:
    clients = runner.clients
    return {client.id for client in clients.all} - {client.id for client in clients.missing}


def cease(environment: Environment, **_: Any) -> None:
    """The load is over. Locust itself gives the workers of a headless master half a second to end, and what comes later is lost."""
    _times["ceased"] = time.time()
    _over.clear()
    runner, options = environment.runner, environment.parsed_options
    if not isinstance(runner, MasterRunner) or options is None or not options.headless:
        return
    runner.update_state(STATE_STOPPING)  # or it would give the users of each that has gone to those that are left
    asked = _here(runner)
    for client in asked:
        runner.server.send_to_client(Message("quit", None, client))
    until = time.time() + (environment.stop_timeout or 0.0) + PATIENCE_S
    while (asked - _over) & _here(runner) and time.time() < until:
        gevent.sleep(0.1)


def end(**_: Any) -> None:
    _times["end"] = time.time()


def report(environment: Environment, **_: Any) -> None:
    """A worker's records go with each of its reports, and whether they were the last ones."""

    def send_records(data: dict[str, Any], **_: Any) -> None:
        runner = environment.runner
        data["over"] = runner is not None and runner.state == STATE_STOPPED
        data["records"] = JOURNAL.drain()

    events.report_to_master.add_listener(send_records)


def take_records(client_id: str, data: dict[str, Any], **_: Any) -> None:
    if data.get("records"):
        JOURNAL.take(data["records"])
    if data.get("over"):
        _over.add(client_id)


def conclude(environment: Environment, **_: Any) -> None:
    """Records to a file; a line per objective, and the exit status that follows from them."""
    if not isinstance(environment.runner, LocalRunner | MasterRunner) or environment.parsed_options is None:
        return
    environment.runner.stop()
    options, now = environment.parsed_options, time.time()
    run = Run(_times.get("begin", now), _times.get("end", now), JOURNAL.records, turns=JOURNAL.turns)
    run.load_s = _times.get("ceased", now) - run.begin
    run.missing = len(_begun - _over)
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
        verdicts = judge(objectives, Figures(measure(run.records, run.end - run.begin, objectives.good).values()))
        found = _faults(run, options)
        print("\n".join([*(verdict.line() for verdict in verdicts), *(f"FAIL  {fault}" for fault in found)]))
        environment.process_exit_code = int(bool(found) or not all(verdict.met for verdict in verdicts))


def _faults(run: Run, options: Namespace) -> list[str]:
    """Of a headless run it is known what it was to be. Whoever has Locust's page ends it, and changes its users, when they like."""
    if not options.headless:
        return faults(run, Preset("none", 0.0, 0, "closed"), limited=False)
    told = {name: getattr(options, name) for name in Preset.__struct_fields__ if name != "users"}
    if options.shape == "none":
        told["minutes"] = (options.run_time or 0) / 60
    trace = read_trace(Path(options.trace)) if options.trace else []
    spawn_s, limited = options.num_users / options.spawn_rate, bool(options.metered_key)
    return faults(run, Preset(users=options.num_users, **told), trace, spawn_s=spawn_s, limited=limited)


events.init.add_listener(choose_users)
events.init.add_listener(show_charts)
events.init.add_listener(report)
events.test_start.add_listener(begin)
events.test_stopping.add_listener(cease)
events.test_stop.add_listener(end)
events.worker_report.add_listener(take_records)
events.quitting.add_listener(conclude)
