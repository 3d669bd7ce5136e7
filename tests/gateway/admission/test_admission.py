"""Admission on a real event loop: waiting, cancellation at any moment, deadlines, and the beat of a connection kept alive."""

import asyncio
import contextlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.admission.admission import Admission, Permit
from gateway.admission.fair_queue import FairQueue
from gateway.admission.ticket import Capacity, Policy, Reason, Refusal, Ticket


def admission(sequences: int = 1, **more: float) -> Admission:
    policy = Policy(max_requests=40, tenant_share=1.0, reserve=0.0)
    return Admission(FairQueue(policy, Capacity(sequences, 10**6)), **more)


def ticket(tenant: str = "a", **more) -> Ticket:
    return Ticket(tenant, tenant, 10, 10, **more)


async def permit(gate: Admission, *args, **more) -> Permit:
    outcome = await gate.admit(ticket(*args, **more))
    assert isinstance(outcome, Permit)
    return outcome


def is_empty(gate: Admission) -> bool:
    status = gate.status()
    return (status.running, status.running_sequences, status.waiting, status.prefill_tokens) == (0, 0, 0, 0)


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_without_a_queue_a_permit_is_given_without_giving_up_the_loop() -> None:
    gate = admission()
    coroutine = gate.admit(ticket())
    with pytest.raises(StopIteration) as given_at_once:
        coroutine.send(None)
    with given_at_once.value.value:
        assert gate.status().running == 1
    assert is_empty(gate)


async def test_a_permit_comes_back_however_its_context_ends() -> None:
    gate = admission()
    with await permit(gate) as given_back:
        given_back.release()
    with pytest.raises(ZeroDivisionError), await permit(gate):
        raise ZeroDivisionError
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            with await permit(gate):
                await asyncio.sleep(10)
    assert is_empty(gate)


async def test_a_release_starts_the_next() -> None:
    gate = admission()
    first = await permit(gate)
    waiting = asyncio.create_task(permit(gate, "b"))
    await settled()
    assert not waiting.done()
    first.release()
    second = await waiting
    assert second.waited_s > 0
    second.release()
    assert is_empty(gate)


async def test_prefill_that_is_done_starts_the_next() -> None:
    gate = Admission(FairQueue(Policy(reserve=0.0), Capacity(8, 100)))
    first = await permit(gate)
    first.counted(500)
    waiting = asyncio.create_task(permit(gate, "b"))
    await settled()
    assert not waiting.done()
    first.prefilled(500)
    with first, await waiting:
        pass
    assert is_empty(gate)


async def test_a_prompt_shorter_than_guessed_starts_the_next() -> None:
    gate = Admission(FairQueue(Policy(reserve=0.0), Capacity(8, 100)))
    outcome = await gate.admit(ticket()._replace(prompt_guess=500))
    assert isinstance(outcome, Permit)
    waiting = asyncio.create_task(permit(gate, "b"))
    await settled()
    assert not waiting.done()
    outcome.counted(20)
    with outcome, await waiting:
        pass
    assert is_empty(gate)


async def test_new_capacity_starts_those_who_wait() -> None:
    gate = admission(sequences=0)
    waiting = [asyncio.create_task(permit(gate, name)) for name in "abc"]
    await settled()
    gate.set_capacity(Capacity(2, 1000))
    await settled()
    assert [task.done() for task in waiting] == [True, True, False]
    for task in waiting:
        (await task).release()
    assert is_empty(gate)


async def test_a_permit_on_its_way_to_someone_cancelled_goes_to_the_next() -> None:
    gate = admission()
    first = await permit(gate)
    leaving = asyncio.create_task(permit(gate, "b"))
    patient = asyncio.create_task(permit(gate, "c"))
    await settled()
    first.release()
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    (await patient).release()
    assert is_empty(gate)


async def test_one_cancelled_just_before_its_turn_is_passed_over() -> None:
    gate = admission()
    first = await permit(gate)
    leaving = asyncio.create_task(permit(gate, "b"))
    patient = asyncio.create_task(permit(gate, "c"))
    await settled()
    leaving.cancel()
    first.release()
    with contextlib.suppress(asyncio.CancelledError):
        await leaving
    (await patient).release()
    assert is_empty(gate)


