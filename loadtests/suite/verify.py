"""Is an answer right? Reads an Exchange after its end, and names the first thing that is wrong with it."""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from loadtests.client import Exchange
from loadtests.suite.plan import Plan

ENDS = ("stop", "length", "tool_calls")


class _WrongError(Exception):
    """What is wrong with the answer."""


@dataclass(slots=True)
class Answer:
    """`first_at` and `last_at` are when the first and the last token came (perf_counter), `gaps_s` lie between token events.

    `problem` is empty for a right answer. `changed`: it has another text than the first one to the same request. `body` is the
    decoded JSON of an answer that was no stream. `calls` are whole, as a client tells them back.
    """

    text: str = ""
    prompt_tokens: int = 0
    tokens: int = 0
    first_at: float | None = None
    last_at: float | None = None
    gaps_s: list[float] = field(default_factory=list)
    finish: str = ""
    calls: list[dict[str, Any]] = field(default_factory=list)
    body: Any = None
    problem: str = ""
    changed: bool = False


def read_answer(exchange: Exchange, plan: Plan) -> Answer:
    """Never raises: an answer that cannot be understood has that as its problem."""
    answer = Answer()
    try:
        _check(exchange, plan, answer)
    except _WrongError as exc:
        answer.problem = str(exc)
    except (msgspec.DecodeError, KeyError, IndexError, TypeError, AttributeError) as exc:
        answer.problem = f"not understood: {type(exc).__name__}: {exc}"
    return answer


def changed(texts: dict[str, str], name: str, text: str) -> str:
    """What is wrong with the text of a request that had another one before: tokens that are lost, doubled or out of order show
    here, and nowhere else. Empty for the first one, which is kept, and for its like.
    """
    first = texts.setdefault(name, text)
    return "" if text == first else f"{name}: {text[:60]!r}, and {first[:60]!r} the first time"


def _check(exchange: Exchange, plan: Plan, answer: Answer) -> None:
    if exchange.error:
        raise _WrongError(exchange.error)
    if plan.leave is not None and not exchange.status:
        return
    if exchange.status not in plan.statuses:
        raise _WrongError(f"status {exchange.status}: {exchange.body[:160].decode(errors='replace')}")
    if exchange.status != 200:
        _read_refusal(exchange)
    elif plan.leave is not None:
        _read_chunks(exchange, [event for event in exchange.events if event != b"[DONE]"], plan, answer)
    elif plan.stream:
        _read_stream(exchange, plan, answer)
    elif plan.inference:
        _read_whole(exchange, plan, answer)


def _read_refusal(exchange: Exchange) -> None:
    error = msgspec.json.decode(exchange.body)["error"]
    if not error["message"] or not error["type"]:
        raise _WrongError("an error without message or type")
    if exchange.status in (429, 503) and not exchange.headers.get(b"retry-after", b"").isdigit():
        raise _WrongError(f"status {exchange.status} without a Retry-After")


def _read_whole(exchange: Exchange, plan: Plan, answer: Answer) -> None:
    answer.body = body = msgspec.json.decode(exchange.body)
    for choice in body["choices"]:
        _check_end(choice["finish_reason"], plan)
    first = body["choices"][0]
    answer.finish = first["finish_reason"]
    answer.text = first["message"].get("content") or ""
    answer.calls = first["message"].get("tool_calls") or []
    _check_calls(plan, answer)
    if plan.choices and answer.text not in plan.choices:
        raise _WrongError(f"{answer.text!r} is none of {', '.join(plan.choices)}")
    _take_usage(body["usage"], plan, answer, len(body["choices"]))


def _check_end(reason: str, plan: Plan) -> None:
    """A model that may not end by itself ends at its limit."""
    if reason not in (("length",) if plan.exact else ENDS):
        raise _WrongError(f"finish reason {reason!r}")


def _check_calls(plan: Plan, answer: Answer) -> None:
    """Of tools that were offered, with arguments that can be read. The limit may cut a call short, and then none was made."""
    if answer.finish == "length":
        answer.calls = []
    elif (answer.finish == "tool_calls") != bool(answer.calls):
        raise _WrongError(f"{len(answer.calls)} tool calls, and finish reason {answer.finish!r}")
    for call in answer.calls:
        name, arguments = call["function"]["name"], call["function"]["arguments"]
        if not call["id"]:
            raise _WrongError("a tool call without an id")
        if name not in plan.tools:
            raise _WrongError(f"a call of {name!r}, which was not offered")
        if not isinstance(msgspec.json.decode(arguments), dict):
            raise _WrongError(f"a tool's arguments are {arguments}")


