"""Tells the operator's webhook of levels: one message at a time, from a thread of its own, and never more than fit the queue."""

import json
import logging
import queue
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from http.client import HTTPException
from typing import Any, Final

WAITING: Final = 256
"""Messages that may wait for a receiver that is slow or away."""
AGAIN_S: Final = (1.0, 10.0)
"""Before each further try of a message that was not taken with a 2xx."""

log = logging.getLogger(__name__)


class Webhook:
    """Tells in order; a message that is not taken at the first try is sent again, and given up after the last of AGAIN_S.

    One whose answer was lost is told twice; what waits when the process ends is not told. `timeout_s` is for each step of an
    exchange; `wait` is told how many seconds to wait before another try.
    """

    def __init__(self, url: str, timeout_s: float = 5.0, wait: Callable[[float], None] = time.sleep) -> None:
        self._url, self._timeout_s, self._wait = url, timeout_s, wait
        self._queue: queue.Queue[Mapping[str, Any]] = queue.Queue(WAITING)
        self._thread: threading.Thread | None = None
        self.lost = 0

    def tell(self, message: Mapping[str, Any]) -> None:
        """Never blocks."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="guard-webhook", daemon=True)
            self._thread.start()
        try:
            self._queue.put_nowait(message)
        except queue.Full:
            self._lose(message, "too many wait for it")

    def _run(self) -> None:
        while True:
            message = self._queue.get()
            problem = self._delivered(message)
            for pause_s in AGAIN_S:
                if problem is None:
                    break
                self._wait(pause_s)
                problem = self._delivered(message)
            if problem is not None:
                self._lose(message, problem)

    def _delivered(self, message: Mapping[str, Any]) -> str | None:
        """What went wrong, if it was not taken."""
        request = urllib.request.Request(  # noqa: S310  the scheme is checked by the configuration
            self._url, json.dumps(message).encode(), {"content-type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=self._timeout_s):  # noqa: S310  as above
                return None
        except (OSError, HTTPException) as exc:
            return f"{type(exc).__name__}: {exc}"

    def _lose(self, message: Mapping[str, Any], problem: str) -> None:
        log.warning("guard: the webhook was not told of %s at %s: %s", message["key"], message["level"], problem)
        self.lost += 1
