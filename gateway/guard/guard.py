"""The guard of one gateway: verdicts that are looked up, observations that are put down, and a thread that does the rest.

`verdict` and `observe` are all that a request waits for; both are a few operations on dictionaries. What has been seen is
looked at by the thread, BATCH requests at a time, and so is what it judges, writes and reads: after each part it pauses for
as long as that took, so that it never holds the interpreter for much more than a millisecond. Every SYNC_S it writes what
has changed to the store, and reads what other gateways wrote: their sketches are merged with ours before a key is judged,
and the highest standing of all counts until a release.
"""

import logging
import math
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, Final

from gateway.guard.accounts import ACCOUNT
from gateway.guard.detector import Detector
from gateway.guard.observation import Observation, read
from gateway.guard.sharing import Sharing
from gateway.guard.store import GuardStore, GuardStoreUnavailable, Row
from gateway.guard.verdict import CLEAR, Change, Level, Verdict

JUDGE_S: Final = 0.5
SYNC_S: Final = 5.0
IDLE_S: Final = 0.25
BATCH: Final = 8
"""Requests that are looked at in one go, in a millisecond."""
KEYS, ROWS = 4, 8
"""The same for keys that are judged, and for rows that are packed or read."""

_log: Final = logging.getLogger(__name__)


class Guard:
    """`on_change` is called from the thread. Open it once, close it once; what is queued at the end is still looked at."""

    def __init__(
        self,
        detector: Detector,
        store: GuardStore,
        on_change: Callable[[Change], None],
        capacity: int,
        clock: Callable[[], float] = time.time,
        slot: str | None = None,
    ) -> None:
        self._detector, self._on_change, self._clock = detector, on_change, clock
        self._sharing = Sharing(store, detector, secrets.token_hex(6), slot)
        self._queue: deque[Observation] = deque()
        self._capacity = capacity
        self._verdicts: dict[str, Verdict] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="guard", daemon=True)
        self.dropped = 0
        self.seen = 0
        self._away: str | None = None

    @property
    def problem(self) -> str | None:
        """Why what is seen is not looked at, or not kept, at the moment."""
        if self._thread.ident is not None and not self._thread.is_alive() and not self._closing.is_set():
            return "guard: its thread has ended, nothing is looked at any more"
        return self._away

    def open(self, slot: str | None = None) -> None:
        """Standings of earlier days are read before the first request is. `slot`: see Sharing."""
        self._sharing.slot = slot or self._sharing.slot
        self._sync(first=True)
        self._thread.start()

    def close(self, timeout_s: float = 5.0) -> None:
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def verdict(self, key: str, tenant: str | None = None) -> Verdict:
        """The key's own, or with a tenant named its account's, where that is VERIFY or above and does more than the key's."""
        own = self._verdicts.get(key, CLEAR)
        if tenant is None:
            return own
        account = self._verdicts.get(ACCOUNT + self._detector.accounts.of(tenant), CLEAR)
        if account.level < Level.VERIFY or tenant in self._detector.settings.trusted:
            return own
        return max(own, account, key=lambda verdict: (verdict.applied, verdict.level))

    def observe(self, seen: Observation) -> None:
        """Never blocks; beyond the capacity a request is only counted."""
        if len(self._queue) >= self._capacity:
            self.dropped += 1
        else:
            self._queue.append(seen)

    def release(self, key: str) -> Level | None:
        """What the key was at, None if nothing is known of it; nothing that was seen of it and its account until now counts any
        more, at any gateway. An account is released with all its keys, under its name.
        """
        with self._lock:
            now = self._clock()
            before = self.verdict(key).level
            changes = self._detector.release(key, now)
            for change in changes:
                self._verdicts.pop(change.key, None)
        for change in changes:
            if change.before or change.key == key:
                self._on_change(change)
        return before if changes else None

    def explain(self, key: str) -> dict[str, Any] | None:
        """Why a key is at its level; None for one that nothing is known of."""
        with self._lock:
            if key not in self._detector.records:
                return None
            return self._detector.explain(key) | {"verdict": told(self.verdict(key))}

    def flagged(self) -> dict[str, Verdict]:
        """The keys above OBSERVE."""
        return {key: verdict for key, verdict in list(self._verdicts.items()) if verdict.level}

    def status(self) -> dict[str, Any]:
        flagged = self.flagged()
        return {
            "seen": self.seen,
            "queued": len(self._queue),
            "dropped": self.dropped,
            "problem": self.problem,
            "keys_known": len(self._detector.records),
            "flagged": {key: told(verdict) for key, verdict in flagged.items()},
        }

    def _run(self) -> None:
        judged = synced = self._clock()
        while True:
            closing = self._closing.is_set()
            busy = self._look()
            now = self._clock()
            if closing or not 0 <= now - judged < JUDGE_S:
                judged = now
                self._judge(now)
            if closing or not 0 <= now - synced < SYNC_S:
                synced = now
                self._sync()
            if closing:
                return
            if not busy:
                self._closing.wait(IDLE_S)

    def _look(self) -> bool:
        """At what is queued, for JUDGE_S at most, and at the end at all of it."""
        until = math.inf if self._closing.is_set() else time.monotonic() + JUDGE_S
        looked = False
        while self._queue and time.monotonic() < until:
            batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
            with self._turn():
                self._detector.take(*map(read, batch))
            self.seen += len(batch)
            looked = True
        return looked

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """A part of the work, and then a pause of the same length."""
        begun = time.monotonic()
        with self._lock:
            yield
        if not self._closing.is_set():
            time.sleep(time.monotonic() - begun)

    def _judge(self, now: float) -> None:
        changes: list[Change] = []
        with self._turn():
            due = self._detector.due(now)
        for at in range(0, len(due), KEYS):
            with self._turn():
                changes += self._detector.judge(now, due[at : at + KEYS])
        with self._lock:
            for change in changes:
                self._verdicts[change.key] = change.verdict
            for key in list(self._verdicts):
                self._verdicts[key] = self._detector.verdict(key)
        for change in changes:
            self._on_change(change)

    def _sync(self, *, first: bool = False) -> None:
        try:
            if not self._sharing.begun:
                self._read()
            if not first:
                self._write()
                self._read()
            self._away = None
        except GuardStoreUnavailable as exc:
            if self._away is None:
                _log.error("guard: what was seen is neither kept nor shared at the moment: %s", exc)
            self._away = f"guard: {exc}"

    def _read(self) -> None:
        incoming = self._sharing.read()
        for at in range(0, max(1, len(incoming)), ROWS):
            with self._turn():
                for key in self._sharing.take(incoming[at : at + ROWS], self._clock()):
                    self._verdicts[key] = self._detector.verdict(key)

    def _write(self) -> None:
        source = self._sharing.outgoing()
        rows: list[Row] = []
        while True:
            with self._turn():
                part = list(islice(source, ROWS))
            if not part:
                break
            rows += part
        self._sharing.write(rows)


def told(verdict: Verdict) -> dict[str, Any]:
    """For an operator."""
    return {
        "level": verdict.level.label,
        "applied": verdict.applied.label,
        "score": round(verdict.score, 2),
        "since": verdict.since,
        "reasons": [reason._asdict() for reason in verdict.reasons],
    }
