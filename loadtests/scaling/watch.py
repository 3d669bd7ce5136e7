"""What a running Sluice shows of one model, once a second; and requests sent to it at given times."""

import asyncio
import contextlib
import re
import time
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import msgspec

from loadtests.simulation.scaling.arrivals import Arrival

LONGEST_S = 300.0
EVERY_S = 1.0
WAITED = re.compile(r"queue;dur=([\d.]+)")


class Look(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """At `at` seconds: replicas asked for, engines that take work, requests that wait at the gateway and those in progress."""

    at: float
    target: int
    engines: int
    waiting: int
    in_flight: int


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`sent` at that second; it waited `wait_s` at the gateway by its word, heard `comments` meanwhile, and had its first token
    after `ttft_s`. `problem` is empty for a complete stream.
    """

    sent: float
    wait_s: float
    comments: int
    ttft_s: float
    seconds: float
    problem: str


class Watch:
    """Looks at `management` until stopped; `on_engines` gets the replicas' process ids each time. `begin` sets the clock to 0."""

    def __init__(self, management: str, model: str, on_engines: Callable[[list[int]], None]) -> None:
        self._management, self._model, self._on_engines = management, model, on_engines
        self._begun = time.monotonic()
        self.looks: list[Look] = []
        self.known = 0
        self.record: dict[str, Any] = {}

    def begin(self) -> None:
        self.looks, self._begun = [], time.monotonic()

    async def run(self) -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
            while True:
                with contextlib.suppress(httpx.HTTPError):
                    self._take((await client.get(f"{self._management}/status")).json())
                await asyncio.sleep(EVERY_S)

    def _take(self, status: dict[str, Any]) -> None:
        model = next(one for one in status["models"] if one["name"] == self._model)
        self.record = status["autoscaling"].get(self._model, self.record)
        up = [engine for engine in model["engines"] if engine["state"] == "up"]
        self.known = len(model["engines"])
        self._on_engines([engine["pid"] for engine in model["engines"]])
        self.looks.append(
            Look(
                at=round(time.monotonic() - self._begun, 2),
                target=int(self.record.get("target", 0)),
                engines=len(up),
                waiting=model["admission"]["waiting"],
                in_flight=status["requests_in_flight"],
            )
        )

    async def until(self, engines: int, within_s: float) -> float:
        """Seconds until so many engines take work; no engine: also none that still drains. Raises TimeoutError that says what did
        not come.
        """
        begun = time.monotonic()
        while not self.looks or self.looks[-1].engines != engines or (not engines and self.known):
            if time.monotonic() - begun > within_s:
                raise TimeoutError(f"no {engines} engines within {within_s:.0f} s: {self.looks[-1:]}, {self.record}")
            await asyncio.sleep(0.2)
        return time.monotonic() - begun


async def send(url: str, key: str, model: str, arrivals: Sequence[Arrival]) -> list[Answer]:
    """One stream for each arrival, at its time, whatever became of those before; in order of arrival."""
    limits = httpx.Limits(max_connections=None)
    headers = {"authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(trust_env=False, timeout=LONGEST_S, limits=limits, headers=headers) as client:
        begun = time.monotonic()

        async def one(number: int, arrival: Arrival) -> Answer:
            await asyncio.sleep(max(0.0, begun + arrival.at - time.monotonic()))
            return await stream(client, url, model, number, arrival)

        return list(await asyncio.gather(*(one(number, arrival) for number, arrival in enumerate(arrivals))))


async def stream(client: httpx.AsyncClient, url: str, model: str, number: int, arrival: Arrival) -> Answer:
    body = {
        "model": model,
        "stream": True,
        "max_tokens": arrival.output,
        "ignore_eos": True,
        "messages": [{"role": "user", "content": f"{number}: what is {number} + 7?"}],
    }
    begun, first, done, problem, waited, comments = time.monotonic(), 0.0, False, "", "", 0
    try:
        async with client.stream("POST", f"{url}/v1/chat/completions", json=body) as reply:
            waited = reply.headers.get("server-timing", "")
            if reply.status_code != 200:
                problem = f"{reply.status_code} {(await reply.aread())[:200]!r}"
            async for line in reply.aiter_lines():
                comments += line == ": waiting"
                waited = line if line.startswith(": queue") else waited
                done = done or line == "data: [DONE]"
                if '"error"' in line:
                    problem = line[:200]
                if not first and '"content":"' in line and '"content":""' not in line:
                    first = time.monotonic() - begun
    except httpx.HTTPError as exc:
        problem = f"{type(exc).__name__}: {exc}"
    told = WAITED.search(waited)
    return Answer(
        sent=round(arrival.at, 3),
        wait_s=float(told[1]) / 1e3 if told else 0.0,
        comments=comments,
        ttft_s=round(first, 4),
        seconds=round(time.monotonic() - begun, 4),
        problem=problem or ("" if done and first else "the stream ended before its end"),
    )
