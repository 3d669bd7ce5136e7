"""When to come back to a model without engines."""

from gateway.absence import FIRST_S, MOST_S, SAFETY, Absence


def test_it_tells_what_is_left_of_the_usual_time() -> None:
    absence = Absence(0.0)
    absence.note(20.0, there=True)
    absence.note(100.0, there=False)
    assert [absence.left_s(now) for now in (100.0, 110.0, 118.5)] == [24, 14, 6]


def test_nine_in_ten_who_come_back_then_find_an_engine() -> None:
    absence, now, found, told = Absence(0.0), 0.0, 0, 0
    for number in range(60):
        lasts = 20.0 + number % 5
        for asked in range(0, int(lasts), 4):
            told += number > 0
            found += number > 0 and asked + absence.left_s(now + asked) >= lasts
        absence.note(now + lasts, there=True)
        now += 1000
        absence.note(now, there=False)
    assert told > 200
    assert found >= 0.9 * told


def test_before_anything_was_seen_it_is_a_start() -> None:
    assert Absence(0.0).left_s(0.0) == SAFETY * FIRST_S


def test_a_gateway_that_finds_engines_running_learns_nothing_of_their_starts() -> None:
    absence = Absence(0.0)
    absence.note(0.7, there=True)
    absence.note(60.0, there=False)
    assert absence.left_s(60.0) == SAFETY * FIRST_S


def test_what_is_late_is_not_promised_at_once_and_never_beyond_the_bound() -> None:
    absence = Absence(0.0)
    assert [absence.left_s(now) for now in (35.5, 36.0, 37.0, 96.0)] == [8, 8, 8, 60]
    assert absence.left_s(10_000.0) == MOST_S


def test_an_engine_that_comes_back_in_a_moment_teaches_nothing_of_starts() -> None:
    absence = Absence(0.0)
    absence.note(20.0, there=True)
    for flap in range(10):
        absence.note(100.0 + flap, there=False)
        absence.note(100.06 + flap, there=True)
    absence.note(200.0, there=False)
    assert absence.left_s(200.0) == 24


def test_repeated_word_that_none_is_there_begins_no_new_absence() -> None:
    absence = Absence(0.0)
    absence.note(10.0, there=False)
    assert absence.left_s(20.0) == 16


def test_it_is_over_since_there_is_an_engine_however_often_that_is_said() -> None:
    absence = Absence(0.0)
    assert absence.over_s(20.0) == 0.0
    for now in (20.0, 23.0):
        absence.note(now, there=True)
    assert absence.over_s(25.0) == 5.0
    absence.note(30.0, there=False)
    assert absence.over_s(31.0) == 0.0
    absence.note(31.0, there=True)
    assert absence.over_s(35.0) == 15.0, "a connection that was lost for a moment is no absence"
