"""R14: a race against a token budget: several processes, many streams, several answers each, half of them cut off half way."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from random import Random
from typing import Any, Self

import msgspec

from loadtests.client import Connection, post
from loadtests.redteam.attack import Finding, Scene
from loadtests.redteam.target import CHAT, HOST, PATIENCE_S

BUDGET = 20_000
"""Tokens of a key, prompt and completion, as the configuration of the run has it."""
PROCESSES, STREAMS, ROUNDS = 4, 16, 6
MAX_TOKENS, ANSWERS = 64, 2
CUT_AFTER = 10
JUNK = (b"{", b"[]", b'{"model": 1e999}', b'{"messages": [{"role": "user", "content": NaN}]}', b"\xff\xfe{}")


@dataclass(slots=True)
class Tally:
    """What came of it. `tokens` of answers; `prompt`: tokens of the shortest prompt, as an ended stream told; `refusals` by status
    and code, with whatever else ended a stream before it began.
    """

    tokens: int = 0
    begun: int = 0
    junk: int = 0
    prompt: int = 0
    refusals: Counter[str] = field(default_factory=Counter)

    def __iadd__(self, other: Self) -> Self:
        self.tokens += other.tokens
        self.begun += other.begun
        self.junk += other.junk
        self.prompt = min(self.prompt, other.prompt) if self.prompt and other.prompt else self.prompt or other.prompt
        self.refusals += other.refusals
        return self

    @property
    def taken(self) -> int:
        """Tokens, prompts included: never too many."""
        return self.tokens + self.begun * self.prompt


async def overrun(scene: Scene) -> Finding:
    """Success: more tokens out of one key than its budget, prompts included. What was sent before a stream was cut counts."""
    target, books = scene.target, scene.target.books
    tally = await race([target.port], target.model, target.keys[0], scene.seed, PROCESSES, STREAMS, ROUNDS)
    refused = tally.refusals.total()
    books.requests, books.answered = tally.begun + refused + tally.junk, tally.begun
    books.prompt_tokens, books.completion_tokens = tally.begun * tally.prompt, tally.tokens
    for code, count in tally.refusals.items():
        books.refusals[code] = count
        books.decisive.add(code)
    if refused:
        books.stopped = f"{refused} of {tally.begun + refused} streams refused"
    return Finding(
        tally.taken > BUDGET,
        f"{tally.taken} tokens out of a budget of {BUDGET}; {tally.begun} streams, {refused} refused",
        {"tokens": tally.taken, "budget": BUDGET, "streams": tally.begun, "refused": refused},
    )


async def race(
    ports: Sequence[int], model: str, key: str, seed: int, processes: int, streams: int, rounds: int
) -> Tally:
    """Each process has its turn at the next port, and sends `rounds` requests down each of its `streams`."""
    loop, tally = asyncio.get_running_loop(), Tally()
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        runs = [(ports[n % len(ports)], model, key, seed + n, streams, rounds) for n in range(processes)]
        for part in await asyncio.gather(*(loop.run_in_executor(pool, _attacker, *run) for run in runs)):
            tally += part
    return tally


def _attacker(port: int, model: str, key: str, seed: int, streams: int, rounds: int) -> Tally:
    return asyncio.run(_streams(port, model, key, seed, streams, rounds))


async def _streams(port: int, model: str, key: str, seed: int, streams: int, rounds: int) -> Tally:
    tally = Tally()
    rngs = [Random(seed * 1000 + n) for n in range(streams)]
    for part in await asyncio.gather(*(_stream_after_stream(port, model, key, rng, rounds) for rng in rngs)):
        tally += part
    return tally


async def _stream_after_stream(port: int, model: str, key: str, rng: Random, rounds: int) -> Tally:
    tally = Tally()
    for turn in range(rounds):
        if turn % 3 == 2:
            tally += await _send_junk(port, key, rng)
        body = {
            "model": model,
            "messages": [{"role": "user", "content": f"Count from {rng.randrange(10, 99)} to 900."}],
            "max_tokens": MAX_TOKENS,
            "n": ANSWERS,
            "stream": True,
            "stream_options": {"include_usage": True},
            "ignore_eos": True,
            "temperature": 1.0,
        }
        try:
            tally += await _stream(port, key, body, cut=rng.random() < 0.5)
        except (OSError, EOFError, TimeoutError) as exc:
            tally += Tally(refusals=Counter([f"lost: {type(exc).__name__}"]))
    return tally


async def _stream(port: int, key: str, body: dict[str, Any], *, cut: bool) -> Tally:
    """Tokens that came, counted by their events. A cut one is left as soon as some have come."""
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        writer.write(post(HOST, CHAT, body, key))
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
        if b" 200 " not in head.split(b"\r\n", 1)[0]:
            return Tally(refusals=Counter([await _refusal(head, reader)]))
        tally = Tally(begun=1)
        while line := await asyncio.wait_for(reader.readline(), PATIENCE_S):
            if line.startswith(b"data: {"):
                event = msgspec.json.decode(line[6:])
                tally.tokens += _tokens(event)
                tally.prompt = tally.prompt or (event.get("usage") or {}).get("prompt_tokens", 0)
            if line.startswith(b"data: [DONE]") or (cut and tally.tokens >= CUT_AFTER):
                break
        return tally
    finally:
        writer.close()


async def _refusal(head: bytes, reader: asyncio.StreamReader) -> str:
    """Status and code."""
    lines = head.decode("latin-1").lower().split("\r\n")
    length = next((int(line.partition(":")[2]) for line in lines if line.startswith("content-length:")), 0)
    body = await asyncio.wait_for(reader.readexactly(length), PATIENCE_S)
    status = lines[0].split(" ")[1]
    try:
        return f"{status} {msgspec.json.decode(body)['error']['code']}"
    except (msgspec.DecodeError, KeyError, TypeError):
        return status


def _tokens(event: dict[str, Any]) -> int:
    """One for each choice with text: a server that joins tokens into one event is counted too low, never too high."""
    return sum(bool(choice["delta"].get("content")) for choice in event.get("choices", ()))


async def _send_junk(port: int, key: str, rng: Random) -> Tally:
    """What a server does with it other than to refuse it counts as a refusal of its own kind."""
    connection = await Connection.to(HOST, port)
    content = rng.choice(JUNK)
    head = f"POST {CHAT} HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {key}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    exchange = await connection.ask(head.encode() + content, PATIENCE_S)
    connection.close()
    told = 400 <= exchange.status < 500
    return Tally(junk=1, refusals=Counter() if told else Counter([f"junk: {exchange.status or exchange.error}"]))