async def test_a_deadline_ends_the_wait_with_a_refusal() -> None:
    gate = admission()
    holder = await permit(gate)
    outcome = await gate.admit(ticket("b", deadline=gate.now() + 0.02))
    assert isinstance(outcome, Refusal)
    assert outcome.reason is Reason.DEADLINE_EXPIRED
    assert gate.refused == {Reason.DEADLINE_EXPIRED: 1}
    holder.release()
    assert is_empty(gate)


async def test_a_place_that_was_kept_for_nobody_goes_to_the_next_though_nothing_else_happens() -> None:
    gate = Admission(FairQueue(Policy(reserve=0.2), Capacity(20, 10**6)))
    quiet = await permit(gate, "quiet")
    running: list[Permit] = []

    async def flood() -> None:
        running.append(held := await permit(gate, "flood"))
        held.prefilled(10)
        await asyncio.Event().wait()

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        tasks = [group.create_task(flood()) for _ in range(40)]
        while len(running) < 15:
            await asyncio.sleep(0)
        quiet.release()
        await settled()
        assert len(running) == 15
        while len(running) < 16:
            await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()


async def test_an_earlier_deadline_that_comes_later_is_kept() -> None:
    gate = admission()
    holder = await permit(gate)
    late = asyncio.create_task(gate.admit(ticket("b", deadline=gate.now() + 30)))
    await settled()
    async with asyncio.timeout(5):
        outcome = await gate.admit(ticket("c", deadline=gate.now() + 0.02))
    assert isinstance(outcome, Refusal)
    holder.release()
    outcome = await late
    assert isinstance(outcome, Permit)
    outcome.release()


async def test_a_waiting_request_beats_until_it_starts() -> None:
    gate = admission(beat_s=0.01)
    holder = await permit(gate)
    beats: list[float] = []

    def beat() -> None:
        beats.append(gate.now())
        if len(beats) == 3:
            holder.release()

    outcome = await gate.admit(ticket("b"), beat)
    assert isinstance(outcome, Permit)
    outcome.release()
    assert len(beats) == 3


async def test_a_beat_that_fails_gives_the_place_back() -> None:
    gate = admission(beat_s=0.01)
    holder = await permit(gate)

    def beat() -> None:
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await gate.admit(ticket("b"), beat)
    holder.release()
    assert is_empty(gate)


async def a_client(gate: Admission, dice: random.Random, peak: list[int]) -> None:
    deadline = gate.now() + dice.uniform(0, 0.01) if dice.random() < 0.3 else None
    outcome = await gate.admit(
        ticket(dice.choice("abc"), deadline=deadline), (lambda: None) if dice.random() < 0.5 else None
    )
    if isinstance(outcome, Refusal):
        return
    with outcome as held:
        peak.append(gate.status().running_sequences)
        for _ in range(dice.randrange(4)):
            await asyncio.sleep(0)
        held.counted(dice.randrange(50))
        if dice.random() < 0.3:
            raise ConnectionResetError
        await asyncio.sleep(dice.uniform(0, 0.002))
        held.prefilled(50)
        held.generated(dice.randrange(20))


async def test_the_end_of_its_last_sequence_gives_a_permit_back_though_its_client_still_reads() -> None:
    gate = admission(sequences=2)
    outcome = await gate.admit(ticket("a", sequences=2))
    assert not isinstance(outcome, Refusal)
    next_one = asyncio.create_task(permit(gate, "b"))
    with outcome as held:
        held.generated(5)
        (await asyncio.wait_for(next_one, 1)).release()
        assert gate.status().running_sequences == 1
        held.generated(5)
        assert is_empty(gate)
    assert is_empty(gate)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32))
def test_any_interleaving_of_ends_and_cancellations_gives_every_permit_back_once(seed: int) -> None:
    async def storm() -> None:
        dice = random.Random(seed)
        gate = admission(sequences=3, beat_s=0.001)
        peak: list[int] = []
        tasks = []
        for _ in range(60):
            tasks.append(asyncio.create_task(a_client(gate, dice, peak)))
            if dice.random() < 0.5:
                dice.choice(tasks).cancel()
            if dice.random() < 0.3:
                await asyncio.sleep(dice.choice([0, 0.0005]))
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        unexpected = [each for each in outcomes if each is not None]
        assert all(isinstance(each, ConnectionResetError | asyncio.CancelledError) for each in unexpected)
        assert max(peak) <= 3
        assert is_empty(gate)

    asyncio.run(storm())
