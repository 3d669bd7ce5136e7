"""Continuous batching at work: tokens/s by max_num_seqs, and a short request that overtakes a long one."""

import asyncio
from pathlib import Path

import uvloop

from loadtests.bench.plan import HEADLINE, MAX_TOKENS
from loadtests.bench.results import Batching
from loadtests.chat import read_chat, request_body
from loadtests.client import Connection, Exchange, post
from loadtests.drive import drive
from loadtests.load import Job
from loadtests.prompts import prompts
from loadtests.servers import HOST, Server, start_sluice

LONG, SHORT = 600, 16
"""Tokens of the two racing requests."""
LATE_S = 0.1


def batching(base: Path, folder: Path, max_num_seqs: int, seed: int) -> Batching:
    """Starts a Sluice with this limit and no reserve, which would be sequences on top of it, and stops it again."""
    server = start_sluice(base, folder, haproxy=False, engine={"max_num_seqs": max_num_seqs}, reserve=0.0)
    try:
        port, model, key = server.ports["own"], server.model, server.key
        drive(Job(HOST, port, model, prompts(8, seed), 1, MAX_TOKENS, key), lambda: None)
        texts = prompts(HEADLINE, seed + 1)
        load, _, _ = drive(Job(HOST, port, model, texts, HEADLINE, MAX_TOKENS, key), lambda: None)
        long, short = uvloop.run(_race(server))
    finally:
        server.stop()
    begun = long.sent
    return Batching(
        max_num_seqs=max_num_seqs,
        tokens_per_s=load.tokens_per_s,
        long_ended_ms=(long.ended - begun) * 1e3,
        short_sent_ms=(short.sent - begun) * 1e3,
        short_ended_ms=(short.ended - begun) * 1e3,
    )


async def _race(server: Server) -> tuple[Exchange, Exchange]:
    """A long request, and a moment later a short one."""
    long = asyncio.create_task(_ask(server, LONG))
    await asyncio.sleep(LATE_S)
    return await asyncio.gather(long, _ask(server, SHORT))


async def _ask(server: Server, tokens: int) -> Exchange:
    port = server.ports["own"]
    body = request_body(server.model, f"Count to {tokens}, please.", tokens)
    connection = await Connection.to(HOST, port)
    exchange = await connection.ask(post(f"{HOST}:{port}", "/v1/chat/completions", body, server.key), 120)
    connection.close()
    if problem := read_chat(exchange, tokens).problem:
        raise RuntimeError(f"the racing request of {tokens} tokens: {problem}")
    return exchange
