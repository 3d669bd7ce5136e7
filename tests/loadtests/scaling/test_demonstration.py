"""What the demonstration measures with, and how it judges."""

import subprocess
import sys
import time
from typing import Any

import msgspec
import pytest

from gateway.config.autoscaling import Autoscaling
from loadtests.processes import cpu_ns
from loadtests.scaling.compare import simulate, speeds, startups
from loadtests.scaling.course import disorder
from loadtests.scaling.evidence import Evidence, counts
from loadtests.scaling.share import Shares
from loadtests.scaling.watch import Answer, Look
from loadtests.simulation.scaling.arrivals import Arrival

BUSY = "import time\nuntil = time.monotonic() + 20\nwhile time.monotonic() < until: pass"


def answer(
    sent: float = 0.0, wait_s: float = 0.0, ttft_s: float = 0.1, seconds: float = 1.1, comments: int = 1
) -> Answer:
    return Answer(sent=sent, wait_s=wait_s, comments=comments, ttft_s=ttft_s, seconds=seconds, problem="")


def test_a_process_gets_its_share_and_is_let_go_at_the_end():
    with subprocess.Popen([sys.executable, "-c", BUSY]) as busy:
        try:
            with Shares(0.2) as shares:
                shares.hold([busy.pid])
                time.sleep(0.5)
                begun, used = time.monotonic(), cpu_ns(busy.pid)
                time.sleep(1.5)
                assert (cpu_ns(busy.pid) - used) / 1e9 / (time.monotonic() - begun) < 0.5
            used = cpu_ns(busy.pid)
            time.sleep(0.5)
            assert cpu_ns(busy.pid) > used
        finally:
            busy.kill()


def look(at: float, target: int, engines: int, waiting: int = 0) -> Look:
    return Look(at=at, target=target, engines=engines, waiting=waiting, in_flight=0)


def test_a_start_lasts_from_the_asking_to_the_serving():
    looks = [
        look(0, 1, 1),
        look(5, 2, 1),
        look(7, 3, 1),
        look(25, 3, 2),
        look(30, 3, 3),
        look(50, 2, 3),
        look(51, 2, 2),
    ]
    assert startups(looks) == [20, 23]
    assert startups([look(0, 1, 1), look(5, 2, 1), look(9, 1, 1), look(20, 2, 1), look(30, 2, 2)]) == [10]


def test_the_simulated_side_knows_the_measured_speeds():
    engine = speeds([answer()], [answer(seconds=2.1)], slots=4, tokens=101)
    assert engine.step_s == pytest.approx((0.01, 0.01, 0.01 + 0.01 / 3, 0.01 + 0.02 / 3, 0.02))
    given = [Arrival(float(second), 24, 101) for second in range(30)]
    looks = [look(float(second), 1, 1) for second in range(30)]
    beside = simulate(given, engine, Autoscaling(max_replicas=2), 10.0, [answer() for _ in given], looks)
    assert beside.wait_mean_s == (0.0, 0.0)
    assert beside.ttft_mean_s == pytest.approx((0.1, 0.1))
    assert beside.replicas_most == (1, 1)
    assert beside.errors["replicas, mean"] == 0


def test_parked_requests_are_judged_by_when_they_began_and_what_they_heard():
    right = [answer(sent=0.3 * place, wait_s=10 - 0.3 * place) for place in range(3)]
    assert disorder(right) == []
    early = msgspec.structs.replace(right[2], wait_s=9.0)
    assert disorder([*right[:2], early]) == ["parked request 3 began before the one before it"]
    assert disorder([msgspec.structs.replace(right[0], comments=0)]) == ["parked request 1 heard nothing"]


CHANGES: list[dict[str, Any]] = [
    {"from": 1, "to": 2, "reasons": ["much", "1 more"]},
    {"from": 2, "to": 1, "reasons": ["little"]},
]


def test_what_cannot_be_read_where_operators_look_is_missing():
    told = Evidence(
        [(1, 2, "much; 1 more"), (2, 1, "little")], {"up": 1, "down": 1}, "m: 1 replicas of 1 wanted; 2 -> 1: little"
    )
    assert told.missing(CHANGES) == []
    for poorer in ({"logged": told.logged[:1]}, {"counted": {"up": 0, "down": 0}}, {"status": ""}):
        assert len(msgspec.structs.replace(told, **poorer).missing(CHANGES)) == 1


def test_decisions_are_counted_by_model():
    name = "sluice_autoscaling_decisions_total"
    lines = [f'{name}{{direction="up",model="{model}"}} {number}' for model, number in (("a", 3), ("b", 5))]
    assert counts("\n".join([f"# TYPE {name} counter", *lines, ""]), "a") == {"up": 3}
