"""The guard at work: its thread, its store, several gateways and restarts."""

import random
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from gateway.guard.detector import Detector, DetectorSettings
from gateway.guard.file_store import FileStore
from gateway.guard.guard import Guard
from gateway.guard.observation import LONGEST, Observation, read, token_ids
from gateway.guard.response import Rules
from gateway.guard.sharing import Sharing
from gateway.guard.verdict import Change, Level
from loadtests.traffic import attacks
from loadtests.traffic.call import Split
from tests.gateway.guard.observations import START, harvested, seen
from tests.gateway.guard.test_judgement import harvest
from tests.waiting import eventually

SETTINGS = DetectorSettings(rules=Rules(Level.QUARANTINE))


class Collected(list[Change]):
    def __call__(self, change: Change) -> None:
        self.append(change)


def guard(store: FileStore, told: Collected, capacity: int = 2000) -> Guard:
    return Guard(Detector(SETTINGS, secret=b"s"), store, told, capacity, clock=lambda: START + 9000)


class Recording(Detector):
    """Collects what it is told, for `harvest` to be played elsewhere."""

    def __init__(self) -> None:
        self.taken: list[object] = []

    def take(self, seen: object) -> None:
        self.taken.append(seen)


def observations(n: int) -> list[object]:
    recording = Recording()
    harvest(recording, "thief", n)
    return recording.taken


def test_what_is_observed_is_judged_told_and_found_again_after_a_restart(tmp_path: Path) -> None:
    told = Collected()
    first = guard(FileStore(tmp_path / "g.sqlite"), told)
    first.open()
    for each in observations(400):
        first.observe(each)
    first.close(60)
    assert first.seen == 400
    assert [change.key for change in told] == ["thief"]
    level = first.verdict("thief").level
    assert level >= Level.THROTTLE

    again = guard(FileStore(tmp_path / "g.sqlite"), told)
    again.open()
    assert again.verdict("thief").level is level
    assert again.release("thief") is level
    assert told[-1].released
    assert again.verdict("thief").level is Level.OBSERVE
    again.close()

    third = guard(FileStore(tmp_path / "g.sqlite"), told)
    third.open()
    assert third.verdict("thief").level is Level.OBSERVE
    third.close()


def test_beyond_its_capacity_a_request_is_only_counted(tmp_path: Path) -> None:
    small = guard(FileStore(tmp_path / "g.sqlite"), Collected(), capacity=5)
    for _ in range(8):
        small.observe(seen())
    assert small.dropped == 3
    assert small.status()["queued"] == 5


def of_token_ids(texts: Iterable[str], decode: Callable[[Sequence[int]], str]) -> Iterator[Observation]:
    for number, text in enumerate(texts):
        yield seen(at=START + number, messages=(), unread=token_ids([*map(ord, text)], decode), status=200)


def test_token_ids_are_decoded_in_the_thread_and_their_words_count(tmp_path: Path) -> None:
    threads = set()

    def decode(tokens: Sequence[int]) -> str:
        threads.add(threading.current_thread().name)
        return "".join(map(chr, tokens))

    rng, watching = random.Random(5), guard(FileStore(tmp_path / "g.sqlite"), Collected())
    ask = attacks.elicitation(rng, Split.TEST)
    for each in of_token_ids((ask(rng)[0][1] for _ in range(100)), decode):
        watching.observe(each)
    assert threads == set()
    watching.open()
    watching.close(60)
    assert threads == {"guard"}
    assert watching.verdict("k").level >= Level.THROTTLE


def test_what_a_tokenizer_cannot_tell_is_numbers_and_ends_nothing(tmp_path: Path) -> None:
    def decode(tokens: Sequence[int]) -> str:
        raise OverflowError(tokens)

    watching = guard(FileStore(tmp_path / "g.sqlite"), Collected())
    watching.open()
    for each in of_token_ids((f"What is {n}?" for n in range(64)), decode):
        watching.observe(each)
    eventually(lambda: watching.seen == 64, 20, "the thread to go on")
    watching.close()
    assert watching.problem is None
    assert watching.explain("k")["requests_today"] == 64


