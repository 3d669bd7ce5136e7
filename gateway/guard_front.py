"""The guard of one gateway, put together from the configuration: its store, its thread, its place at the door, its voice."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final

from prometheus_client import CollectorRegistry

from gateway.audit.record import AuditError, Event
from gateway.config import Config
from gateway.config.guard import Level as LevelName
from gateway.errors import ConfigError
from gateway.guard.accounts import ACCOUNT, Accounts
from gateway.guard.calibration import Calibration
from gateway.guard.detector import Detector, DetectorSettings
from gateway.guard.file_store import FileStore
from gateway.guard.guard import Guard, told
from gateway.guard.leak_budgets import Denied, LeakBudgets
from gateway.guard.leaks import Shape
from gateway.guard.redis_store import RedisStore
from gateway.guard.response import Rules
from gateway.guard.slots import Slot
from gateway.guard.store import GuardStore, GuardStoreUnavailable
from gateway.guard.throttle import Throttle
from gateway.guard.verdict import Change, Level
from gateway.guard.webhook import Webhook
from gateway.http.guarding import EXCLUSION, PROMPTS, Guarding
from gateway.telemetry.guard_metrics import GuardMetrics, GuardReading

LEAKS_S: Final = 10.0
STORE_S: Final = 10.0
"""For an answer of the guard's Redis, at least: only who asks for what leaks waits for it, and is refused without it. A Redis
that shares two cores with an engine that starts has waited up to 2.7 s for its turn."""
DURABLE_S: Final = 5.0
HOUR_S: Final = 3600.0

Record = Callable[..., Future[int] | None]
"""Takes an event and its fields, and loses none."""

log = logging.getLogger(__name__)


class GuardFront:
    """`record` takes audit events. Nothing is opened before `open`."""

    def __init__(self, config: Config, salt: Callable[[str], str], registry: CollectorRegistry, record: Record) -> None:
        self._settings, self._folder = config.gateway.guard, config.state_dir
        self._slot: Slot | None = None
        self._record = record
        self._store = _store(config)
        accounts = Accounts(self._settings.links)
        self._guard = Guard(_detector(config, salt("\0guard")), self._store, self._on_change, self._settings.queue)
        shares = {name: tenant.leak_share for name, tenant in self._settings.tenants.items() if tenant.leak_share}
        self._leaks = LeakBudgets(self._store, accounts, self._settings.leak_share, shares, self._settings.secret)
        webhook = self._settings.webhook
        self._webhook = None if webhook is None else Webhook(webhook.get_secret_value())
        self._leaked: list[dict[str, Any]] = []
        levels = [level.label for level in Level if level > Level.OBSERVE]
        self._metrics = GuardMetrics(
            registry, config.tiers, levels, (*levels, EXCLUSION, PROMPTS, *Denied), self._reading
        )
        allowed, gateways = self._settings.throttle, config.gateway.replicas
        throttle = Throttle(allowed.requests_per_minute / gateways, allowed.concurrency, allowed.share / gateways)
        self.guarding = Guarding(self._settings, self._guard, self._leaks, throttle, self._metrics)

    @property
    def warnings(self) -> list[str]:
        """What is served in spite of."""
        if self._settings.unsafe_open_surface:
            return ["unsafe_open_surface: the guard is off, request fields are not checked"]
        return [problem for problem in (self._guard.problem, self._leaks.problem) if problem is not None]

    async def open(self) -> None:
        if not self._settings.unsafe_open_surface:
            self._slot = Slot(self._folder)
            await asyncio.to_thread(self._guard.open, self._slot.name)

    async def run(self) -> None:
        """Never returns: keeps what is told about leaks fresh."""
        while True:
            try:
                self._leaked = await self._leaks.used()
            except GuardStoreUnavailable as exc:
                log.warning("guard: leak budgets cannot be read: %s", exc)
            await asyncio.sleep(LEAKS_S)

    async def close(self) -> None:
        await asyncio.to_thread(self._guard.close)
        await asyncio.to_thread(self._leaks.close)
        await asyncio.to_thread(self._store.close)
        if self._slot is not None:
            self._slot.close()

    def know(self, shape: Shape) -> None:
        self._leaks.know(shape)

    def status(self) -> dict[str, Any]:
        return self._guard.status() | {
            "open_surface": self._settings.unsafe_open_surface,
            "enforce": self._settings.enforce,
            "warnings": self.warnings,
            "leaks": self._leaked,
        }

    def explain(self, key: str) -> dict[str, Any] | None:
        return self._guard.explain(key)

    def release(self, key: str) -> str | None:
        before = self._guard.release(key)
        return None if before is None else before.label

    def _on_change(self, change: Change) -> None:
        verdict = change.verdict
        fields = {
            "key": change.key,
            "tenant": change.tenant,
            "level": verdict.level.label,
            "previous": change.before.label,
            "mode": "applied" if verdict.applied == verdict.level else "shadow",
            "score": round(verdict.score, 2),
            "reason": [reason.feature for reason in verdict.reasons],
        }
        if change.released:
            self._durable(self._record(Event.RELEASED, **fields))
            return
        self._record(Event.LEVEL_CHANGED, **fields)
        if verdict.level is Level.QUARANTINE:
            self._record(Event.QUARANTINED, **fields)
        if self._webhook is not None and verdict.level >= Level.VERIFY and verdict.level > change.before:
            self._webhook.tell({"event": "guard.level", "key": change.key, "tenant": change.tenant} | told(verdict))

    @staticmethod
    def _durable(record: Future[int] | None) -> None:
        """An operator hears of an act when its record is durable. The act holds without it: `/readyz` tells what keeps it."""
        try:
            if record is not None:
                record.result(DURABLE_S)
        except (TimeoutError, AuditError):
            log.exception("guard: a release is not in the audit trail after %.0f s", DURABLE_S)

    def _reading(self) -> GuardReading:
        tiers = self.guarding.tiers
        keys = Counter(
            (self._metrics.tier(tiers.get(key, "")), verdict.level.label)
            for key, verdict in self._guard.flagged().items()
            if not key.startswith(ACCOUNT)
        )
        leaked = dict.fromkeys(self._leaks.models, 0.0)
        for row in self._leaked:
            if row["model"] is not None:
                leaked[row["model"]] = max(row["share_of_output_layer"], leaked.get(row["model"], 0.0))
        guard = self._guard
        up, off = guard.problem is None, self._settings.unsafe_open_surface
        return GuardReading(keys, leaked, guard.seen, guard.dropped, up, off)


def _store(config: Config) -> GuardStore:
    """Where the limits are shared, the guard's state is too."""
    if config.limits.redis is None:
        return FileStore(config.state_dir / "guard.sqlite")
    return RedisStore(config.limits.redis.get_secret_value(), max(STORE_S, config.limits.timeout_ms / 1000))


def _detector(config: Config, secret: str) -> Detector:
    settings = config.gateway.guard
    try:
        table = Calibration.load(settings.calibration)
    except (OSError, ValueError, KeyError) as exc:
        raise ConfigError(None, "gateway.guard.calibration", f"{settings.calibration} cannot be used: {exc}") from exc
    general = _rules(config, settings.enforce)
    own = {name: _rules(config, tenant.enforce) for name, tenant in settings.tenants.items() if tenant.enforce}
    return Detector(
        DetectorSettings(
            rules=general,
            tenants=own,
            trusted=frozenset(name for name, tenant in settings.tenants.items() if tenant.trusted),
            links=settings.links,
            thresholds={Level[name.upper()]: value for name, value in settings.thresholds.items()},
        ),
        table,
        secret.encode(),
    )


def _rules(config: Config, enforce: LevelName) -> Rules:
    settings = config.gateway.guard
    return Rules(Level[enforce.upper()], settings.clean_hours * HOUR_S, settings.quarantine_hours * HOUR_S)
