"""So many streams at once for so long: each connection asks again as soon as its stream has ended."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field

from loadtests.chat import read_chat, request_body
from loadtests.client import Connection, post
from loadtests.generator import CHAT
from loadtests.prompts import prompts

STAGGER_S = 0.01
TIMEOUT_S = 300.0


@dataclass
class Held:
    """`problems` counts what went wrong by its words; `open` is how many streams are in flight now. Latencies in seconds."""

    completed: int = 0
    tokens: int = 0
    open: int = 0
    ttft_s: list[float] = field(default_factory=list)
    mean_gaps_s: list[float] = field(default_factory=list)
    problems: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Door:
    """Where streams are asked for, and as whom."""

    host: str
    port: int
    model: str
    key: str

    def payload(self, prompt: str, max_tokens: int) -> bytes:
        return post(f"{self.host}:{self.port}", CHAT, request_body(self.model, prompt, max_tokens), self.key)


async def hold(door: Door, streams: int, seconds: float, max_tokens: int, seed: int, held: Held) -> None:
    """Fills `held` while it runs. Connections start STAGGER_S apart; each asks once at least, and not again after `seconds`."""
    until = time.perf_counter() + seconds
    async with asyncio.TaskGroup() as group:
        for number in range(streams):
            group.create_task(_again_and_again(door, until, max_tokens, seed * 100_000 + number, held))
            await asyncio.sleep(STAGGER_S)


async def _again_and_again(door: Door, until: float, max_tokens: int, seed: int, held: Held) -> None:
    connection = await Connection.to(door.host, door.port)
    turn = 0
    while turn == 0 or time.perf_counter() < until:
        turn += 1
        (prompt,) = prompts(1, seed * 1000 + turn)
        if not connection.open:
            connection = await Connection.to(door.host, door.port)
        held.open += 1
        exchange = await connection.ask(door.payload(prompt, max_tokens), TIMEOUT_S)
        held.open -= 1
        stream = read_chat(exchange, max_tokens)
        held.tokens += stream.tokens
        if stream.problem:
            held.problems[stream.problem] += 1
            await asyncio.sleep(1)
        else:
            held.completed += 1
            held.ttft_s.append(stream.ttft_s)
            held.mean_gaps_s.append(stream.mean_gap_s)
    connection.close()
