"""Real engines that are killed or told to end in mid-stream: what a stream gives is what it would have given, token by token.

The control is the same load twice without a failure. Where two runs differ at a token whose two best candidates lie within
NEAR_TIE of each other, a rounding tipped the scales: that happens under any change of batch, and is counted apart.
vLLM's statistics are on in engines and gateway: they see outputs of two engines for one request.
"""

import asyncio
import contextlib
import json
import os
import random
import re
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import psutil
import pytest
import pytest_asyncio

pytest.importorskip("vllm")

from vllm.sampling_params import RequestOutputKind, SamplingParams, StructuredOutputsParams

from deployments import environment
from deployments.demo_model import INT8
from gateway.config.models import EngineSettings
from gateway.pool import vllm_seam, wire
from gateway.pool.acceptance import FrontSpec
from gateway.pool.curve import Peer
from gateway.pool.engine_pool import EnginePool
from gateway.pool.failover import PROVEN
from gateway.pool.flight import Flight
from loadtests.prompts import prompts
from tests.gateway.pool.choosers import InTurn
from tests.gateway.pool.deadly import DEADLY
from tests.waiting import soon

ROOT = Path(__file__).resolve().parents[2]
HOST = ROOT / "tests" / "gateway" / "pool" / "engine_host.py"
NEAR_TIE = 0.1
"""Difference of log probabilities; bf16 keeps eight bits, so a logit of 20 is known to 0.06."""
TOKENS = 64
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

ANSWER = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
CALLS = {
    "type": "array",
    "minItems": 1,
    "maxItems": 1,
    "items": {
        "type": "object",
        "properties": {"name": {"enum": ["add"]}, "parameters": ANSWER},
        "required": ["name", "parameters"],
        "additionalProperties": False,
    },
}
"""As vLLM asks for them where a tool must be called."""
KINDS: dict[str, dict[str, Any]] = {
    "greedy": {"temperature": 0, "logprobs": 2},
    "several": {"temperature": 0.8, "n": 2, "seed": 11, "logprobs": 2},
    "json": {"temperature": 0, "structured_outputs": StructuredOutputsParams(json=ANSWER)},
    "tools": {"temperature": 0, "structured_outputs": StructuredOutputsParams(json=CALLS)},
    "stop": {"temperature": 0, "stop": ["er", "9, ", "is a"], "logprobs": 2},
    "penalties": {"temperature": 0, "frequency_penalty": 0.3, "presence_penalty": 0.2},
    "seeded": {"temperature": 0.8, "seed": 7},
    "unseeded": {"temperature": 0.8},
}
SHARES = {
    "greedy": 230,
    "several": 8,
    "json": 10,
    "tools": 10,
    "stop": 12,
    "penalties": 12,
    "seeded": 12,
    "unseeded": 12,
}
STRUCK = 100
"""Greedy streams in the middle when their engine is killed, each turn. Some may end before the loss is noticed: then they do not
count, and a turn more makes up for them.
"""
ENOUGH, MOST_TURNS, FEWEST = 200, 4, 4
"""`FEWEST`: of each other kind, in all turns."""
SPREAD_S = 1.5
"""Streams begin over so long at most, so that each is at another token then."""


@dataclass
class Told:
    """One stream as its client got it: per choice its tokens, text, the gap between the two best candidates, why it ended."""

    tokens: dict[int, list[int]] = field(default_factory=dict)
    text: dict[int, str] = field(default_factory=dict)
    logprobs: dict[int, list[float]] = field(default_factory=dict)
    gaps: dict[int, list[float]] = field(default_factory=dict)
    finish: dict[int, str | None] = field(default_factory=dict)
    seconds: float = 0.0
    cut: bool = False

    def same(self, other: "Told") -> bool:
        told = (self.tokens, self.text, self.finish) == (other.tokens, other.text, other.finish)
        return told and self.furthest(other) <= NEAR_TIE

    def furthest(self, other: "Told") -> float:
        """The greatest difference between log probabilities of the same tokens."""
        return max(
            (
                abs(mine - theirs)
                for index, values in self.logprobs.items()
                for mine, theirs in zip(values, other.logprobs.get(index, []), strict=False)
            ),
            default=0.0,
        )

    def first_difference_is_a_near_tie(self, other: "Told") -> bool:
        for index, tokens in self.tokens.items():
            theirs = other.tokens.get(index, [])
            if tokens != theirs:
                place = next((i for i, pair in enumerate(zip(tokens, theirs, strict=False)) if pair[0] != pair[1]), -1)
                gaps = self.gaps.get(index, [])
                return 0 <= place < len(gaps) and gaps[place] <= NEAR_TIE
        return False


