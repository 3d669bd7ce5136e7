"""A request's record as a tree of what took how long, from which spans are made and pictures drawn. Pure.

Under the server span, in this order: the door's stages `auth`, `limits` (requests), `receive`, `validate`, `guard`, `limits`
(tokens), `admission`; `render`, template and tokenizer; for every attempt `parked`, while there was no engine to choose, `route`,
which one and why, and `engine`, with `queue`, `prefill` and `decode` under it; `finish`, after the last token, and `send`, if the
client was waited for, to the last byte.
A request that fails ends in the stage in which it was.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from gateway.telemetry.record import Leg, Outcome, RequestRecord

WAITING: Final = frozenset({"receive", "admission", "parked", "engine", "send"})
"""Stages in which the gateway waits for others; the rest is time of its own."""
NO_WAIT_S: Final = 0.001
"""Between the wish for an engine and the choice among those that are there: no parking."""
SLOW_S: Final = 0.02
"""Less than that no client is waited for: it may be the gateway itself that waited, for its turn on a busy core."""
ENGINELESS: Final = frozenset({"engine_unavailable", "engine_lost"})


@dataclass(frozen=True, slots=True)
class Moment:
    name: str
    at: float
    attributes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Node:
    """Seconds of the gateway's `time.monotonic`; children lie within, in the order of their beginnings."""

    name: str
    begin: float
    end: float
    attributes: Mapping[str, Any] = field(default_factory=dict)
    children: tuple["Node", ...] = ()
    events: tuple[Moment, ...] = ()

    @property
    def seconds(self) -> float:
        return self.end - self.begin


def waterfall(record: RequestRecord) -> Node:
    """Of an ended request."""
    children = _stages(record)
    for leg in record.legs:
        children += _attempt(leg, record.ended)
    finish = children[-1].end if children else record.begun
    if record.legs:
        finish = min(max(leg.ended or leg.sent for leg in record.legs), record.ended)
        if record.legs[-1].end in ("lost", "unsent"):
            finish = _parked_until(record, finish, children)
    finish = min(finish, record.ended)
    begin, end = record.waited
    sent = max(finish, begin) if end - max(finish, begin) >= SLOW_S else record.ended
    children.append(Node("finish", finish, sent))
    if sent < record.ended:
        children.append(Node("send", sent, record.ended))
    return Node(
        f"{record.method} {record.path}", record.begun, record.ended, children=tuple(children), events=_events(record)
    )


def own_seconds(tree: Node) -> float:
    """What the gateway itself took of a request's time."""
    return sum(child.seconds for child in tree.children if child.name not in WAITING)


def _stages(record: RequestRecord) -> list[Node]:
    """Each ends where the next begins, the last before any engine where the pool was asked for one. Who leaves before that may
    have been parked for long, and rendering is short: all of it is told as parked.
    """
    asked = record.legs[0].asked if record.legs else record.ended
    edges = [*record.marks, ("finish", asked)]
    found: list[Node] = []
    for (stage, begin), (_, end) in itertools.pairwise(edges):
        if stage == "finish" or begin > asked:
            break
        found.append(Node(stage, record.begun if not found else begin, min(end, asked)))
    waited = record.error in ENGINELESS or record.outcome is Outcome.GONE
    if found and not record.legs and found[-1].name == "render" and waited:
        found[-1] = replace(found[-1], name="parked")
    return found


def _parked_until(record: RequestRecord, since: float, children: list[Node]) -> float:
    """A request that no engine took over waited for one until it was given up."""
    until = next((at for stage, at in reversed(record.marks) if stage == "finish"), since)
    if until - since < NO_WAIT_S:
        return since
    children.append(Node("parked", since, until))
    return until


def _attempt(leg: Leg, ended: float) -> list[Node]:
    """Choosing the engine, and its work. An engine's own times, right to half a heartbeat's way, are kept in order."""
    end = ended if leg.ended is None else leg.ended
    sent = leg.sent
    queued = sent if leg.queued is None else min(max(leg.queued, sent), end)
    scheduled = queued if leg.scheduled is None else min(max(leg.scheduled, queued), end)
    first = end if leg.first is None else min(max(leg.first, scheduled), end)
    last = first if leg.last is None else min(max(leg.last, first), end)
    parts = []
    if leg.scheduled is not None:
        parts.append(Node("queue", queued, scheduled))
    parts.append(Node("prefill", scheduled, first))
    if leg.first is not None:
        parts.append(Node("decode", first, last))
    why = {"sluice.route.reason": leg.choice.reason} if leg.choice is not None else {}
    told = {
        "sluice.engine.id": leg.engine,
        "sluice.attempt": leg.attempt,
        "sluice.engine.end": leg.end or "abort",
        "sluice.engine.tokens": max(0, len(leg.tokens) - leg.had) if leg.end not in ("lost", "withdrawn") else 0,
        "sluice.engine.cached_tokens": leg.cached_tokens,
        "sluice.engine.preempted": leg.preempted,
    }
    found = leg.found if leg.found - leg.asked >= NO_WAIT_S else leg.asked
    parked = [Node("parked", leg.asked, found)] if found > leg.asked else []
    route = Node("route", found, sent, {"sluice.engine.id": leg.engine, "sluice.attempt": leg.attempt, **why})
    return [*parked, route, Node("engine", sent, end, told, tuple(parts))]


def _events(record: RequestRecord) -> tuple[Moment, ...]:
    found = [Moment(name, at, attributes) for name, at, attributes in record.notes]
    if (first := record.totals.first_token) is not None:
        found.append(Moment("first_token", first, {}))
    for leg in record.legs:
        told = {"sluice.engine.id": leg.engine, "sluice.attempt": leg.attempt}
        if leg.hedge:
            found.append(Moment("hedge", leg.sent, told))
        if leg.end in ("lost", "withdrawn") and leg.ended is not None:
            found.append(Moment("failover" if leg.end == "lost" else "withdrawn", leg.ended, told))
    return tuple(sorted(found, key=lambda moment: moment.at))
