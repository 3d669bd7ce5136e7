"""The latest requests, kept for the console: numbers and times, no words. Bounded, and forgotten with the process."""

from collections import deque
from collections.abc import Mapping
from typing import Any, Final

from gateway.telemetry.record import Outcome, RequestRecord
from gateway.telemetry.waterfall import Node, own_seconds, waterfall

MOST: Final = 100
MOST_FAILED: Final = 50
MOST_ASKED: Final = 50


class Recent:
    """`ended` is one of a Recorder's `on_end`. Failed ones, and those asked for from the console, are not pushed out by others."""

    def __init__(self) -> None:
        self._latest: deque[RequestRecord] = deque(maxlen=MOST)
        self._failed: deque[RequestRecord] = deque(maxlen=MOST_FAILED)
        self._asked: dict[str, RequestRecord | None] = {}

    def want(self, request_id: str) -> None:
        """Keep this request's record when it ends."""
        self._asked[request_id] = None
        while len(self._asked) > MOST_ASKED:
            del self._asked[next(iter(self._asked))]

    def ended(self, record: RequestRecord) -> None:
        (self._latest if record.outcome is Outcome.OK else self._failed).append(record)
        if record.request_id in self._asked:
            self._asked[record.request_id] = record

    def trace(self, request_id: str) -> dict[str, Any] | None:
        """A request's waterfall; None if it is not known, or not over."""
        known = self._asked.get(request_id) or next(
            (one for one in (*self._latest, *self._failed) if one.request_id == request_id), None
        )
        if known is None:
            return None
        tree = waterfall(known)
        return {**row(known, 0.0), "own_s": own_seconds(tree), "tree": _node(tree, tree.begin)}

    def rows(self, now: float) -> list[dict[str, Any]]:
        """Newest first. `now` is of `time.monotonic`."""
        known = {id(one): one for one in (*self._latest, *self._failed)}
        return [row(one, now) for one in sorted(known.values(), key=lambda one: one.ended, reverse=True)]


def row(record: RequestRecord, now: float) -> dict[str, Any]:
    first, prompt, cached, completion, failovers = record.totals
    return {
        "id": record.request_id,
        "trace": record.trace_id,
        "ago_s": round(now - record.ended, 3),
        "path": record.path,
        "model": record.model,
        "tenant": record.tenant,
        "tier": record.tier,
        "priority": record.priority,
        "status": record.status,
        "outcome": record.outcome.value,
        "error": record.error,
        "seconds": record.seconds,
        "first_token_s": None if first is None else first - record.begun,
        "prompt_tokens": prompt,
        "cached_tokens": cached,
        "completion_tokens": completion,
        "failovers": failovers,
    }


def _node(node: Node, zero: float) -> dict[str, Any]:
    """Times in seconds from the request's begin."""
    return {
        "name": node.name,
        "begin": node.begin - zero,
        "end": node.end - zero,
        "attributes": _plain(node.attributes),
        "events": [
            {"name": one.name, "at": one.at - zero, "attributes": _plain(one.attributes)} for one in node.events
        ],
        "children": [_node(child, zero) for child in node.children],
    }


def _plain(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value if isinstance(value, str | int | float | bool) else str(value) for name, value in attributes.items()
    }