class Engines:
    """Engine processes by name, and the pool that uses them."""

    def __init__(self, peer: Peer, pool: EnginePool) -> None:
        self.peer, self.pool = peer, pool
        self.running: dict[str, tuple[asyncio.subprocess.Process, wire.EngineCard]] = {}
        self.number = 0
        self._started: list[asyncio.subprocess.Process] = []
        self._watches: list[asyncio.Task[None]] = []

    async def start(self, count: int) -> None:
        await asyncio.gather(*(self._one() for _ in range(count)))
        self.pool.roster.set_members([card for _, card in self.running.values()])
        await soon(lambda: sum(c.open for c in self.pool.roster.channels) == len(self.running), 10, "all engines up")

    async def _one(self) -> None:
        self.number += 1
        name = f"engine-{self.number}"
        env = {**os.environ, **environment.engine("cpu", EngineSettings()), "PYTHONPATH": str(ROOT)}
        errors = tempfile.TemporaryFile()  # noqa: SIM115  closed when the engine has ended
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(HOST), name, self.peer.keys.public.decode(), "--log-stats",
            stdout=asyncio.subprocess.PIPE, stderr=errors, env=env, cwd=ROOT, limit=1 << 20,
        )  # fmt: skip
        self._started.append(process)
        self._watches.append(asyncio.create_task(self._tell_of_its_end(name, process, errors)))
        assert process.stdout is not None
        async with asyncio.timeout(120):
            while not (line := await process.stdout.readline()).startswith(b"CARD "):
                assert line, "the engine host ended"
        self.running[name] = process, wire.EngineCard.from_metadata(json.loads(line[5:]))

    async def _tell_of_its_end(self, name: str, process: asyncio.subprocess.Process, errors: BinaryIO) -> None:
        """What an engine that nobody killed said last; pytest shows it if the test fails."""
        with errors:
            await process.wait()
            if name in self.running or process.returncode != -signal.SIGKILL:
                errors.seek(max(0, errors.seek(0, os.SEEK_END) - 6000))
                sys.stderr.write(f"{name} ended ({process.returncode}):\n{errors.read().decode(errors='replace')}\n")

    async def kill(self, name: str) -> None:
        process, _ = self.running.pop(name)
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()

    async def end_core(self, name: str) -> None:
        """SIGTERM to its core, as a reboot or a plain `kill` sends it; returns when the engine has left."""
        process, _ = self.running.pop(name)
        (core,) = [p for p in psutil.Process(process.pid).children() if "EngineCore" in " ".join(p.cmdline())]
        core.terminate()
        await process.wait()

    async def close(self) -> None:
        """Those too that a test that failed was still starting."""
        for name in list(self.running):
            await self.kill(name)
        for process in self._started:
            if process.returncode is None:
                process.kill()
        await asyncio.gather(*self._watches)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service() -> AsyncIterator[tuple[Engines, Any]]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.engine("cpu", EngineSettings()).items():
            patch.setenv(name, value)
        peer = Peer()
        pool = EnginePool(peer, vllm_seam.GatewayCodec(), InTurn(), lambda _card: None, wait_s=5)
        engines = Engines(peer, pool)
        await engines.start(2)
        flags = [flag for flag in FrontSpec("demo", str(INT8)).flags(2048) if flag != "--disable-log-stats"]
        front = await vllm_seam.open_front_end(pool, flags)
        yield engines, front.llm
        front.close()
        await pool.close()
        await engines.close()
        peer.close()


