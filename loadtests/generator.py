"""The load generator, a process of its own: reads a Job, connects, says `ready`, runs on `go`, says `over`, writes a Load."""

import asyncio
import gc
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import uvloop

from loadtests.chat import read_chat, request_body
from loadtests.client import Connection, Exchange, post
from loadtests.load import Job, Load

CHAT = "/v1/chat/completions"


async def _worker(
    job: Job, connection: Connection, turns: Iterator[int], out: list[Exchange | None], payloads: list[bytes]
) -> None:
    for turn in turns:
        if not connection.open:
            connection = await Connection.to(job.host, job.port)
        out[turn] = await connection.ask(payloads[turn], job.timeout_s)


async def run(job: Job) -> Load:
    """Everything that need not happen under load happens before or after it."""
    payloads = [
        post(f"{job.host}:{job.port}", CHAT, request_body(job.model, prompt, job.max_tokens), job.key)
        for prompt in job.prompts
    ]
    exchanges: list[Exchange | None] = [None] * len(payloads)
    connections = [await Connection.to(job.host, job.port) for _ in range(job.streams)]
    turns = iter(range(len(payloads)))
    await _go()
    gc.collect()
    gc.disable()
    cpu, begun = time.process_time(), time.perf_counter()
    await asyncio.gather(*(_worker(job, connection, turns, exchanges, payloads) for connection in connections))
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    print("over", flush=True)
    for connection in connections:
        connection.close()
    return _summary(job, [exchange for exchange in exchanges if exchange is not None], seconds, cpu)


def _summary(job: Job, exchanges: list[Exchange], seconds: float, cpu_s: float) -> Load:
    streams = [read_chat(exchange, job.max_tokens) for exchange in exchanges]
    good = [stream for stream in streams if not stream.problem]
    return Load(
        seconds=seconds,
        cpu_s=cpu_s,
        completed=len(good),
        tokens=sum(stream.tokens for stream in streams),
        token_events=sum(stream.token_events for stream in streams),
        ttft_s=[stream.ttft_s for stream in good],
        gaps_s=[gap for stream in good for gap in stream.gaps_s],
        texts=[stream.text for stream in streams],
        problems=[stream.problem for stream in streams if stream.problem],
    )


async def _go() -> None:
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.buffer.readline)


def main() -> None:
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=Job)
    load = uvloop.run(run(job))
    Path(sys.argv[1]).write_bytes(msgspec.json.encode(load))


if __name__ == "__main__":
    main()
