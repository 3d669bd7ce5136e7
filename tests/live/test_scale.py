"""Replicas come and go under load, by `sluice reload`, and no request fails."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import httpx
import psutil
import pytest
import yaml

from loadtests.drive import drive
from loadtests.load import Job
from loadtests.prompts import prompts
from tests.live.harness import MODEL, Sluice
from tests.live.harness import sluice as command
from tests.live.test_kills import core_of
from tests.waiting import eventually

pytestmark = [pytest.mark.destructive(order=4), pytest.mark.timeout(400)]
STREAMS = 12
MOST_TOKENS = 48
LONG_STREAMS, LONG_TOKENS = 8, 1900


class Load:
    """Streams without a pause until told to stop; what went wrong is in `problems`."""

    def __init__(self, running: Sluice, key: str) -> None:
        self._running, self._key = running, key
        self._over = threading.Event()
        self.completed, self.problems = 0, []  # type: int, list[str]

    def run(self) -> None:
        port, turn = self._running.config["gateway"]["listen"]["port"], 0
        while not self._over.is_set():
            turn += 1
            texts = prompts(96, 9000 + turn)
            load, _, _ = drive(Job("127.0.0.1", port, MODEL, texts, STREAMS, MOST_TOKENS, self._key), lambda: None)
            self.completed += load.completed
            self.problems += load.problems

    def stop(self) -> None:
        self._over.set()


@contextmanager
def under_load(running: Sluice, key: str) -> Iterator[Load]:
    load = Load(running, key)
    thread = threading.Thread(target=load.run)
    thread.start()
    try:
        eventually(lambda: load.completed or load.problems, 60, "the load runs")
        yield load
    finally:
        load.stop()
        thread.join(120)


def reload(running: Sluice, **changes: Any) -> None:
    """Change the served model's entry in the file, and have it taken over."""
    running.config["models"][0].update(changes)
    running.file.write_text(yaml.safe_dump(running.config))
    done = command("reload", "-c", running.file, "--timeout", 200)
    assert (done.returncode, done.stdout.strip()) == (0, "reloaded"), done.stdout + running.log[-3000:]


def engines(running: Sluice) -> list[dict[str, Any]]:
    return [engine for engine in running.model_status()["engines"] if engine["state"] == "up"]


def at_work(running: Sluice, before: set[int]) -> set[int]:
    """Adds the engines that have requests now: with few streams not all have some at every instant."""
    before |= {engine["pid"] for engine in engines(running) if engine["requests"]}
    return before


def test_scaling_1_to_3_to_1_and_a_rolling_update_fail_no_request(sluice: Sluice, key: str) -> None:
    gateway = sluice.status()["gateway"]
    (first,) = engines(sluice)
    with under_load(sluice, key) as load:
        reload(sluice, replicas=3)
        eventually(lambda: len(engines(sluice)) == 3, 30, "three engines")
        worked: set[int] = set()
        eventually(lambda: len(at_work(sluice, worked)) == 3, 30, "all of them at work")
        assert first["pid"] in {engine["pid"] for engine in engines(sluice)}, "what had not changed was left alone"
        reload(sluice, replicas=1)
        eventually(lambda: len(sluice.model_status()["engines"]) == 1, 60, "one engine")
        (old,) = engines(sluice)
        sluice.tree()
        reload(sluice, engine=sluice.config["models"][0]["engine"] | {"max_num_seqs": 32})
        eventually(
            lambda: [e["pid"] != old["pid"] for e in sluice.model_status()["engines"]] == [True], 60, "a new one"
        )
        sluice.tree()
    assert not load.problems, load.problems[:5]
    assert load.completed > 100
    assert sluice.status()["gateway"] == gateway, "the gateway has been disturbed by none of it"


def test_a_gateway_is_replaced_under_load_without_a_failed_request(sluice: Sluice, key: str) -> None:
    """A setting of the gateway's own: a second one takes the same port before the first leaves it."""
    old = sluice.status()["gateway"]
    with under_load(sluice, key) as load:
        sluice.config["gateway"]["keep_alive_s"] = 30
        reload(sluice)
        sluice.tree()
    assert not load.problems, load.problems[:5]
    ready = httpx.get(f"{sluice.url}/readyz", timeout=10, trust_env=False)
    assert ready.status_code == 200
    assert old not in {one["gateway"] for one in statuses(sluice)}
    eventually(lambda: status_at_its_port(sluice) not in ("", old), 20, "the management port has been taken over")


