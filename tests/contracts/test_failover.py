"""Real engines that are killed in mid-stream: what a stream gives is what it would have given, token by token.

The control is the same load twice without a failure. Where two runs differ at a token whose two best candidates lie within
NEAR_TIE of each other, a rounding tipped the scales: that happens under any change of batch, and is counted apart.
vLLM's statistics are on in engines and gateway: they see outputs of two engines for one request.
"""

import asyncio
import contextlib
import json
import os
import random
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
KINDS: dict[str, dict[str, Any]] = {
    "greedy": {"temperature": 0, "logprobs": 2},
    "several": {"temperature": 0.8, "n": 2, "seed": 11, "logprobs": 2},
    "json": {"temperature": 0, "structured_outputs": StructuredOutputsParams(json=ANSWER)},
    "stop": {"temperature": 0, "stop": ["er", "9, ", "is a"], "logprobs": 2},
    "penalties": {"temperature": 0, "frequency_penalty": 0.3, "presence_penalty": 0.2},
    "seeded": {"temperature": 0.8, "seed": 7},
    "unseeded": {"temperature": 0.8},
}
SHARES = {"greedy": 210, "several": 10, "json": 16, "stop": 16, "penalties": 16, "seeded": 16, "unseeded": 16}


@dataclass
class Told:
    """One stream as its client got it: per choice its tokens, text, the gap between the two best candidates, why it ended."""

    tokens: dict[int, list[int]] = field(default_factory=dict)
    text: dict[int, str] = field(default_factory=dict)
    gaps: dict[int, list[float]] = field(default_factory=dict)
    finish: dict[int, str | None] = field(default_factory=dict)
    cut: bool = False

    def same(self, other: "Told") -> bool:
        return (self.tokens, self.text, self.finish) == (other.tokens, other.text, other.finish)

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

    async def start(self, count: int) -> None:
        await asyncio.gather(*(self._one() for _ in range(count)))
        self.pool.roster.set_members([card for _, card in self.running.values()])
        await soon(lambda: sum(c.open for c in self.pool.roster.channels) == len(self.running), 10, "all engines up")

    async def _one(self) -> None:
        self.number += 1
        name = f"engine-{self.number}"
        env = {**os.environ, **environment.engine("cpu", EngineSettings()), "PYTHONPATH": str(ROOT)}
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(HOST), name, self.peer.keys.public.decode(), "--log-stats",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, env=env, cwd=ROOT, limit=1 << 20,
        )  # fmt: skip
        assert process.stdout is not None
        async with asyncio.timeout(120):
            while not (line := await process.stdout.readline()).startswith(b"CARD "):
                assert line, "the engine host ended"
        self.running[name] = process, wire.EngineCard.from_metadata(json.loads(line[5:]))

    async def kill(self, name: str) -> None:
        process, _ = self.running.pop(name)
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()

    async def close(self) -> None:
        for name in list(self.running):
            await self.kill(name)


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
    told = Told()
    async for output in llm.generate(prompt, sampling, name):
        for choice in output.outputs:
            told.tokens.setdefault(choice.index, []).extend(choice.token_ids)
            told.text[choice.index] = told.text.get(choice.index, "") + choice.text
            told.finish[choice.index] = choice.finish_reason
            for ranked in choice.logprobs or []:
                best = sorted((value.logprob for value in ranked.values()), reverse=True)[:2]
                told.gaps.setdefault(choice.index, []).append(best[0] - best[1])
    return told


async def load(llm: Any, run: str, work: list[tuple[str, str]]) -> list[Told]:
    return await asyncio.gather(
        *(one(llm, f"{run}-{number}", prompt, KINDS[kind]) for number, (kind, prompt) in enumerate(work))
    )


async def kill_in_mid_stream(engines: Engines, rng: random.Random) -> int:
    """SIGKILL of an engine once its streams have had some tokens; returns how many streams were in the middle then."""
    victim = rng.choice(sorted(engines.running))
    (channel,) = [c for c in engines.pool.roster.channels if c.card.engine_id == victim]
    at = rng.randint(2, TOKENS // 2)

    def on_it() -> list[Any]:
        return [flight for flight in engines.pool._flights.values() if flight.channel is channel]

    await soon(lambda: len(on_it()) > 80 and max(len(f.tokens) for f in on_it()) >= at, 60, "streams", every=0.001)
    await engines.kill(victim)
    await soon(lambda: not channel.up, 5, "the loss is noticed", every=0.001)
    return sum(bool(flight.tokens) for flight in engines.pool._flights.values() if flight.deaths)


async def test_streams_whose_engine_is_killed_give_what_they_would_have_given(service: tuple[Engines, Any]) -> None:
    engines, llm = service
    kinds = [kind for kind, share in SHARES.items() for _ in range(share)]
    rng = random.Random(5)
    rng.shuffle(kinds)
    texts = [f"<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n" for prompt in prompts(len(kinds), 3)]
    work = list(zip(kinds, texts, strict=True))
    before = await load(llm, "before", work)
    control = Comparison.of(work, before, await load(llm, "control", work))
    struck, disturbed = 0, Comparison()
    for turn in range(2):
        going = asyncio.create_task(load(llm, f"turn-{turn}", work))
        struck += await kill_in_mid_stream(engines, rng)
        after = await going
        disturbed += Comparison.of(work, before, after)
        free = [told for (kind, _), told in zip(work, after, strict=True) if kind == "unseeded"]
        assert {len(tokens) for told in free for tokens in told.tokens.values()} == {TOKENS}, "none lost, none repeated"
        await engines.start(1)
    assert struck >= 200
    assert not control.altered + disturbed.altered
    assert disturbed.flipped <= 2 * control.flipped + 2, "over two runs; two of some six hundred are chance"
    assert disturbed.same > 500
    assert engines.pool.in_flight == 0
    assert not engines.pool.failover.ended


async def test_a_request_that_kills_its_core_takes_two_engines_and_no_third(service: tuple[Engines, Any]) -> None:
    """The core aborts in the step that begins the request. What ran beside it in the second goes on with another."""
    engines, llm = service
    prompt = "<|im_start|>user\nCount to 100.<|im_end|>\n<|im_start|>assistant\n"
    assert len(engines.running) == 2
    pool, victims = engines.pool, engines.pool.roster.channels
    innocent = asyncio.create_task(one(llm, "innocent", prompt, {"temperature": 0}, 1000))
    await soon(lambda: any(flight.tokens for flight in pool._flights.values()), 20, "a token", every=0.001)
    deadly = asyncio.create_task(one(llm, "deadly", prompt, {"extra_args": {DEADLY: True}}))
    await soon(lambda: not any(channel.up for channel in victims), 20, "two deaths")
    assert (await asyncio.wait_for(deadly, 5)).finish == {0: "error"}
    assert pool.failover.ended == {"EnginePoisoned": 1}
    assert not innocent.done()
    for name in list(engines.running):
        await engines.kill(name)
    await engines.start(1)
    told = await asyncio.wait_for(innocent, 30)
    assert (len(told.tokens[0]), told.finish) == (1000, {0: "length"})
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