async def one(llm: Any, name: str, prompt: str, params: dict[str, Any], tokens: int = TOKENS) -> Told:
    sampling = SamplingParams(
        max_tokens=tokens, output_kind=RequestOutputKind.DELTA, ignore_eos="structured_outputs" not in params, **params
    )
    told, begun = Told(), time.perf_counter()
    async for output in llm.generate(prompt, sampling, name):
        for choice in output.outputs:
            told.tokens.setdefault(choice.index, []).extend(choice.token_ids)
            told.text[choice.index] = told.text.get(choice.index, "") + choice.text
            told.finish[choice.index] = choice.finish_reason
            for token, ranked in zip(choice.token_ids, choice.logprobs or [], strict=False):
                told.logprobs.setdefault(choice.index, []).append(ranked[token].logprob)
                best = sorted((value.logprob for value in ranked.values()), reverse=True)[:2]
                told.gaps.setdefault(choice.index, []).append(best[0] - best[1])
    told.seconds = time.perf_counter() - begun
    return told


async def load(llm: Any, run: str, work: list[tuple[str, str]], spread_s: float = SPREAD_S) -> list[Told]:
    async def later(number: int, kind: str, prompt: str) -> Told:
        await asyncio.sleep(spread_s * number / len(work))
        return await one(llm, f"{run}-{number}", prompt, KINDS[kind])

    return await asyncio.gather(*(later(number, kind, prompt) for number, (kind, prompt) in enumerate(work)))


def kind_of(flight: Flight, kinds: list[str]) -> str:
    """By the number that `load` has given it."""
    number = re.search(r"turn-\d+-(\d+)", flight.request_id)
    assert number
    return kinds[int(number[1])]


