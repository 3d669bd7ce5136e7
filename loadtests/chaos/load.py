"""A load that never pauses: so many connections, each asking for the next piece of work as soon as it has its answer."""

import asyncio
import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from loadtests.chaos.answers import Answer, read
from loadtests.chaos.kinds import Item
from loadtests.client import Connection, post

CHAT = "/v1/chat/completions"
TIMEOUT_S = 150.0
AFTER_REFUSAL_S = 0.5
"""A load is no client: it comes back sooner than it is told, so that the queue stays full."""


class Line(Connection):
    """A connection that knows how far its answer is."""

    @property
    def begun(self) -> bool:
        return self.events > 0

    @property
    def events(self) -> int:
        """Of the answer under way, so far."""
        return 0 if self._exchange is None else len(self._exchange.events)


@dataclass(eq=False, slots=True)
class Flight:
    """A request in the air, and then its answer. Times are seconds of time.perf_counter."""

    item: Item
    line: Line
    sent: float
    ended: float = 0.0
    answer: Answer | None = None
    over: asyncio.Event = field(default_factory=asyncio.Event)


class Load:
    """`keys` are API keys by tenant. `ended` keeps every flight of the work and of bursts, in the order of their ends."""

    def __init__(self, host: str, port: int, keys: Mapping[str, str], items: Sequence[Item]) -> None:
        self._host, self._port, self._keys = host, port, keys
        self._turns = itertools.cycle(items)
        self._open = asyncio.Event()
        self._open.set()
        self._over = False
        self._workers: list[asyncio.Task[None]] = []
        self.flying: set[Flight] = set()
        self.ended: list[Flight] = []

    @property
    def begun(self) -> int:
        """Streams that have had something and are to have more."""
        return sum(flight.line.begun for flight in self.flying)

    def start(self, streams: int) -> None:
        self._workers = [asyncio.create_task(self._work()) for _ in range(streams)]

    def hold(self) -> None:
        """Nothing new starts until `release`; what is in the air goes on."""
        self._open.clear()

    def release(self) -> None:
        self._open.set()

    async def settled(self) -> None:
        """Until all that are in the air now have ended."""
        for flight in list(self.flying):
            await flight.over.wait()

    async def stop(self) -> None:
        """Every answer that has been asked for is still waited for."""
        self._over = True
        self._open.set()
        for result in await asyncio.gather(*self._workers, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    async def once_each(self, items: Sequence[Item], streams: int) -> list[Answer]:
        """The answers to `items`, asked for over so many connections."""
        turns, answers = iter(range(len(items))), [Answer() for _ in items]

        async def some() -> None:
            line = await self._connect()
            for turn in turns:
                answers[turn] = await self._ask(line, items[turn])
            line.close()

        await asyncio.gather(*(some() for _ in range(streams)))
        return answers

    async def alone(self, item: Item) -> Answer:
        (answer,) = await self.once_each([item], 1)
        return answer

    async def raw(self, body: Mapping[str, object], tenant: str) -> bytes:
        """The body of an answer in one piece, for those who want to look into it themselves."""
        line = await self._connect()
        exchange = await line.ask(self._payload(body, tenant), TIMEOUT_S)
        line.close()
        return exchange.body

    async def burst(self, items: Sequence[Item]) -> None:
        """All at once, each over a connection of its own; returns when all are answered."""
        lines = await asyncio.gather(*(self._connect() for _ in items))
        await asyncio.gather(*(self._fly(line, item) for line, item in zip(lines, items, strict=True)))
        for line in lines:
            line.close()

    async def _work(self) -> None:
        line = await self._connect()
        while not self._over:
            await self._open.wait()
            if self._over:
                break
            item = next(self._turns)
            try:
                line = line if line.open else await self._connect()
            except OSError as exc:
                now = time.perf_counter()
                self.ended.append(Flight(item, line, now, now, Answer(problem=f"no connection: {exc}")))
                await asyncio.sleep(AFTER_REFUSAL_S)
                continue
            if (await self._fly(line, item)).refused:
                await asyncio.sleep(AFTER_REFUSAL_S)
        line.close()

    async def _fly(self, line: Line, item: Item) -> Answer:
        flight = Flight(item, line, time.perf_counter())
        self.flying.add(flight)
        try:
            flight.answer = await self._ask(line, item)
            flight.ended = time.perf_counter()
            self.ended.append(flight)
        finally:
            self.flying.discard(flight)
            flight.over.set()
        return flight.answer

    async def _ask(self, line: Line, item: Item) -> Answer:
        return read(await line.ask(self._payload(item.body, item.tenant), TIMEOUT_S), item)

    def _payload(self, body: Mapping[str, object], tenant: str) -> bytes:
        return post(f"{self._host}:{self._port}", CHAT, dict(body), self._keys[tenant])

    async def _connect(self) -> Line:
        return await Line.to(self._host, self._port)
