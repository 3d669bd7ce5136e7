"""What the console shows, gathered from the parts of one gateway."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import structlog

from gateway.audit.tail import tail
from gateway.config import Config
from gateway.console.app import ConsoleApp
from gateway.console.callers import Callers
from gateway.console.history import STEP_S, Gauges, History
from gateway.console.recent import Recent
from gateway.drift_feed import DriftFeed
from gateway.errors import InvalidRequest, UnknownRoute
from gateway.http.asgi import Headers
from gateway.http.door import Caller, Door
from gateway.limits.opening import policies
from gateway.limits.readings import read_budgets
from gateway.limits.store import BudgetStore, StoreUnavailable
from gateway.model_front import ModelFront
from gateway.neighbours import neighbours
from gateway.telemetry.telemetry import Telemetry

MOST_AUDITED: Final = 50
MOST_TENANTS: Final = 50
MOST_BUDGETS: Final = 20
BUDGETS_S: Final = 4.0

log = structlog.get_logger(__name__)
Query = Mapping[str, str]


class ConsoleFeed:
    """`app` answers below /console; `run` never returns. `status` is what /status shows, `drift` may come later than this."""

    def __init__(
        self,
        config: Config,
        door: Door,
        telemetry: Telemetry,
        fronts: Sequence[ModelFront],
        authenticate: Callable[[Headers], Caller],
        status: Callable[[], dict[str, Any]],
        drift: Callable[[], DriftFeed | None],
        budgets: BudgetStore,
    ) -> None:
        self._config, self._telemetry, self._fronts = config, telemetry, fronts
        self._status, self._drift = status, drift
        self._budgets, self._policies = budgets, policies(config.limits)
        self._used: tuple[float, list[dict[str, Any]] | None] = (float("-inf"), None)
        self._started = time.time()
        self._recent = Recent()
        self._callers = Callers()
        self._history = History(self._read)
        telemetry.recorder.on_end += [self._recent.ended, self._history.ended, self._callers.ended]
        reads = {"snapshot": self._snapshot, "trace": self._trace, "audit": self._audit}
        self.app = ConsoleApp(authenticate, door, self._recent.want, reads, {"relearn": self._relearn})

    async def run(self) -> None:
        while True:
            self._history.tick(time.monotonic(), time.time())
            await asyncio.sleep(STEP_S)

    async def _snapshot(self, query: Query) -> dict[str, Any]:
        """`since`: the number of the last point that the page has got."""
        since = query.get("since", "0")
        if not since.isdecimal():
            raise InvalidRequest("'since' must be a whole number.", param="since")
        return {
            "now": time.time(),
            "started": self._started,
            "status": self._status(),
            "history": self._history.since(int(since)),
            "requests": self._recent.rows(time.monotonic()),
            "tenants": self._callers.rows(time.monotonic())[:MOST_TENANTS],
            "budgets": await self._budgets_used(time.monotonic()),
            "gateways": await asyncio.to_thread(neighbours, self._config.state_dir),
        }

    async def _budgets_used(self, now: float) -> list[dict[str, Any]] | None:
        """Of the tenants seen last, asked of the store now and then; None while it does not answer."""
        if now - self._used[0] >= BUDGETS_S:
            try:
                found = await read_budgets(self._budgets, self._policies, self._callers.latest(MOST_BUDGETS))
                self._used = now, [reading._asdict() for reading in found]
            except StoreUnavailable:
                self._used = now, None
        return self._used[1]

    async def _trace(self, query: Query) -> dict[str, Any]:
        found = self._recent.trace(query.get("id", ""))
        if found is None:
            raise UnknownRoute("This gateway knows no such request, or it is not over yet.")
        return found

    async def _audit(self, _query: Query) -> list[dict[str, Any]]:
        folder, _ = self._config.audit_folders
        return await asyncio.to_thread(tail, folder, MOST_AUDITED)

    async def _relearn(self, query: Query) -> dict[str, Any]:
        model, drift = query.get("model", ""), self._drift()
        if drift is None or not await asyncio.to_thread(drift.watch.relearn, model):
            raise UnknownRoute("Nothing is known of this model's drift.")
        log.warning("drift_relearns", model=model, reason="an operator said so")
        return {"model": model}

    def _read(self) -> dict[str, Gauges]:
        return {front.spec.name: self._gauges(front) for front in self._fronts}

    def _gauges(self, front: ModelFront) -> Gauges:
        status, engines = front.admission.status(), front.pool.roster.channels
        use = max((channel.load.kv_use for channel in engines), default=0.0)
        return Gauges(status.running, status.waiting, use, self._telemetry.steps.cumulative(front.spec.name))
