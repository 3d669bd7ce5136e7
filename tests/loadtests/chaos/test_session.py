import asyncio
import json
from pathlib import Path

import httpx
import pytest

from loadtests.chaos import session as sessions
from loadtests.chaos.answers import Answer, Choice
from loadtests.chaos.faults import FAULTS, QUICK, Due, Fault, NotHere, Scene
from loadtests.chaos.kinds import TENANTS, work
from loadtests.chaos.load import Flight, Load
from loadtests.chaos.session import Session
from loadtests.chaos.target import Standing, Target

ITEMS = work("toy", 1, seed=1)
GREEDY = next(item for item in ITEMS if item.kind == "greedy")
NEVER = Due((), (), 0.0)
REFERENCE = Answer({0: Choice("the cat", finish=["length"])}, usage=96)


class Asked(Load):
    """A load that has ended, and a model that, asked again, has a near tie between `cat` and `dog`."""

    async def raw(self, body, tenant):
        assert body["top_logprobs"] == 2
        best = [{"token": token, "logprob": logprob} for token, logprob in (("cat", -0.70), ("dog", -0.74))]
        told = [
            {"token": "the ", "top_logprobs": [{"token": "the ", "logprob": 0.0}]},
            {"token": "cat", "top_logprobs": best},
        ]
        return json.dumps({"choices": [{"index": 0, "logprobs": {"content": told}}]}).encode()


@pytest.fixture
def scene() -> Scene:
    target = Target(Path("none"), Path("none"), "toy", list)
    return Scene(target, Asked("127.0.0.1", 1, {}, ITEMS), Standing(target, 1), QUICK)


@pytest.fixture
def session(scene) -> Session:
    return Session(scene.target, 1, QUICK, 1, lambda _text: None, _reference=[REFERENCE] * len(ITEMS))


def ended(scene: Scene, item, answer: Answer) -> None:
    scene.load.ended.append(Flight(item, None, scene.struck_at, scene.struck_at + 1, answer))


def text(told: str) -> Answer:
    return Answer({0: Choice(told, finish=["length"])}, usage=96)


async def struck(session: Session, scene: Scene, due=NEVER, *answers: Answer, item=GREEDY, **more):
    """The row of a fault in whose time `answers` ended."""

    async def strike(_scene):
        for answer in answers:
            ended(scene, item, answer)

    await session._torment("core", Fault("a fault", strike, due, **more), scene)
    await session._judge(scene.load)
    return session.rows[-1]


@pytest.fixture(autouse=True)
def _all_well(monkeypatch):
    """Engines stand well whenever they are looked at, and no stream moves."""

    async def moved(self):
        del self
        return 0

    monkeypatch.setattr(Target, "moved", moved)

    async def regained(self, without, within_s):
        del self, without, within_s

    monkeypatch.setattr(Standing, "regained", regained)


async def test_equal_different_and_broken_answers_are_told_apart(session, scene):
    broken = Answer(problem="no [DONE] at the end")
    row = await struck(session, scene, NEVER, text("the cat"), text("the dog"), text("the cow"), broken)
    assert (row.completed, row.compared, row.flipped, row.altered, row.failed) == (3, 3, 1, 1, 1)
    assert row.problems == [
        "greedy: no [DONE] at the end",
        "greedy was altered: ['the cat'] became ['the cow']",
    ]


async def test_unseeded_answers_may_differ(session, scene):
    free = next(item for item in ITEMS if item.kind == "unseeded")
    row = await struck(session, scene, NEVER, text("anything"), item=free)
    assert (row.completed, row.compared, row.altered) == (1, 0, 0)


async def test_a_refusal_fails_unless_it_is_due(session, scene):
    due, refusal = Due(TENANTS, ("tenant_queue",), 0.5), Answer(refused="tenant_queue")
    row = await struck(session, scene, due, refusal, text("the cat"))
    assert (row.refused, row.reasons, row.failed, row.problems) == (1, {"tenant_queue": 1}, 0, [])
    undue = await struck(session, scene, NEVER, refusal)
    assert (undue.refused, undue.failed, undue.problems) == (0, 1, ["greedy: refused: tenant_queue"])


async def test_a_refusal_for_another_reason_fails(session, scene):
    row = await struck(
        session, scene, Due(TENANTS, ("tenant_queue",), 0.5), Answer(refused="overloaded"), text("the cat")
    )
    assert (row.refused, row.failed) == (0, 1)


