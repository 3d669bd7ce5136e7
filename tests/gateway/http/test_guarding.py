"""A request's way through the guard: how many answers it may have, what it is charged, and what is told of it."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.auth.keys import Principal
from gateway.config.guard import Guard as GuardConfig
from gateway.errors import InvalidRequest, LogprobsWithConstraint, RateLimited, SluiceError
from gateway.guard.accounts import Accounts
from gateway.guard.detector import Detector
from gateway.guard.file_store import FileStore
from gateway.guard.leak_budgets import LeakBudgets
from gateway.guard.leaks import FREE_SETTINGS, Charge, Shape
from gateway.guard.observation import Observation, read
from gateway.guard.throttle import Throttle
from gateway.guard.verdict import CLEAR, Level, Verdict
from gateway.http.guarding import Guarding
from gateway.http.surface import ROUTES, Admitted, SurfacePolicy
from tests.waiting import soon

CHAT, COMPLETIONS, RESPONSES, MESSAGES = (
    f"/v1/{name}" for name in ("chat/completions", "completions", "responses", "messages")
)
CALLER = Principal("k", "t", "standard", frozenset({"inference"}))
SHAPE = Shape("m", "v1", 64, 1024)
WORDS = "as one two by if not three so four but five now six it seven then".split()
TURN = [{"role": "user", "content": "What is the weather?"}]
ASKED: dict[str, dict[str, Any]] = {
    CHAT: {"messages": TURN, "max_tokens": 100},
    RESPONSES: {"input": "What is the weather?", "max_output_tokens": 100},
    MESSAGES: {"messages": TURN, "max_tokens": 100},
}
LOGPROBS: dict[str, dict[str, Any]] = {
    CHAT: {"logprobs": True},
    RESPONSES: {"include": ["message.output_text.logprobs"]},
}


def tools(path: str, **more: Any) -> dict[str, Any]:
    match path:
        case "/v1/chat/completions":
            return {"tools": [{"type": "function", "function": {"name": "f", **more}}]}
        case "/v1/responses":
            return {"tools": [{"type": "function", "name": "f", **more}]}
        case _:
            return {"tools": [{"name": "f", "input_schema": {}, **more}]}


class Place:
    """A guard that only listens; the clock stands still. `level` is what it applies."""

    def __init__(self, folder: Path) -> None:
        self.level = Level.OBSERVE
        self.told: list[Observation] = []
        self.actions: list[str] = []
        self.decoded: list[list[int]] = []
        self.store = FileStore(folder / "guard.sqlite")
        self.leaks = LeakBudgets(self.store, Accounts(), 1.0, {}, "projection")
        throttle = Throttle(6, 2, 0.25)
        self.guarding = Guarding(GuardConfig(), self, self.leaks, throttle, self, clock=lambda: 0.0)  # type: ignore[arg-type]

    def verdict(self, _key: str, _tenant: str) -> Verdict:
        return Verdict(self.level, self.level) if self.level else CLEAR

    def observe(self, seen: Observation) -> None:
        self.told.append(seen)

    def decode(self, tokens: Sequence[int]) -> str:
        self.decoded.append(list(tokens))
        return "".join(map(chr, tokens))

    def acted(self, action: str, _tier: str) -> None:
        self.actions.append(action)

    async def ask(self, path: str, tokens: int = 0, **body: Any) -> Admitted:
        """An answer of so many tokens, or the refusal."""
        watch, status = self.guarding.watch(), 400
        try:
            watch.enter(CALLER)
            admitted = watch.admit(ROUTES[path], {"model": "m", **body}, SurfacePolicy())
            admitted = await watch.check(ROUTES[path], admitted, SHAPE, 4096, decode=self.decode)
            counted = watch.counting(Uncounted())
            counted.counted(10)
            counted.generated(tokens)
            status = 200
        finally:
            watch.end(status)
        return admitted

    @property
    def charged(self) -> Charge:
        return self.store.meters().get("v1-64x1024/t", Charge())


class Uncounted:
    def counted(self, prompt_tokens: int) -> None:
        pass

    prefilled = generated = counted


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    made = Place(tmp_path)
    yield made
    made.leaks.close()
    made.store.close()


@pytest.mark.parametrize(("prompts", "n"), [(16, 1), (2, 1), (1, 8), (16, 8)])
@pytest.mark.parametrize("level", [Level.STRIP, Level.THROTTLE])
async def test_from_strip_on_one_request_has_no_more_answers_than_are_allowed(
    place: Place, level: Level, prompts: int, n: int
) -> None:
    place.level = level
    sequences = 0
    for _ in range(10):
        try:
            sequences += (await place.ask(COMPLETIONS, prompt=["Hello"] * prompts, n=n)).sequences
        except SluiceError as refusal:
            assert isinstance(refusal, RateLimited) or refusal.param == "prompt"  # noqa: PT017
    assert sequences == (0 if prompts > 1 else 6 if level is Level.THROTTLE else 10)


async def test_a_key_that_is_not_stripped_may_send_lists(place: Place) -> None:
    assert (await place.ask(COMPLETIONS, prompt=["Hello"] * 16, n=2)).sequences == 32
    assert place.actions == []


async def test_a_refused_list_is_told_as_one_refusal(place: Place) -> None:
    place.level = Level.STRIP
    with pytest.raises(InvalidRequest):
        await place.ask(COMPLETIONS, prompt=["Hello"] * 16)
    assert [seen.status for seen in place.told] == [400]
    assert place.actions == ["prompts"]


async def test_each_prompt_of_a_list_is_told_and_the_tokens_of_all_are_told_once(place: Place) -> None:
    await place.ask(COMPLETIONS, 50, prompt=[f"Question {i}" for i in range(16)])
    assert [seen.messages for seen in place.told] == [(("user", f"Question {i}"),) for i in range(16)]
    assert sum(seen.completion_tokens for seen in place.told) == 50


async def test_prompts_of_token_ids_are_text_once_they_are_looked_at_and_not_before(place: Place) -> None:
    await place.ask(COMPLETIONS, 5, prompt=[72, 111, 119, 63])
    await place.ask(COMPLETIONS, 5, prompt=[[72, 111], [119, 63]])
    assert place.decoded == []
    assert [read(seen).messages for seen in place.told] == [(("user", text),) for text in ("How?", "Ho", "w?")]
    assert place.decoded == [[72, 111, 119, 63], [72, 111], [119, 63]]


async def test_a_burst_of_edits_is_one_in_a_list_as_well(place: Place) -> None:
    text = "Please tell me in detail how one could get into a locked car without having its key at hand, step"
    for at in range(3):
        await place.ask(COMPLETIONS, 50, prompt=[f"{text} {WORDS[at]} {WORDS[i]}" for i in range(16)])
    detector = Detector()
    detector.take(*place.told[:24])
    detector.take(*place.told[24:])
    assert detector.records["k"].profile.burst >= 30


@pytest.mark.parametrize(
    "asked",
    [
        {"logprobs": True, "logit_bias": {"5": 100}},
        {"logprobs": True, **tools(CHAT, strict=True)},
        {"logprob_token_ids": [1, 2]},
        {"of_my_own_making": 1},
        {"top_logprobs": 20},
    ],
)
async def test_what_is_refused_at_the_door_is_seen_as_probing(place: Place, asked: dict[str, Any]) -> None:
    for _ in range(50):
        with pytest.raises(InvalidRequest):
            await place.ask(CHAT, **ASKED[CHAT], **asked)
    detector = Detector()
    for seen in place.told:
        detector.take(seen)
    assert detector.features("k").refused > 5


async def test_who_tries_ever_new_cuts_pays_for_them_and_an_application_pays_nothing(place: Place) -> None:
    for at in range(100):
        await place.ask(CHAT, **ASKED[CHAT], temperature=0.7 + at % 2, top_p=0.95, min_p=0.05)
    assert place.charged == Charge()
    for at in range(FREE_SETTINGS):
        await place.ask(CHAT, 1, **ASKED[CHAT], temperature=2, min_p=0.1 + at / 100)
    assert place.charged == Charge(0, 2)


@pytest.mark.parametrize("status", [429, 499, 500, 503])
async def test_what_came_too_soon_failed_or_was_given_up_is_no_probing(place: Place, status: int) -> None:
    watch = place.guarding.watch()
    watch.enter(CALLER)
    admitted = watch.admit(ROUTES[CHAT], {"model": "m", **ASKED[CHAT]}, SurfacePolicy())
    await watch.check(ROUTES[CHAT], admitted, SHAPE, 4096)
    watch.end(status)
    assert place.told == []


async def test_refusals_do_not_water_down_what_was_answered(place: Place) -> None:
    for i in range(20):
        await place.ask(
            CHAT, 50, messages=[{"role": "user", "content": f"Tell me about {'abcdefghijklmnopqrst'[i] * 4}"}]
        )
    detector = Detector()
    detector.take(*place.told)
    before = detector.features("k")
    for _ in range(60):
        with pytest.raises(InvalidRequest):
            await place.ask(CHAT, **ASKED[CHAT], bad_words=["x"])
    detector.take(*place.told[20:])
    assert detector.features("k").novelty == pytest.approx(before.novelty, rel=0.1)
    assert detector.features("k").verbose == before.verbose


@pytest.mark.parametrize("path", LOGPROBS)
@pytest.mark.parametrize("more", [{"strict": True}, {}])
async def test_logprobs_of_a_grammar_of_tools_are_refused(place: Place, path: str, more: dict[str, Any]) -> None:
    held = tools(path, **more) if more else tools(path) | {"parallel_tool_calls": False}
    with pytest.raises(LogprobsWithConstraint):
        await place.ask(path, **ASKED[path], **LOGPROBS[path], **held)
    assert (await place.ask(path, **ASKED[path], **LOGPROBS[path], **tools(path))).sequences == 1


@pytest.mark.parametrize("path", ASKED)
async def test_a_grammar_of_tools_is_charged_like_json_and_free_tools_are_not(place: Place, path: str) -> None:
    await place.ask(path, 50, **ASKED[path], **tools(path))
    await place.ask(path, 50, **ASKED[path], **tools(path, strict=False))
    assert place.charged == Charge()
    await place.ask(path, 50, **ASKED[path], **tools(path, strict=True))
    await soon(lambda: place.charged == Charge(0, 5), 5, "what was not used to come back")


async def test_anthropics_word_for_one_call_at_a_time_is_charged(place: Place) -> None:
    choice = {"type": "auto", "disable_parallel_tool_use": True}
    await place.ask(MESSAGES, 50, **ASKED[MESSAGES], **tools(MESSAGES), tool_choice=choice)
    await soon(lambda: place.charged == Charge(0, 5), 5, "what was not used to come back")
