"""R14: a race against a token budget: several processes, many streams, several answers each, half of them cut off half way."""

import asyncio
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from random import Random
from typing import Any

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


async def overrun(scene: Scene) -> Finding:
    """Success: more completion tokens out of one key than its budget. What was sent before a stream was cut counts."""
    arguments = [
        (scene.target.port, scene.target.model, scene.target.keys[0], scene.seed + n) for n in range(PROCESSES)
    ]
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        told = await asyncio.gather(*(loop.run_in_executor(pool, _attacker, *one) for one in arguments))
    tokens, streams, refused, junk = (sum(part) for part in zip(*told, strict=True))
    books = scene.target.books
    books.requests, books.answered, books.completion_tokens = streams + refused + junk, streams, tokens
    if refused:
        books.stopped = f"{refused} of {streams + refused} streams refused"
    return Finding(
        tokens > BUDGET,
        f"{tokens} completion tokens out of a budget of {BUDGET}; {streams} streams, {refused} refused",
        {"tokens": tokens, "budget": BUDGET, "streams": streams, "refused": refused},
    )


def _attacker(port: int, model: str, key: str, seed: int) -> tuple[int, int, int, int]:
    return asyncio.run(_streams(port, model, key, seed))


async def _streams(port: int, model: str, key: str, seed: int) -> tuple[int, int, int, int]:
    """(tokens, streams begun, refused, junk sent) of one process."""
    parts = await asyncio.gather(
        *(_stream_after_stream(port, model, key, Random(seed * 1000 + n)) for n in range(STREAMS))
    )
    tokens, begun, refused, junk = (sum(part) for part in zip(*parts, strict=True))
    return tokens, begun, refused, junk


async def _stream_after_stream(port: int, model: str, key: str, rng: Random) -> tuple[int, int, int, int]:
    tokens = begun = refused = junk = 0
    for turn in range(ROUNDS):
        if turn % 3 == 2:
            await _send_junk(port, key, rng)
            junk += 1
        body = {
            "model": model,
            "messages": [{"role": "user", "content": f"Count from {rng.randrange(99)} to 900."}],
            "max_tokens": MAX_TOKENS,
            "n": ANSWERS,
            "stream": True,
            "ignore_eos": True,
            "temperature": 1.0,
        }
        got = await _stream(port, key, body, cut=rng.random() < 0.5)
        if got is None:
            refused += 1
        else:
            begun += 1
            tokens += got
    return tokens, begun, refused, junk


async def _stream(port: int, key: str, body: dict[str, Any], *, cut: bool) -> int | None:
    """Tokens that came, counted by their events; None if it was refused. A cut one is left as soon as some have come."""
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        writer.write(post(HOST, CHAT, body, key))
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
        if b" 200 " not in head.split(b"\r\n", 1)[0]:
            return None
        tokens = 0
        while line := await asyncio.wait_for(reader.readline(), PATIENCE_S):
            if line.startswith(b"data: {"):
                tokens += _tokens(line[6:])
            if line.startswith(b"data: [DONE]") or (cut and tokens >= CUT_AFTER):
                break
        return tokens
    finally:
        writer.close()


def _tokens(event: bytes) -> int:
    """One for each choice with text: a server that joins tokens into one event is counted too low, never too high."""
    return sum(bool(choice["delta"].get("content")) for choice in msgspec.json.decode(event).get("choices", ()))


async def _send_junk(port: int, key: str, rng: Random) -> None:
    connection = await Connection.to(HOST, port)
    content = rng.choice(JUNK)
    head = f"POST {CHAT} HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {key}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    await connection.ask(head.encode() + content, PATIENCE_S)
    connection.close()
