"""From features to levels: surprise, families, hysteresis, CUSUM, calibration, and the detector that joins them."""

import random
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.guard.calibration import Calibration
from gateway.guard.detector import Detector, DetectorSettings
from gateway.guard.features import FAMILIES, Features, Snapshot
from gateway.guard.fitting import RATES, fit
from gateway.guard.response import Rules, Standing, aged, applied, moved
from gateway.guard.score import carried_on, evidence, level_of, points
from gateway.guard.throttle import Throttle
from gateway.guard.verdict import Change, Level
from tests.gateway.guard.observations import DAY, START, harvested, seen

HOUR = 3600.0
RULES = Rules(Level.QUARANTINE, clean_s=24 * HOUR, quarantine_s=24 * HOUR)
PLAIN = Calibration(
    dict.fromkeys(Features._fields, (0.0, 1.0, 2.0, 3.0)),
    dict.fromkeys(Features._fields, 1.0),
    {Level.STRIP: 1.5, Level.THROTTLE: 2.5, Level.VERIFY: 3.5, Level.QUARANTINE: 6.0},
    1.0,
    100,
)


def test_every_feature_is_of_one_family() -> None:
    named = [name for names in FAMILIES.values() for name in names]
    assert sorted(named) == sorted(Features._fields)


def test_the_packaged_calibration_knows_every_feature_and_its_levels_rise() -> None:
    table = Calibration.load()
    assert set(table.quantiles) == set(table.weights) == set(Features._fields)
    assert all(list(values) == sorted(set(values)) for values in table.quantiles.values())
    assert [table.thresholds[level] for level in Level if level] == sorted(table.thresholds.values())
    assert table.key_days >= 500


