"""A door to be attacked: asks over HTTP with many connections, and keeps the books of what was asked, refused and leaked."""

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from loadtests.client import Connection, Exchange, post

HOST = "127.0.0.1"
PATIENCE_S = 120.0
COMPLETIONS, CHAT = "/v1/completions", "/v1/chat/completions"


class Stopped(Exception):
    """The server refused, and the attack has no other way."""


@dataclass(slots=True)
class Books:
    """`scalars`: logprobs that came back, of all sorts. `stopped`: the first refusal, told with the request that met it.
    `decisive`: status and code of all since the attack took its last way.
    """

    requests: int = 0
    answered: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    scalars: int = 0
    stopped: str = ""
    refusals: dict[str, int] = field(default_factory=dict)
    decisive: set[str] = field(default_factory=set)

    def refused(self, number: int, code: str, param: str = "") -> None:
        reason = f"{code} {param}" if param else code
        self.decisive.add(code)
        self.refusals[reason] = self.refusals.get(reason, 0) + 1
        self.stopped = self.stopped or f"request {number}: {reason}"


class Target:
    """`keys` take turns when a request names none. `width`: connections, and so requests at a time."""

    def __init__(self, port: int, model: str, keys: Sequence[str] = ("",), width: int = 32) -> None:
        self.port, self.model, self.keys, self.width = port, model, keys, width
        self.books = Books()
        self._idle: list[Connection] = []
        self._room = asyncio.Semaphore(width)

    async def ask(self, path: str, body: dict[str, Any], key: str | None = None) -> dict[str, Any]:
        """The parsed answer; raises Stopped if it is anything but a 200."""
        exchange = await self.send(path, body, key)
        if exchange.status != 200:
            raise Stopped(self.books.stopped)
        read: dict[str, Any] = msgspec.json.decode(exchange.body)
        self._count(read)
        return read

    async def send(self, path: str, body: dict[str, Any], key: str | None = None) -> Exchange:
        """The raw exchange, refused or not. A lost connection counts as a refusal without a status."""
        books = self.books
        sent_with = self.keys[books.requests % len(self.keys)] if key is None else key
        books.requests += 1
        number = books.requests
        async with self._room:
            connection = self._idle.pop() if self._idle else await Connection.to(HOST, self.port)
            try:
                exchange = await connection.ask(post(HOST, path, {"model": self.model} | body, sent_with), PATIENCE_S)
            except asyncio.CancelledError:
                connection.close()
                raise
            if connection.open:
                self._idle.append(connection)
        if exchange.status == 200 and not exchange.error:
            books.answered += 1
        else:
            books.refused(number, *_reason(exchange))
        return exchange

    async def every(self, asked: Iterable[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
        """All of them, `width` at a time, in order; raises Stopped if one is refused, and does not send the rest."""
        waiting = list(asked)
        answers: dict[int, dict[str, Any]] = {}
        numbers = iter(range(len(waiting)))

        async def work() -> None:
            for number in numbers:
                answers[number] = await self.ask(*waiting[number])

        await together(work() for _ in range(min(self.width, len(waiting))))
        return [answers[number] for number in range(len(waiting))]

    def forgive(self) -> None:
        """Another way is tried: the last refusal does not stop what follows."""
        self.books.stopped = ""
        self.books.decisive.clear()

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def _count(self, answer: dict[str, Any]) -> None:
        usage = answer.get("usage") or {}
        self.books.prompt_tokens += usage.get("prompt_tokens", 0)
        self.books.completion_tokens += usage.get("completion_tokens") or 0
        self.books.scalars += sum(_scalars(choice) for choice in answer.get("choices", ()))


async def together(coroutines: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Until all have ended, or one fails: its exception, when the others have been cancelled."""
    tasks = [asyncio.ensure_future(one) for one in coroutines]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _scalars(choice: dict[str, Any]) -> int:
    logprobs = choice.get("logprobs") or {}
    of_chat = sum(max(1, len(place["top_logprobs"])) for place in logprobs.get("content") or ())
    of_completion = sum(max(1, len(place or ())) for place in logprobs.get("top_logprobs") or ())
    of_prompt = sum(len(place or ()) for place in choice.get("prompt_logprobs") or ())
    return of_chat + of_completion + of_prompt


def _reason(exchange: Exchange) -> tuple[str, str]:
    """Status and code, and the parameter; vLLM tells no code, so the name of its error stands for it."""
    if exchange.error or not exchange.status:
        return exchange.error or "no answer", ""
    try:
        error = msgspec.json.decode(exchange.body)["error"]
        return f"{exchange.status} {error.get('code') or error.get('type') or ''}".strip(), error.get("param") or ""
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
        return str(exchange.status), ""
