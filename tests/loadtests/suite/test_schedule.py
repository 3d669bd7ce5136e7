"""The shapes over a run, and that nothing which runs beside an event loop imports Locust, which patches every socket."""

import subprocess
import sys

import pytest

from loadtests.suite.presets import PRESETS, SHAPES
from loadtests.suite.schedule import BURST, burst, day, sinus_day, user_seconds


def test_a_burst_is_ten_times_the_load_for_a_tenth_of_the_run():
    users = [burst(4, place / 100) for place in range(100)]
    assert (users.count(4), users.count(4 * BURST)) == (90, 10)
    assert users[:40] + users[50:] == [4] * 90


def test_a_day_follows_its_curve_and_never_stands_still():
    curve = sinus_day()
    users = [day(50, place / 1000, curve) for place in range(1000)]
    assert (min(users[:100]), max(users)) == (10, 50)
    assert users[500] == 50
    assert day(10, 0.5, [0.0]) == 1


def test_what_users_come_to_is_at_least_what_they_are_if_each_change_comes_late():
    def wanted(at: float) -> float:
        return 40.0 if 4 <= at < 14 else 4.0

    assert user_seconds(wanted, 20.0) == 4 * 10 + 40 * 10
    assert user_seconds(wanted, 20.0, 3.0) == 4 * (1 + 3 + 6) + 40 * 7
    assert user_seconds(wanted, 2.0, 3.0) == 0


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_what_locust_is_told(name: str):
    preset = PRESETS[name]
    told = preset.arguments()
    assert preset.shape in SHAPES
    assert told[:2] == ["--users", str(preset.users)]
    assert told[told.index("--arrivals") + 1] == preset.arrivals
    assert "" not in told


def test_whoever_starts_locust_does_not_import_it():
    code = "import sys, loadtests.suite.__main__, loadtests.suite.report; sys.exit('locust' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
