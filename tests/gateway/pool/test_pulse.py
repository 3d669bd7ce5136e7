"""Whether a core lives, by a clock of the test's own."""

import asyncio

import pytest

from gateway.pool.pulse import SPARE_STEPS, Pulse, silent_steps


class Core:
    """Answers while `well`."""

    def __init__(self) -> None:
        self.well = asyncio.Event()
        self.well.set()

    async def ping(self) -> None:
        await self.well.wait()


class Watched:
    """A pulse felt every 2 s."""

    def __init__(self) -> None:
        self.core, self.now = Core(), 0.0
        self.pulse = Pulse(self.core)

    async def feel(self, times: int, *, head: str | None = "r", steps: int = 3, paused: bool = False) -> float:
        for _ in range(times):
            self.now += 2
            self.pulse.feel(self.now, head=head, steps=steps, paused=paused)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        return self.pulse.quiet_s(self.now)


@pytest.fixture
def watched() -> Watched:
    return Watched()


async def test_a_core_that_owes_an_answer_is_quiet_since_it_was_asked(watched):
    watched.core.well.clear()
    assert await watched.feel(5) == 6
    watched.core.well.set()
    await asyncio.sleep(0)
    assert await watched.feel(1) == 0


async def test_a_core_that_answers_while_it_may_be_at_a_prompt_is_not_quiet(watched):
    assert await watched.feel(5) == 0


async def test_a_core_that_answers_more_often_than_its_prompts_take_steps_is_quiet_since_its_last_token(watched):
    assert await watched.feel(6) == 10
    watched.pulse.gave(watched.now)
    assert await watched.feel(3) == 0


async def test_tokens_of_anybody_are_life(watched):
    for _ in range(20):
        assert await watched.feel(1) == 0
        watched.pulse.gave(watched.now)


async def test_statistics_stand_in_for_an_answer_and_for_no_token(watched):
    watched.core.well.clear()
    await watched.feel(5)
    watched.pulse.spoke()
    assert await watched.feel(1) == 0
    watched.core.well.set()
    await asyncio.sleep(0)
    for _ in range(5):
        await watched.feel(1)
        watched.pulse.spoke()
    assert watched.pulse.quiet_s(watched.now) == 20


@pytest.mark.parametrize(
    "sign", [lambda pulse, now: pulse.gave(now), lambda pulse, _: pulse.spoke()], ids=["token", "stats"]
)
async def test_a_sign_that_overtakes_a_question_leaves_the_core_owing_an_answer(watched, sign):
    watched.core.well.clear()
    await watched.feel(2)
    sign(watched.pulse, watched.now)
    assert await watched.feel(5) == 8


async def test_another_oldest_request_may_take_its_steps_and_not_the_time_of_the_one_before(watched):
    """Clients that give up and try again are no progress."""
    assert [await watched.feel(times, head=head) for head in "abc" for times in (1, 5)] == [0, 10, 0, 22, 0, 34]


@pytest.mark.parametrize("again", [{"head": None}, {"paused": True}], ids=str)
async def test_no_request_or_a_pause_of_our_own_begins_anew(watched, again):
    assert await watched.feel(6) > 0
    assert await watched.feel(1, **again) == 0
    assert await watched.feel(3) == 0


def test_the_longest_prompt_bounds_the_steps_without_a_token():
    assert silent_steps([], 64) == 0
    assert silent_steps([0], 64) == SPARE_STEPS
    assert silent_steps([1, 129, 64], 64) == SPARE_STEPS + 3
