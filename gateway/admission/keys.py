"""Requests in progress of each key, and of the keys that may have only so many those that came back when told and are held
until one of them ends.

Retry-After is in whole seconds, so that several who were told to come back find each other at the same few places, the more so
the shorter the answers. Held, each gets in a moment later than it was told; refused again, it would have come in vain.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.admission.ledger import Entry
    from gateway.admission.ticket import Ticket

NONE: Mapping[Entry, None] = {}


class Keys:
    """First come, first served among those of one key. Every operation is O(1)."""

    def __init__(self) -> None:
        self._in_progress: dict[str, dict[Entry, None]] = {}
        self._held: dict[str, dict[Entry, None]] = {}

    def __len__(self) -> int:
        """Keys that have something in progress."""
        return len(self._in_progress)

    def in_progress(self, key: str) -> Mapping[Entry, None]:
        """Waiting and running, the oldest first."""
        return self._in_progress.get(key, NONE)

    def held(self, key: str) -> int:
        return len(self._held.get(key, NONE))

    def is_full(self, ticket: Ticket) -> bool:
        """Whether another of the key must be held; a key without a limit is never full."""
        limit = ticket.key_limit
        return limit is not None and (self.held(ticket.key) > 0 or len(self.in_progress(ticket.key)) >= limit)

    def add(self, entry: Entry) -> None:
        self._in_progress.setdefault(entry.ticket.key, {})[entry] = None

    def hold(self, entry: Entry) -> None:
        self._held.setdefault(entry.ticket.key, {})[entry] = None

    def leave(self, entry: Entry) -> Entry | None:
        """It has ended, held or in progress. Returns who is held no longer, and in progress from now on."""
        key = entry.ticket.key
        _remove(self._held if entry in self._held.get(key, NONE) else self._in_progress, entry)
        first = next(iter(self._held.get(key, NONE)), None)
        limit = None if first is None else first.ticket.key_limit
        if first is None or (limit is not None and len(self.in_progress(key)) >= limit):
            return None
        _remove(self._held, first)
        self.add(first)
        return first


def _remove(entries: dict[str, dict[Entry, None]], entry: Entry) -> None:
    mine = entries[entry.ticket.key]
    del mine[entry]
    if not mine:
        del entries[entry.ticket.key]
