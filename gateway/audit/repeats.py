"""One record for what happens once, two a minute for what happens a thousand times."""

import time
from collections.abc import Callable, Mapping
from typing import Final

from gateway.audit.log import AuditLog
from gateway.audit.record import Event

PERIOD_S: Final = 60.0
MOST: Final = 4096

_Key = tuple[Event, tuple[tuple[str, object], ...]]


class Repeats:
    """Records an event at once when it is the first with these fields, and after `period_s` how often it was repeated.

    Whoever asks for more kinds than `most` at a time gets one record each, up to the log's own pace.
    """

    def __init__(
        self, log: AuditLog, period_s: float = PERIOD_S, most: int = MOST, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._log, self._period_s, self._most, self._clock = log, period_s, most, clock
        self._open: dict[_Key, tuple[float, int]] = {}

    def record(self, event: Event, fields: Mapping[str, object]) -> None:
        key, now = (event, tuple(fields.items())), self._clock()
        since, count = self._open.get(key, (None, 0))
        if since is not None:
            self._open[key] = (since, count + 1)
            return
        self._log.record(event, **fields)
        if len(self._open) < self._most:
            self._open[key] = (now, 0)

    def tell(self, *, everything: bool = False) -> None:
        """To be called now and then, and at the end."""
        now = self._clock()
        due = [key for key, (since, _) in self._open.items() if everything or now - since >= self._period_s]
        for key in due:
            _, count = self._open.pop(key)
            if count:
                self._log.record(key[0], **dict(key[1]), count=count)