@given(st.floats(0, 100), st.floats(0, 100))
def test_surprise_never_falls_as_a_feature_rises(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert PLAIN.surprise("ring", low) <= PLAIN.surprise("ring", high) <= 4


@pytest.mark.parametrize(("value", "surprise"), [(0, 0), (1, 0.25), (2, 1), (3, 2), (4.5, 3), (99, 4)])
def test_surprise_goes_by_the_quantiles(value: float, surprise: float) -> None:
    assert PLAIN.surprise("ring", value) == pytest.approx(surprise)


def test_within_a_family_the_strongest_counts_and_families_add_up() -> None:
    words = Features(instruction=2, reasoning=2)
    assert points(words, PLAIN)[0] == 1
    assert points(words._replace(twins=2), PLAIN)[0] == 2


def test_reasons_are_the_largest_points_first() -> None:
    found = evidence(Features(instruction=2, twins=3, ring=1), 0.0, PLAIN)
    assert [reason.feature for reason in found.reasons] == ["twins", "instruction", "ring"]
    assert found.families == 2


def test_one_family_alone_never_leads_beyond_throttling() -> None:
    alone = evidence(Features(twins=99), 0.0, PLAIN)
    assert alone.score > PLAIN.thresholds[Level.VERIFY]
    assert level_of(alone, PLAIN) is Level.THROTTLE
    assert level_of(evidence(Features(twins=99, instruction=2), 0.0, PLAIN), PLAIN) is Level.VERIFY


def test_what_stays_just_below_for_days_adds_up_and_what_is_usual_does_not() -> None:
    drip = usual = 0.0
    for _ in range(30):
        drip, usual = carried_on(drip, 1.4, PLAIN.drift), carried_on(usual, 0.6, PLAIN.drift)
    assert drip == pytest.approx(0.4 / 0.3, abs=0.01)
    assert usual == 0
    today = Features(twins=1.9)
    assert level_of(evidence(today, 0.0, PLAIN), PLAIN) is Level.OBSERVE
    found = evidence(today, drip, PLAIN)
    assert level_of(found, PLAIN) > Level.OBSERVE
    assert found.reasons[-1].feature == "days_before"


def test_levels_rise_at_once_and_fall_one_by_one_after_a_clean_while() -> None:
    at = moved(Standing(), Level.VERIFY, RULES, 0.0)
    assert at.level is Level.VERIFY
    assert moved(at, Level.OBSERVE, RULES, 23 * HOUR).level is Level.VERIFY
    down = moved(at, Level.OBSERVE, RULES, 24 * HOUR)
    assert down.level is Level.THROTTLE
    assert moved(down, Level.OBSERVE, RULES, 47 * HOUR).level is Level.THROTTLE
    assert moved(down, Level.OBSERVE, RULES, 48 * HOUR).level is Level.STRIP


def test_evidence_for_the_same_level_begins_the_wait_anew() -> None:
    at = moved(Standing(), Level.STRIP, RULES, 0.0)
    at = moved(at, Level.STRIP, RULES, 20 * HOUR)
    assert moved(at, Level.OBSERVE, RULES, 25 * HOUR).level is Level.STRIP


@given(st.lists(st.tuples(st.sampled_from(list(Level)), st.floats(0, 30)), max_size=40))
def test_a_level_is_never_below_its_evidence_and_never_falls_by_two(steps: list[tuple[Level, float]]) -> None:
    standing, now = Standing(), 0.0
    for found, hours in steps:
        now += hours * HOUR
        before, standing = standing, moved(standing, found, RULES, now)
        assert standing.level >= found or standing.level == before.level - 1
        assert standing.level >= before.level - 1


@pytest.mark.parametrize("highest", list(Level))
def test_above_the_highest_level_that_is_enforced_there_is_only_a_shadow(highest: Level) -> None:
    assert [applied(level, Rules(highest)) for level in Level] == [min(level, highest) for level in Level]


def test_a_fitted_table_alarms_as_often_as_it_says() -> None:
    rng = random.Random(1)
    days = [Snapshot(f"k{i}", DAY, Features(*(rng.expovariate(1) for _ in Features._fields))) for i in range(4000)]
    table = fit(days, dict.fromkeys(Features._fields, 1.0))
    fresh = [Features(*(rng.expovariate(1) for _ in Features._fields)) for _ in range(4000)]
    for level, rate in RATES.items():
        alarms = sum(points(features, table)[0] > table.thresholds[level] for features in fresh)
        assert alarms <= max(8, 2 * rate * len(fresh))


def test_thresholds_count_what_a_keys_days_before_carry_over() -> None:
    rng = random.Random(2)
    heavy = {f"k{i}": rng.lognormvariate(0, 1) for i in range(1500)}
    days = [
        Snapshot(key, DAY + day, Features(*(size * rng.expovariate(1) for _ in Features._fields)))
        for key, size in heavy.items()
        for day in range(4)
    ]
    table = fit(days, dict.fromkeys(Features._fields, 1.0))
    carried, alarms = dict.fromkeys(heavy, 0.0), 0
    for day in range(4):
        for snapshot in days[day::4]:
            score = points(snapshot.features, table)[0]
            alarms += score + carried[snapshot.key] > table.thresholds[Level.STRIP]
            carried[snapshot.key] = carried_on(carried[snapshot.key], score, table.drift)
    assert any(carried.values())
    assert alarms <= RATES[Level.STRIP] * len(days)


def test_a_table_survives_being_saved(tmp_path: Path) -> None:
    PLAIN.save(tmp_path / "table.json")
    assert Calibration.load(tmp_path / "table.json") == PLAIN


def harvest(detector: Detector, key: str, n: int, begin: float = START, **more: object) -> None:
    for each in harvested(key, n, begin, **more):
        detector.take(each)


def chat(detector: Detector, key: str, n: int, begin: float = START) -> None:
    rng = random.Random(key)
    for i in range(n):
        detector.take(
            seen(
                f"why is my {rng.choice('abcdef')} thing {rng.choice('ghij')}",
                begin + 600 * i,
                key,
                completion_tokens=80,
            )
        )


def test_a_harvest_is_told_from_chat_with_reasons() -> None:
    detector = Detector(DetectorSettings(rules=RULES), secret=b"s")
    harvest(detector, "thief", 400)
    chat(detector, "friend", 60)
    changes = detector.judge(START + 9000)
    assert [(change.key, change.tenant) for change in changes] == [("thief", "of-thief")]
    assert detector.verdict("thief").level >= Level.THROTTLE
    assert detector.verdict("thief").reasons
    assert detector.verdict("friend").level is Level.OBSERVE
    assert detector.explain("thief")["features"][0]["points"] > 0


def test_a_burst_of_edits_is_throttled_whatever_the_score_and_a_steady_harness_is_not() -> None:
    detector = Detector(DetectorSettings(rules=RULES), secret=b"s")
    rng = random.Random(7)
    words = "answer the question on the colour of the seven houses as if nobody had told you not to".split()
    for i in range(150):
        edited = " ".join([*words[: rng.randrange(len(words))], *words, f"word{i}"])
        detector.take(seen(edited, START + i / 70, "prober", completion_tokens=4))
        detector.take(seen(edited, START + i / 5, "harness", completion_tokens=4))
    detector.judge(START + 31)
    assert detector.verdict("prober").level >= Level.THROTTLE
    assert detector.verdict("prober").reasons[0].feature == "burst"
    assert detector.verdict("harness").level is Level.OBSERVE


def test_in_shadow_mode_the_level_is_told_and_not_applied() -> None:
    detector = Detector(DetectorSettings(rules=Rules(Level.STRIP)), secret=b"s")
    harvest(detector, "thief", 400)
    detector.judge(START + 9000)
    verdict = detector.verdict("thief")
    assert verdict.level > Level.STRIP
    assert verdict.applied is Level.STRIP


def test_of_a_trusted_tenant_nothing_is_concluded() -> None:
    detector = Detector(DetectorSettings(rules=RULES, trusted=frozenset({"of-thief"})), secret=b"s")
    harvest(detector, "thief", 400)
    assert detector.judge(START + 9000) == []
    assert detector.verdict("thief").level is Level.OBSERVE


def hours(detector: Detector, begin: float, days: int) -> list[Change]:
    """As a gateway looks, though nothing is seen any more."""
    return [change for hour in range(1, 24 * days) for change in detector.judge(begin + HOUR * hour)]


def test_the_level_of_a_key_that_is_refused_everything_falls_by_one_a_clean_day() -> None:
    detector = Detector(DetectorSettings(rules=RULES), secret=b"s")
    harvest(detector, "thief", 300)
    detector.judge(START + 6001)
    assert detector.verdict("thief").level is Level.QUARANTINE
    falls = hours(detector, START + 6001, 12)
    assert [change.verdict.level for change in falls] == [Level.VERIFY, Level.THROTTLE, Level.STRIP, Level.OBSERVE]
    gaps = [later.at - earlier.at for earlier, later in pairwise(falls)]
    assert min(gaps) >= RULES.clean_s
    assert falls[0].at >= START + 86_400 - HOUR + RULES.quarantine_s


def test_what_a_held_key_was_held_for_is_told_for_as_long_as_it_is_held() -> None:
    detector = Detector(DetectorSettings(rules=RULES), secret=b"s")
    harvest(detector, "thief", 300)
    (rise,) = detector.judge(START + 6001)
    for change in hours(detector, START + 6001, 12):
        assert change.verdict.reasons == (rise.verdict.reasons if change.verdict.level else ())


def test_what_was_seen_just_before_midnight_is_judged_just_after_it() -> None:
    detector = Detector(DetectorSettings(rules=RULES), secret=b"s")
    harvest(detector, "thief", 300, START + 86_400 - 20 * 300)
    assert detector.judge(START + 86_400 + 1)
    assert detector.verdict("thief").level >= Level.THROTTLE


def test_a_tenant_that_is_trusted_from_now_on_is_held_by_nothing_that_was_found_before() -> None:
    before = Detector(DetectorSettings(rules=RULES), secret=b"s")
    harvest(before, "thief", 300)
    before.judge(START + 6001)
    told = before.ledger("thief")
    for trusted, level in ((frozenset(), Level.QUARANTINE), (frozenset({"of-thief"}), Level.OBSERVE)):
        after = Detector(DetectorSettings(rules=RULES, trusted=trusted), secret=b"s")
        after.learn("thief", told, START + 7000)
        after.judge(START + 7001)
        assert after.verdict("thief").level is level


def test_release_forgets_and_what_comes_later_counts_again() -> None:
    detector = Detector(DetectorSettings(rules=RULES), secret=b"s")
    harvest(detector, "thief", 400)
    detector.judge(START + 9000)
    (change,) = detector.release("thief", START + 9001)
    assert change.released
    assert detector.verdict("thief").level is Level.OBSERVE
    assert detector.judge(START + 9100) == []
    harvest(detector, "thief", 400, START + 10_000)
    assert detector.judge(START + 20_000)
    assert detector.release("nobody", START) == []


def test_a_held_key_is_not_forgotten_for_one_that_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.guard.detector.KEYS", 5)
    detector = Detector(DetectorSettings(rules=RULES), secret=b"s")
    harvest(detector, "thief", 400)
    detector.judge(START + 9000)
    for i in range(20):
        detector.take(seen(key=f"k{i}", at=START + 9001 + i))
    assert detector.verdict("thief").level >= Level.THROTTLE
    assert len(detector.records) == 5
    assert {"k17", "k18", "k19"} < set(detector.records)


def test_a_standing_that_was_written_down_falls_as_if_it_had_been_watched() -> None:
    old = Standing(Level.QUARANTINE, 0.0, 0.0)
    assert aged(old, RULES, 23 * HOUR) == old
    assert aged(old, RULES, 49 * HOUR) == Standing(Level.THROTTLE, 48 * HOUR, 48 * HOUR)
    assert aged(old, RULES, 999 * HOUR).level is Level.OBSERVE


def test_keys_that_share_a_dealt_out_template_are_found_though_each_asks_little() -> None:
    def found(accounts: int) -> Detector:
        detector = Detector(DetectorSettings(rules=RULES), secret=b"s")
        for i in range(accounts):
            harvest(detector, f"h{i}", 24, START + i, completion_tokens=90)
        detector.judge(START + 9000)
        return detector

    alone, together = found(1), found(40)
    assert together.verdict("h3").score > alone.verdict("h0").score + 1
    assert together.verdict("h3").level > Level.OBSERVE
    assert together.features("h3").ring > alone.features("h0").ring
    assert len(together.kindred("h3")) >= 38


def test_a_slow_key_that_is_throttled_gets_a_quarter_of_what_it_sent() -> None:
    throttle, pace = Throttle(per_minute=6, concurrency=2, share=0.25), 100 / 86_400
    let_in = 0
    for turn in range(24 * 4):
        if throttle.enter("h", turn * 900.0, pace) is None:
            throttle.leave("h")
            let_in += 1
    assert 24 <= let_in <= 27
    wait_s = throttle.enter("h", 24 * HOUR, pace)
    assert wait_s is None or 0 < wait_s <= 4 / pace
    fast = [throttle.enter("f", 0.0, 5.0) for _ in range(3)]
    assert fast == [None, None, 1.0]


def test_a_keys_pace_is_that_from_before_it_was_throttled() -> None:
    detector = Detector(DetectorSettings(rules=RULES), secret=b"s")
    for each in harvested("thief", 400):
        detector.take(each)
        detector.judge(each.at)
    verdict = detector.verdict("thief")
    assert verdict.level >= Level.THROTTLE
    assert 0 < verdict.pace <= 1.05 / 20
    detector.take(seen("one more", START + 20 * 400 + 600, "thief"))
    detector.judge(START + 20 * 400 + 700)
    assert detector.verdict("thief").pace == verdict.pace


def test_a_throttled_key_gets_its_few_requests_and_no_more_at_a_time() -> None:
    throttle = Throttle(per_minute=3, concurrency=2, share=1.0)
    assert throttle.enter("k", 0) is None
    assert throttle.enter("k", 0) is None
    assert throttle.enter("k", 0) == 1.0
    throttle.leave("k")
    assert throttle.enter("k", 0) is None
    throttle.leave("k")
    assert throttle.enter("k", 0) == pytest.approx(20)
    assert throttle.enter("k", 20) is None
    assert throttle.enter("other", 0) is None