def _read_stream(exchange: Exchange, plan: Plan, answer: Answer) -> None:
    """Role, then tokens, then one finish reason, then usage, then [DONE]; one id throughout; nothing after the end."""
    if not exchange.events or exchange.events[-1] != b"[DONE]":
        raise _WrongError("no [DONE] at the end")
    if b"[DONE]" in exchange.events[:-1]:
        raise _WrongError("an event after [DONE]")
    _read_chunks(exchange, exchange.events[:-1], plan, answer).end()


def _read_chunks(exchange: Exchange, events: list[bytes], plan: Plan, answer: Answer) -> "_Chunks":
    """What has come of a stream: all of it, or what a client that left has seen."""
    chunks = [msgspec.json.decode(event) for event in events]
    if failed := next((chunk for chunk in chunks if "error" in chunk), None):
        raise _WrongError(f"error event: {str(failed['error'])[:160]}")
    if len({(chunk["id"], chunk["model"], chunk["created"]) for chunk in chunks}) > 1:
        raise _WrongError("chunks of several answers in one stream")
    reader = _Chunks(plan, answer)
    for at, chunk in zip(exchange.arrivals, chunks, strict=False):
        reader.take(at, chunk)
    return reader


class _Chunks:
    """Takes the chunks of one stream in their order."""

    def __init__(self, plan: Plan, answer: Answer) -> None:
        self._plan, self._answer = plan, answer
        self._texts: list[str] = []
        self._calls: dict[int, dict[str, Any]] = {}
        self._events = 0
        self._role = self._usage = False

    def take(self, at: float, chunk: dict[str, Any]) -> None:
        if self._usage:
            raise _WrongError("a chunk after the usage")
        for choice in chunk["choices"]:
            self._take_choice(at, choice)
        if chunk.get("usage"):
            if not self._answer.finish or chunk["choices"]:
                raise _WrongError("usage before the end")
            _take_usage(chunk["usage"], self._plan, self._answer)
            self._usage = True

    def _take_choice(self, at: float, choice: dict[str, Any]) -> None:
        answer, delta = self._answer, choice["delta"]
        if choice["index"] != 0:
            raise _WrongError(f"a choice with index {choice['index']}")
        if answer.finish:
            raise _WrongError("a choice after the finish reason")
        if self._role == (delta.get("role") == "assistant"):
            raise _WrongError("a second role" if self._role else "a token before the role")
        self._role = True
        if reason := choice.get("finish_reason"):
            _check_end(reason, self._plan)
            answer.finish = reason
        calls = delta.get("tool_calls") or []
        for piece in calls:
            self._take_call(piece)
        if delta.get("content") or calls:
            _take_time(at, answer)
            self._texts.append(delta.get("content") or "")
            self._events += 1

    def _take_call(self, piece: dict[str, Any]) -> None:
        """A call comes in pieces, of which the first has its id."""
        empty = {"id": "", "type": "function", "function": {"name": "", "arguments": ""}}
        call = self._calls.setdefault(piece["index"], empty)
        call["id"] = call["id"] or piece.get("id") or ""
        for name in call["function"]:
            call["function"][name] += (piece.get("function") or {}).get(name) or ""

    def end(self) -> None:
        answer = self._answer
        answer.text = "".join(self._texts)
        answer.calls = list(self._calls.values())
        if not answer.finish:
            raise _WrongError("no finish reason")
        if self._plan.usage != self._usage:
            raise _WrongError("no usage" if self._plan.usage else "usage that nobody asked for")
        if self._usage and self._events > answer.tokens:
            raise _WrongError(f"{self._events} events with tokens, and usage says {answer.tokens}")
        _check_calls(self._plan, answer)


def _take_time(at: float, answer: Answer) -> None:
    if answer.first_at is None or answer.last_at is None:
        answer.first_at = at
    else:
        answer.gaps_s.append(at - answer.last_at)
    answer.last_at = at


def _take_usage(usage: dict[str, int], plan: Plan, answer: Answer, choices: int = 1) -> None:
    answer.prompt_tokens, answer.tokens = usage["prompt_tokens"], usage["completion_tokens"]
    if usage["total_tokens"] != answer.prompt_tokens + answer.tokens or answer.prompt_tokens < 1:
        raise _WrongError(f"usage does not add up: {usage}")
    if plan.exact and answer.tokens != plan.max_tokens * choices:
        raise _WrongError(f"{answer.tokens} tokens instead of {plan.max_tokens * choices}")
    if answer.tokens > plan.max_tokens * choices:
        raise _WrongError(f"{answer.tokens} tokens, and {plan.max_tokens * choices} were allowed")