async def strike_in_mid_stream(
    engines: Engines,
    strike: Callable[[str], Awaitable[None]],
    rng: random.Random,
    going: asyncio.Task[list[Told]],
    kinds: list[str],
) -> list[tuple[str, int]]:
    """Ends an engine once its streams have had some tokens; returns of each stream that was in the middle its kind and how
    many it had had; too few if `going` ends before so many were in the middle at once.
    """
    victim = rng.choice(sorted(engines.running))
    (channel,) = [c for c in engines.pool.roster.channels if c.card.engine_id == victim]
    at = rng.randint(2, TOKENS // 2)

    def on_it() -> list[Flight]:
        return [flight for flight in engines.pool._flights.values() if flight.channel is channel and flight.tokens]

    def in_the_middle() -> bool:
        flights = [flight for flight in on_it() if kind_of(flight, kinds) == "greedy"]
        return len(flights) >= STRUCK and max(len(flight.tokens) for flight in flights) >= at

    await soon(lambda: going.done() or in_the_middle(), 60, "streams", every=0.001)
    before = on_it()
    await strike(victim)
    await soon(lambda: not channel.up, 5, "the loss is noticed", every=0.001)
    going_on = list(engines.pool._flights.values())
    return [(kind_of(flight, kinds), len(flight.tokens)) for flight in before if any(flight is one for one in going_on)]


async def test_streams_whose_engine_ends_give_what_they_would_have_given(service: tuple[Engines, Any]) -> None:
    engines, llm = service
    kinds = [kind for kind, share in SHARES.items() for _ in range(share)]
    rng = random.Random(5)
    rng.shuffle(kinds)
    texts = [f"<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n" for prompt in prompts(len(kinds), 3)]
    work = list(zip(kinds, texts, strict=True))
    before = await load(llm, "before", work)
    # On a fast machine a stream is over before the last one begins, unless they begin closer together.
    spread_s = min(SPREAD_S, statistics.median(told.seconds for told in before) / 2)
    control = Comparison.of(work, before, await load(llm, "control", work, spread_s))
    struck: dict[str, list[int]] = {kind: [] for kind in KINDS}
    disturbed, turns = Comparison(), 0
    while len(struck["greedy"]) < ENOUGH and turns < MOST_TURNS:
        going = asyncio.create_task(load(llm, f"turn-{turns}", work, spread_s))
        strike = engines.end_core if turns % 2 else engines.kill
        turns += 1
        for kind, had in await strike_in_mid_stream(engines, strike, rng, going, kinds):
            struck[kind].append(had)
        another = asyncio.create_task(engines.start(1))
        after = await going
        disturbed += Comparison.of(work, before, after)
        free = [told for (kind, _), told in zip(work, after, strict=True) if kind == "unseeded"]
        assert {len(tokens) for told in free for tokens in told.tokens.values()} == {TOKENS}, "none lost, none repeated"
        await another
    assert turns > 1, "both strikes"
    assert len(struck["greedy"]) >= ENOUGH
    assert len(set(struck["greedy"])) >= 12, "at many different tokens"
    assert min(map(len, struck.values())) >= FEWEST, struck
    assert not control.altered + disturbed.altered
    assert disturbed.flipped <= turns * (control.flipped + 1), "one of some three hundred in each run is chance"
    assert disturbed.same > 250 * turns
    assert engines.pool.in_flight == 0
    assert not engines.pool.failover.ended


async def test_a_request_that_kills_its_core_takes_two_engines_and_nobody_along(service: tuple[Engines, Any]) -> None:
    """The core aborts in the step that begins the request. What ran beside it in both goes on with a third."""
    engines, llm = service
    prompt = "<|im_start|>user\nCount to 100.<|im_end|>\n<|im_start|>assistant\n"
    params, tokens = {"temperature": 0, "logprobs": 2}, 400
    assert len(engines.running) == 2
    expected = await one(llm, "undisturbed", prompt, params, tokens)
    pool, victims = engines.pool, engines.pool.roster.channels
    innocent = asyncio.create_task(one(llm, "innocent", prompt, params, tokens))
    await soon(lambda: any(flight.gained >= PROVEN for flight in pool._flights.values()), 20, "tokens", every=0.001)
    (flight,) = pool._flights.values()
    await one(llm, "whose turn it is at the other engine", prompt, params, 1)
    deadly = asyncio.create_task(one(llm, "deadly", prompt, {"extra_args": {DEADLY: True}}))
    await soon(lambda: not any(channel.up for channel in victims), 20, "two deaths")
    assert (await asyncio.wait_for(deadly, 5)).finish == {0: "error"}
    assert pool.failover.ended == {"EnginePoisoned": 1}
    assert flight.deaths == 2
    assert not innocent.done()
    for name in list(engines.running):
        await engines.kill(name)
    await engines.start(1)
    told = await asyncio.wait_for(innocent, 30)
    assert told.same(expected) or told.first_difference_is_a_near_tie(expected)
    assert (len(told.tokens[0]), told.finish) == (tokens, {0: "length"})
    assert [channel.up for channel in pool.roster.channels] == [True]
    assert pool.in_flight == 0


@dataclass
class Comparison:
    """Streams that are the same, that flipped at a near tie, and that were altered. Unseeded ones are not compared."""

    same: int = 0
    flipped: int = 0
    altered: list[tuple[str, Told, Told]] = field(default_factory=list)

    @classmethod
    def of(cls, work: list[tuple[str, str]], expected: list[Told], got: list[Told]) -> "Comparison":
        found = cls()
        for (kind, _), mine, theirs in zip(work, expected, got, strict=True):
            if kind == "unseeded":
                continue
            if mine.same(theirs):
                found.same += 1
            elif mine.first_difference_is_a_near_tie(theirs):
                found.flipped += 1
            else:
                found.altered.append((kind, mine, theirs))
        return found

    def __add__(self, other: "Comparison") -> "Comparison":
        return Comparison(self.same + other.same, self.flipped + other.flipped, self.altered + other.altered)
