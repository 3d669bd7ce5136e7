"""A run that was not what it was to be is a fault, whatever its figures."""

from dataclasses import dataclass

import msgspec
import pytest

from loadtests.suite.arrivals import Arrival
from loadtests.suite.faults import ENOUGH, faults
from loadtests.suite.presets import PRESETS
from loadtests.suite.record import Outcome, Record, Run

MIXED, SECONDS = PRESETS["mixed"], 180.0
TURNS = round(MIXED.users * MIXED.rate * SECONDS)


@dataclass(frozen=True)
class Said:
    """How often the over-limit tenant was told what."""

    refused: int = 30
    served: int = 30

    def records(self) -> list[Record]:
        statuses = [429] * self.refused + [200] * self.served
        return [Record(0.0, "over-limit", Outcome.RIGHT, status, False, 0.0, 0.1) for status in statuses]


def run(said: Said | None = None, **changed: float) -> Run:
    whole = Run(1000.0, 1190.0, (said or Said()).records(), load_s=SECONDS, turns=TURNS)
    return msgspec.structs.replace(whole, **changed)


def test_a_run_that_was_what_it_was_to_be_has_no_fault():
    assert faults(run(), MIXED) == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"load_s": 60.0, "turns": TURNS // 3}, "the load lasted 60 s instead of 180"),
        ({"turns": TURNS * 2 // 3}, f"{TURNS * 2 // 3} arrivals instead of {TURNS}"),
        ({"missing": 1}, "1 of Locust's workers did not live through the run"),
    ],
    ids=["short", "less load", "a worker less"],
)
def test_what_was_not_done_is_named(changed: dict[str, float], said: str):
    assert faults(run(**changed), MIXED) == [said]


def test_a_burst_must_have_come_to_ten_times_the_load():
    """Four users at 0.5/s, and forty for a tenth of the time."""
    assert faults(run(turns=684), PRESETS["burst"]) == []
    assert faults(run(turns=360), PRESETS["burst"]) == ["360 arrivals instead of 684"]


def test_a_day_must_have_come_to_the_load_of_its_curve():
    """32 users at 0.5/s for six minutes: made up, a fifth of them at night, or a trace's, a quarter of them in its first half."""
    half = [Arrival(float(at), 8, 8) for at in [*range(50), *(50 + place / 4 for place in range(200))]]
    for trace, turns, few in (((), 3450, 1152), (half, 2996, 1440)):
        assert faults(run(load_s=360.0, turns=turns), PRESETS["day"], trace) == []
        assert faults(run(load_s=360.0, turns=few), PRESETS["day"], trace) == [f"{few} arrivals instead of {turns}"]


def test_users_that_come_one_by_one_bring_less_and_a_key_without_a_limit_is_held_to_none():
    open_loop = msgspec.structs.replace(MIXED, shape="none")
    half = TURNS // 2
    assert faults(run(turns=half), open_loop) == [f"{half} arrivals instead of {TURNS}"]
    assert faults(run(turns=half), open_loop, spawn_s=SECONDS) == []
    assert faults(run(Said(refused=0)), MIXED, limited=False) == []


def test_a_ramp_that_ends_early_must_have_come_to_its_plateau():
    ramp = msgspec.structs.replace(PRESETS["ramp"], minutes=3.0)
    flat = [(8 * (step + 1), 15.0 * step, 15.0 * (step + 1)) for step in range(6)]
    steady = [Record(float(at), "chat", Outcome.RIGHT, 200, True, 0.0, 1.0, 0.0, tokens=10) for at in range(90)]
    assert faults(run(load_s=90.0, records=steady, steps=flat), ramp) == []
    assert faults(run(load_s=90.0, records=steady, steps=flat[:2]), ramp) == ["the load lasted 90 s instead of 180"]


def test_of_a_trace_every_arrival_within_the_minutes_must_have_come():
    replay = msgspec.structs.replace(PRESETS["trace"], trace="some.csv", trace_speed=2.0)
    trace = [Arrival(float(at), 8, 8) for at in range(600)]
    assert faults(run(turns=360), replay, trace) == []
    assert faults(run(turns=340), replay, trace) == ["340 arrivals instead of 355"]


@pytest.mark.parametrize(("said", "word"), [(Said(refused=0), "refused"), (Said(served=0), "served")])
def test_a_limit_that_never_refuses_or_never_serves_is_a_fault(said: Said, word: str):
    assert faults(run(said), MIXED) == [f"the over-limit tenant was never {word}"]
    few = Said(min(said.refused, ENOUGH - 1), min(said.served, ENOUGH - 1))
    assert faults(run(few), MIXED) == [], "of a few attempts nothing can be said"
