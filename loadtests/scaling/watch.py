"""What a running Sluice shows of one model, once a second; and requests sent to it at given times."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import httpx
import msgspec

from loadtests.simulation.scaling.arrivals import Arrival

LONGEST_S = 300.0


class Look(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """At `at` seconds: replicas asked for, engines that take work, requests that wait at the gateway and those in progress."""

    at: float
    target: int
    engines: int
    waiting: int
    in_flight: int


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`sent` at that second; its first token after `ttft_s`. `problem` is empty for a complete stream."""

    sent: float
    ttft_s: float
    seconds: float
    problem: str


class Watch:
    """Looks at `management` until stopped; times count from `begun` (time.monotonic)."""

    def __init__(self, management: str, model: str, begun: float) -> None:
        self._management, self._model, self._begun = management, model, begun
        self.looks: list[Look] = []
        self.record: dict[str, Any] = {}

    async def run(self) -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
            while True:
                status = (await client.get(f"{self._management}/status")).json()
                self._take(status)
                await asyncio.sleep(1.0)

    def _take(self, status: dict[str, Any]) -> None:
        model = next(one for one in status["models"] if one["name"] == self._model)
        self.record = status["autoscaling"].get(self._model, self.record)
        engines = sum(engine["state"] == "up" for engine in model["engines"])
        self.looks.append(
            Look(
                at=round(time.monotonic() - self._begun, 2),
                target=int(self.record.get("target", 0)),
                engines=engines,
                waiting=model["admission"]["waiting"],
                in_flight=status["requests_in_flight"],
            )
        )

    async def until(self, what: str, engines: int, within_s: float, *, at_least: bool = False) -> float:
        """Seconds until so many engines take work. Raises TimeoutError that says what did not come."""
        begun = time.monotonic()
        while not self.looks or not (
            self.looks[-1].engines >= engines if at_least else self.looks[-1].engines == engines
        ):
            if time.monotonic() - begun > within_s:
                raise TimeoutError(f"{what} did not come within {within_s:.0f} s: {self.looks[-1:]}, {self.record}")
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
    begun, first, done, problem = time.monotonic(), 0.0, False, ""
    try:
        async with client.stream("POST", f"{url}/v1/chat/completions", json=body) as reply:
            if reply.status_code != 200:
                problem = f"{reply.status_code} {(await reply.aread())[:200]!r}"
            async for line in reply.aiter_lines():
                done = done or line == "data: [DONE]"
                if '"error"' in line:
                    problem = line[:200]
                if not first and '"content":"' in line and '"content":""' not in line:
                    first = time.monotonic() - begun
    except httpx.HTTPError as exc:
        problem = f"{type(exc).__name__}: {exc}"
    problem = problem or ("" if done and first else "the stream ended before its end")
    return Answer(round(arrival.at, 3), round(first, 4), round(time.monotonic() - begun, 4), problem)
