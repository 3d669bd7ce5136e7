"""Wakes a model that sleeps: while requests wait and no engine is there, one call is held pending with who starts engines."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

RETRY_S = 1.0

log = structlog.get_logger(__name__)


class Alarm:
    """`call` returns once an engine has come, and raises what it likes; being cancelled withdraws it. `asleep`: no engine is there;
    `wanted`: somebody waits.
    """

    def __init__(
        self, model: str, call: Callable[[], Awaitable[None]], asleep: Callable[[], bool], wanted: Callable[[], bool]
    ) -> None:
        self._model = model
        self._call = call
        self._asleep = asleep
        self._wanted = wanted
        self._task: asyncio.Task[None] | None = None

    def ring(self) -> None:
        """Somebody is about to wait."""
        if self._asleep() and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._hold(), name=f"wake-{self._model}")

    @property
    def ringing(self) -> bool:
        """Whether an engine is being called for, and none has come."""
        return self._task is not None and not self._task.done() and self._asleep() and self._wanted()

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _hold(self) -> None:
        log.info("model_woken", model=self._model)
        while self._asleep() and self._wanted():
            call = asyncio.ensure_future(self._call())
            while not call.done() and self._asleep() and self._wanted():
                await asyncio.wait([call], timeout=RETRY_S)
            if not call.done():
                call.cancel()
            elif not call.cancelled() and (error := call.exception()) is not None:
                log.warning("waking_failed", model=self._model, error=type(error).__name__)
            await asyncio.sleep(RETRY_S)