async def test_a_service_that_refuses_nearly_everything_fails(session, scene):
    refusal = Answer(refused="tenant_queue")
    row = await struck(session, scene, Due(TENANTS, ("tenant_queue",), 0.5), refusal, refusal, text("the cat"))
    assert row.problems == ["2 of 3 requests that may be refused here were"]


async def test_a_fault_that_must_move_streams_and_moves_none_has_not_struck(session, scene):
    assert (await struck(session, scene, NEVER, text("the cat"))).problems == []
    row = await struck(session, scene, NEVER, text("the cat"), moves=True)
    assert row.problems == ["no stream went on with another engine"]


@pytest.mark.parametrize("told", [(None, 3), (3, None)])
async def test_streams_that_nobody_counted_are_no_proof_that_a_fault_struck(session, scene, monkeypatch, told):
    counts = iter(told)

    async def moved(_self):
        if (count := next(counts)) is None:
            raise httpx.ConnectError("no gateway is known")
        return count

    monkeypatch.setattr(Target, "moved", moved)
    row = await struck(session, scene, NEVER, text("the cat"), moves=True)
    assert (row.moved, row.problems) == (0, ["no gateway told how many streams went on with another engine"])


REFUSED = [Answer(refused="leak_budget_unknown")]


@pytest.mark.parametrize(
    ("during", "afterwards", "problems"),
    [
        (REFUSED * 10 + [text("the cat")] * 30, [], []),
        (REFUSED * 10 + [text("the cat")] * 30, [*REFUSED, text("the cat")], []),
        (REFUSED * 10 + [text("the cat")] * 20, REFUSED * 10, ["20 of 40 requests that may be refused here were"]),
    ],
    ids=["none refused", "a few refused", "too many refused"],
)
async def test_what_ends_after_the_last_fault_is_counted_with_it(monkeypatch, scene, during, afterwards, problems):
    """A whole run but for its real Sluice: the load is what is said here."""

    class Scripted(Asked):
        def __init__(self, *_args):
            super().__init__("127.0.0.1", 1, {}, ITEMS)

        async def once_each(self, items, streams):
            del streams
            return [REFERENCE] * len(items)

        def start(self, streams):
            del streams

        async def stop(self):
            for answer in afterwards:
                ended(scene, GREEDY, answer)

    async def control(self, load, standing):
        del self, standing
        scene.load = load

    async def strike(_scene):
        for answer in during:
            ended(scene, GREEDY, answer)

    async def key(_self, tenant):
        return tenant

    monkeypatch.setattr(sessions, "Load", Scripted)
    monkeypatch.setattr(Target, "key", key)
    monkeypatch.setattr(Standing, "watch", lambda _self: asyncio.sleep(0))
    monkeypatch.setattr(Session, "_control", control)
    monkeypatch.setitem(FAULTS, "redis", Fault("death of Redis", strike, FAULTS["redis"].due))
    session = Session(scene.target, 1, QUICK, 1, lambda _text: None)
    await session.run(("redis",), 1)
    (row,) = session.rows
    refused = sum(bool(answer.refused) for answer in during + afterwards)
    assert (row.refused, row.failed, row.problems) == (refused, 0, problems)


async def test_what_ended_before_a_fault_is_the_doing_of_the_one_before(session, scene):
    before = await struck(session, scene, NEVER, text("the cat"))
    scene.load.ended.append(Flight(GREEDY, None, 0.0, scene.struck_at - 1, Answer(problem="late")))
    row = await struck(session, scene, NEVER, text("the cat"))
    assert (row.completed, row.failed) == (1, 0)
    assert (before.completed, before.failed) == (1, 1)


async def test_a_fault_that_cannot_be_had_says_why_and_one_that_breaks_down_fails_the_run(session, scene):
    async def not_here(_scene):
        raise NotHere("not possible here: no ip")

    async def breaks(_scene):
        raise RuntimeError("sluice reload failed")

    await session._torment("cut", Fault("cut", not_here), scene)
    await session._torment("redeploy", Fault("redeploy", breaks), scene)
    assert [(row.notes, row.problems) for row in session.rows] == [
        (["not possible here: no ip"], []),
        ([], ["RuntimeError: sluice reload failed"]),
    ]