def status_at_its_port(running: Sluice) -> str:
    try:
        return str(running.status()["gateway"])
    except httpx.HTTPError:
        return ""


def statuses(running: Sluice) -> list[dict[str, Any]]:
    shown = yaml.safe_load(command("status", "-c", running.file, "--json").stdout)
    return list(shown["gateways"])


def test_a_change_that_needs_a_restart_is_refused_and_says_so(sluice: Sluice) -> None:
    before = sluice.file.read_text()
    changed = yaml.safe_load(before)
    changed["gateway"]["listen"]["port"] += 1
    sluice.file.write_text(yaml.safe_dump(changed))
    try:
        done = command("reload", "-c", sluice.file)
    finally:
        sluice.file.write_text(before)
    assert done.returncode == 1
    assert "gateway.listen" in done.stdout
    assert "sluice down" in done.stdout


def test_sessions_stay_and_the_reason_of_a_choice_is_told(sluice: Sluice, http: httpx.Client) -> None:
    """Two engines: a session's requests meet on one of them, and the answer's header says why."""
    reload(sluice, replicas=2)
    eventually(lambda: len(engines(sluice)) == 2, 60, "two engines")
    homes = {
        session: {chosen_for(http, session, turn) for turn in range(4)} for session in ("a", "b", "c", "d", "e", "f")
    }
    sluice.tree()
    assert all(len(home) == 1 for home in homes.values()), homes
    assert len(set.union(*homes.values())) == 2, "and not all of them on the same"


def chosen_for(http: httpx.Client, session: str, turn: int) -> str:
    question = {"model": MODEL, "messages": [{"role": "user", "content": f"What is 1{turn} + 7?"}], "max_tokens": 8}
    reply = http.post("/v1/chat/completions", json=question, headers={"x-session-id": session})
    assert reply.status_code == 200, reply.text
    reason = dict(part.partition("=")[::2] for part in reply.headers["x-sluice-route"].split(";"))
    assert (reason["of"], "session" in reason) == ("2", True), reason
    return reason["engine"]


@contextmanager
def slowed(core: psutil.Process) -> Iterator[None]:
    """It stands still for all but a twenty-fifth of the time, so that its streams outlive a drain on any machine."""
    over = threading.Event()

    def halt_again_and_again() -> None:
        with suppress(psutil.NoSuchProcess):
            while not over.is_set():
                core.suspend()
                time.sleep(0.24)
                core.resume()
                time.sleep(0.01)

    thread = threading.Thread(target=halt_again_and_again)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.destructive(order=5)
def test_streams_that_outlive_the_drain_of_their_engine_go_on_elsewhere(sluice: Sluice, key: str) -> None:
    """Of two engines Serve stops one, whose streams are far from their end when its time to drain is over. It goes
    after test_chaos, which needs two as well.
    """
    reload(sluice, replicas=2)
    eventually(lambda: len(engines(sluice)) == 2, 60, "two engines")
    before = sluice.model_status()["failover"]["moved"]
    texts = prompts(LONG_STREAMS, 9900)
    job = Job("127.0.0.1", sluice.config["gateway"]["listen"]["port"], MODEL, texts, LONG_STREAMS, LONG_TOKENS, key)
    with ThreadPoolExecutor(2) as pool:
        with ExitStack() as halts:
            for engine in engines(sluice):
                halts.enter_context(slowed(core_of(psutil.Process(engine["pid"]))))
            asked = pool.submit(drive, job, lambda: None)
            eventually(lambda: at_work(sluice, set()) == {e["pid"] for e in engines(sluice)}, 30, "both at work")
            sluice.config["models"][0]["replicas"] = 1
            sluice.file.write_text(yaml.safe_dump(sluice.config))
            gone = pool.submit(command, "reload", "-c", sluice.file, "--timeout", 200)
            eventually(lambda: sluice.model_status()["failover"]["moved"] > before, 60, "streams move", every=0.1)
        load, _, _ = asked.result(120)
        assert gone.result(200).returncode == 0
    sluice.tree()
    assert not load.problems, load.problems[:3]
    assert load.completed == LONG_STREAMS