@pytest.mark.parametrize("length", [LONGEST, LONGEST + 1, 200_000])
def test_of_a_long_prompt_of_token_ids_few_are_decoded_and_each_makes_it_another(length: int) -> None:
    def told(tokens: list[int]) -> Observation:
        unread = token_ids(tokens, lambda ids: "".join(map(chr, ids)))
        assert len(unread.ids) <= LONGEST
        return read(seen(messages=(), unread=unread))

    tokens = [97] * length
    for place in (0, length // 3, length // 2, length - 1):
        assert told([*tokens[:place], 98, *tokens[place + 1 :]]).messages != told(tokens).messages


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_ended_is_a_problem_that_is_told(tmp_path: Path) -> None:
    broken = guard(FileStore(tmp_path / "g.sqlite"), Collected())
    broken.open()
    assert broken.problem is None
    broken.observe(None)
    eventually(lambda: broken.problem is not None, 10)
    assert "thread" in str(broken.status()["problem"])
    broken.close()


def test_two_gateways_judge_what_both_have_seen(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "g.sqlite")
    whole, here, there = (Detector(SETTINGS, secret=b"s") for _ in range(3))
    for i, each in enumerate(observations(300)):
        whole.take(each)
        (here, there)[i % 2].take(each)
    sides = [Sharing(store, here, "g1"), Sharing(store, there, "g2")]
    for side in sides:
        side.write(side.outgoing())
    for side in sides:
        side.take(side.read(), START + 6001)
    merged, alone = here.features("thief"), whole.features("thief")
    for name in ("novelty", "volume", "verbose", "harvest", "instruction", "coverage", "template"):
        assert getattr(merged, name) == pytest.approx(getattr(alone, name), rel=0.02)
    assert here.judge(START + 9000)[0].verdict.level == whole.judge(START + 9000)[0].verdict.level
    store.close()


@pytest.mark.parametrize("own", [0, 1])
def test_a_keys_pace_is_taken_over_the_time_of_all_gateways(own: int) -> None:
    """`own`: requests that this gateway has seen itself, the last of the day."""
    there, here = (Detector(SETTINGS, secret=b"s") for _ in range(2))
    *before, last = observations(401)
    there.take(*before)
    here.learn("thief", there.ledger("thief"), START + 8000)
    here.merge("thief", "g1", there.records["thief"].profile)
    here.take(*[last][:own])
    here.judge(START + 9000, ["thief"])
    assert here.verdict("thief").level >= Level.THROTTLE
    assert here.verdict("thief").pace == pytest.approx((400 + own) / 9000)
    there.learn("thief", here.ledger("thief"), START + 9000)
    assert there.verdict("thief").pace == here.verdict("thief").pace


def test_a_level_reached_at_one_gateway_holds_at_the_other_and_so_does_its_release(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "g.sqlite")
    here, there = (Detector(SETTINGS, secret=b"s") for _ in range(2))
    a, b = Sharing(store, here, "g1"), Sharing(store, there, "g2")
    harvest(here, "thief", 400)
    here.judge(START + 9000)
    a.write(a.outgoing())
    assert b.take(b.read(), START + 9002) == ["thief"]
    assert there.verdict("thief").level is here.verdict("thief").level
    there.release("thief", START + 9003)
    b.write(b.outgoing())
    a.take(a.read(), START + 9005)
    assert here.verdict("thief").level is Level.OBSERVE
    assert here.judge(START + 9999) == []
    store.close()


def test_a_release_is_not_undone_by_who_has_not_heard_of_it(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "g.sqlite")
    here, there = (Detector(SETTINGS, secret=b"s") for _ in range(2))
    a, b = Sharing(store, here, "g1"), Sharing(store, there, "g2")
    harvest(here, "thief", 400)
    here.judge(START + 9000)
    a.write(a.outgoing())
    b.take(b.read(), START + 9002)
    there.release("thief", START + 9003)
    b.write(b.outgoing())
    here.judge(START + 19_000)
    a.write(a.outgoing())
    assert b.take(b.read(), START + 19_002) == []
    assert there.verdict("thief").level is Level.OBSERVE
    b.write(b.outgoing())
    a.take(a.read(), START + 19_004)
    assert here.verdict("thief").level is Level.OBSERVE
    store.close()


def test_a_held_account_is_held_with_every_key_a_new_one_too_until_it_is_released(tmp_path: Path) -> None:
    told = Collected()
    whole = guard(FileStore(tmp_path / "g.sqlite"), told)
    for each in observations(400):
        for key in ("thief", "other"):
            whole.observe(each._replace(key=key))
    whole._look()
    whole._judge(START + 9000)
    whole._judge(START + 9040)
    assert "account:of-thief" in whole.flagged()
    assert whole.verdict("fresh", "of-thief").level >= Level.VERIFY
    assert whole.verdict("fresh", "someone").level is Level.OBSERVE
    assert whole.release("account:of-thief") >= Level.VERIFY
    assert {change.key for change in told if change.released} == {"account:of-thief", "thief", "other"}
    assert whole.verdict("thief", "of-thief").level is Level.OBSERVE


def test_of_two_gateways_the_one_that_knows_less_never_lowers_a_level(tmp_path: Path) -> None:
    told = Collected()
    sides = [guard(FileStore(tmp_path / "g.sqlite"), told) for _ in range(2)]
    here, there = sides
    for each in observations(400):
        here.observe(each)
    for turn in range(4):
        there.observe(seen("And what about this?", START + 8000 + turn, "thief", tenant="of-thief"))
        for side in (sides, sides[::-1])[turn % 2]:
            side._look()
            side._judge(START + 9000 + 60 * turn)
            side._sync()
        levels = [side.verdict("thief").level for side in sides]
        assert here.verdict("thief").level >= Level.THROTTLE
        assert turn == 0 or min(levels) >= Level.THROTTLE, levels
    assert not any(change.verdict.level < change.before for change in told)
    there.release("thief")
    for _ in range(2):
        for side in sides:
            side._sync()
            side._judge(START + 9900)
    assert [side.verdict("thief").level for side in sides] == [Level.OBSERVE] * 2


def test_what_a_key_carried_over_at_one_gateway_is_not_lost_at_another(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "g.sqlite")
    here, there = (Detector(SETTINGS, secret=b"s") for _ in range(2))
    a, b = Sharing(store, here, "g1"), Sharing(store, there, "g2")
    for each in (seen(key="k"), seen(key="k", at=START + 1)):
        here.take(each)
    there.take(seen(key="k"))
    here.records["k"].carried = 3.0
    for _ in range(2):
        for side in (a, b):
            side.write(side.outgoing())
            side.take(side.read(), START + 3)
    assert here.records["k"].carried == there.records["k"].carried == 3.0
    later = Detector(SETTINGS, secret=b"s")
    later.take(seen(key="k", at=START + 86_400))
    c = Sharing(store, later, "g3")
    c.take(c.read(), START + 86_401)
    assert later.records["k"].carried == 0.0
    store.close()


def test_a_restart_keeps_the_sketches_of_the_day(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "g.sqlite")
    first, again = (Detector(SETTINGS, secret=b"s") for _ in range(2))
    harvest(first, "thief", 100)
    old, new = Sharing(store, first, "g1"), Sharing(store, again, "g2")
    old.write(old.outgoing())
    new.take(new.read(), START + 2001)
    assert again.records["thief"].whole.get("requests") == 100
    store.close()


def test_a_hydra_dealt_out_to_two_gateways_is_one_group(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "g.sqlite")
    whole, here, there = (Detector(SETTINGS, secret=b"s") for _ in range(3))
    asked = [each for key in range(12) for each in harvested(f"head-{key}", 16, begin=START + key)]
    asked.sort(key=lambda each: (each.at, each.key))
    for i, each in enumerate(asked):
        whole.take(each)
        (here, there)[(i + i // 12) % 2].take(each)
    alone = here.features("head-3")
    a, b = Sharing(store, here, "g1"), Sharing(store, there, "g2")
    for side in (a, b):
        side.write(side.outgoing())
    for side in (a, b):
        side.take(side.read(), START + 6001)
    merged, one = here.features("head-3"), whole.features("head-3")
    assert alone.ring < 0.9 * one.ring
    for name in ("ring", "ring_even", "ring_kin"):
        assert getattr(merged, name) == pytest.approx(getattr(one, name), rel=0.1), name
    assert here.kindred("head-3") == tuple(sorted(whole.kindred("head-3"), key=here.kindred("head-3").index))
    store.close()


def test_a_group_found_at_another_gateway_is_known_here(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "g.sqlite")
    here, there = (Detector(SETTINGS, secret=b"s") for _ in range(2))
    a, b = Sharing(store, here, "g1"), Sharing(store, there, "g2")
    for key in range(12):
        for each in harvested(f"head-{key}", 8, begin=START + key):
            there.take(each)
    for each in harvested("late", 8):
        here.take(each)
    assert here.features("late").ring == 0
    b.write(b.outgoing())
    a.take(a.read(), START + 6001)
    for each in harvested("late", 8, begin=START + 300):
        here.take(each)
    assert here.features("late").ring > 0
    assert "of-head-3" in here.kindred("late")
    store.close()
