"""A change of traffic raises an alert; that night follows day does not."""

import numpy as np
import pytest

from gateway.drift.monitor import MOST_VERSIONS, Monitor
from gateway.drift.reference import Season
from tests.gateway.drift.traffic import HOUR, MIDNIGHT, RULES, Traffic, day_and_night, monitor


@pytest.fixture(scope="module")
def settled() -> tuple[Traffic, Monitor, list[bool], list[bool]]:
    """Two days to learn and two more of the same; whether any signal looked drifted, and was confirmed, at each comparison."""
    traffic, watched = Traffic(7), monitor()
    looked, alerted = [], []
    for _, reading in traffic.run(watched, (0, 96), day_and_night):
        if reading.distances:
            looked.append(any(one.drifted for one in reading.distances.values()))
            alerted.append(bool(reading.alerts))
    return traffic, watched, looked, alerted


def test_night_and_day_are_no_drift(settled) -> None:
    _, _, looked, alerted = settled
    assert len(alerted) > 130, "two days of comparisons, three an hour"
    assert not any(alerted)
    assert sum(looked) <= 1, "and hardly one of them looked like it"


def test_without_a_period_the_same_days_are_drift() -> None:
    """So the test above would notice if times of day were not told apart."""
    rules = RULES._replace(season=Season(None, 1, 6 * HOUR, 256, 100))
    watched = monitor(rules)
    assert any(reading.alerts for _, reading in Traffic(7).run(watched, (0, 24), day_and_night))


def test_another_mix_of_traffic_is_noticed_within_two_hours_and_over_when_it_is_over(settled) -> None:
    traffic, watched, *_ = settled

    def shifted(at: float) -> dict[str, float]:
        return {kind: 0.5 * share for kind, share in day_and_night(at).items()} | {"русский": 0.5}

    found = [(at, reading) for at, reading in traffic.run(watched, (100, 104), shifted)]
    begun = next(at for at, reading in found if reading.alerts)
    assert begun - (MIDNIGHT + 100 * HOUR) <= 2 * HOUR
    last = found[-1][1]
    assert {"language", "prompts"} <= last.alerts
    assert last.present["language"]["cyrillic"] > 0.4
    assert "cyrillic" not in last.normal["language"]
    after = [reading.alerts for _, reading in traffic.run(watched, (104, 108), day_and_night)]
    assert not after[-1]


@pytest.mark.parametrize(
    ("signal", "changes"),
    [
        ("prompt_tokens", {"prompt_tokens": 3}),
        ("output_tokens", {"output_tokens": 0.3}),
        ("refusals", {"refused": 1}),
        ("finish", {"finish": 1}),
    ],
)
def test_each_signal_is_noticed_by_itself(signal: str, changes: dict[str, float]) -> None:
    rules = RULES._replace(season=Season(None, 1, 0, 256, 100))
    watched, traffic = monitor(rules), Traffic(3)
    mix = {"office": 0.5, "chat": 0.5}
    rng = np.random.default_rng(5)
    for second in range(800):
        row = traffic.one(mix, second)
        if second > 300:
            for name, change in changes.items():
                if name.endswith("tokens"):
                    row[name] = row[name] * change
                elif rng.random() < 0.4:
                    row[name] = change
        watched.add("v1", row, second)
    for _ in range(RULES.confirm):
        (reading,) = watched.evaluate(800)
    assert reading.alerts == {signal}


def test_a_new_version_is_compared_with_what_was_normal_before_it() -> None:
    rules = RULES._replace(season=Season(None, 1, 0, 256, 100), confirm=1)
    watched, traffic = monitor(rules), Traffic(3)
    for second in range(400):
        watched.add("old", traffic.one({"office": 1.0}, second), second)
    for second in range(400, 600):
        row = traffic.one({"office": 1.0}, second)
        row["refused"] = second % 4 == 0
        watched.add("new", row, second)
    old, new = watched.evaluate(600)
    assert (old.version, old.alerts) == ("old", frozenset())
    assert (new.version, new.alerts) == ("new", {"refusals"})
    assert watched.reference.version == "old"


def test_the_alert_of_a_version_that_was_replaced_ends_once_its_requests_are_over() -> None:
    rules = RULES._replace(season=Season(None, 1, 0, 256, 100), confirm=1, window_s=600)
    watched, traffic = monitor(rules), Traffic(3)
    for second in range(800):
        watched.add("a", traffic.one({"office" if second < 400 else "русский": 1.0}, second), second)
    assert watched.evaluate(800)[0].alerts
    for second in range(800, 1800, 4):
        watched.add("b", traffic.one({"office": 1.0}, second), second)
    assert watched.evaluate(1300)[0].alerts, "there are requests yet that tell of it"
    old, new = watched.evaluate(1800)
    assert (old.version, old.samples, old.alerts) == ("a", 0, frozenset())
    assert (new.version, bool(new.distances), new.alerts) == ("b", True, frozenset())


def test_few_requests_are_not_judged() -> None:
    rules = RULES._replace(season=Season(None, 1, 0, 256, 100))
    watched, traffic = monitor(rules), Traffic(3)
    for second in range(99):
        watched.add("v1", traffic.one({"office": 1.0}, second), second)
    assert watched.evaluate(99)[0].distances == {}


def test_what_is_learned_anew_is_normal() -> None:
    rules = RULES._replace(season=Season(None, 1, 0, 256, 100), confirm=1)
    watched, traffic = monitor(rules), Traffic(3)
    for second in range(800):
        watched.add("v1", traffic.one({"office" if second < 400 else "русский": 1.0}, second), second)
    assert watched.evaluate(800)[0].alerts
    watched.relearn(800)
    for second in range(800, 1300):
        watched.add("v1", traffic.one({"русский": 1.0}, second), second)
    (reading,) = watched.evaluate(1300)
    assert reading.distances
    assert not reading.alerts


def test_memory_is_bounded_whatever_comes() -> None:
    watched, traffic = monitor(), Traffic(3)
    row = traffic.one({"office": 1.0}, MIDNIGHT)
    for number in range(3000):
        watched.add(f"v{number % 50}", row, MIDNIGHT + number)
    assert len(watched.windows) == MOST_VERSIONS
    held = watched.reference.rows.nbytes + sum(window.rows.nbytes for window in watched.windows.values())
    assert held < 1.5 * 2**20
