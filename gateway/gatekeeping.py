"""What a gateway grants and what it records of that: its limits and its audit trail, opened and closed together."""

import asyncio
import hashlib
from concurrent.futures import Future
from typing import Any

import structlog
from prometheus_client import CollectorRegistry

from gateway.audit.chain import Retention
from gateway.audit.log import AuditLog
from gateway.audit.record import Event
from gateway.audit.repeats import PERIOD_S, Repeats
from gateway.config import Config
from gateway.errors import SluiceError
from gateway.http.decisions import Asker, cut, decision
from gateway.http.metering import Meters
from gateway.limits.opening import open_limiter, policies
from gateway.limits.verdict import Reason
from gateway.telemetry.limit_metrics import LimitMetrics, StoreReading

log = structlog.get_logger(__name__)


class Gatekeeping:
    """Nothing is recorded before `open` and after `close`."""

    def __init__(self, config: Config, gateway_id: str, registry: CollectorRegistry) -> None:
        self._config, self._gateway_id = config, gateway_id
        self.limiter = open_limiter(config.limits, config.gateway.replicas)
        watcher = LimitMetrics(registry, config.tiers, tuple(Reason), self._read)
        self.meters = Meters(self.limiter, policies(config.limits), config.limits.trusted_proxies, watcher)
        self.audit: AuditLog | None = None
        self._repeats: Repeats | None = None
        self._telling: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Raises AuditError if the trail cannot be opened."""
        self.audit = await asyncio.to_thread(_open_audit, self._config)
        self._repeats = Repeats(self.audit)
        digest = hashlib.sha256(self._config.model_dump_json().encode()).hexdigest()[:32]
        self.audit.record(Event.CONFIG_LOADED, digest=digest, gateway=self._gateway_id)
        self.limiter.open()
        self._telling = asyncio.create_task(self._tell(self._repeats))
        if self._config.gateway.haproxy.enabled and self._config.limits.address:
            log.warning("limits_by_address_unavailable", behind="haproxy", reason="it tells no client address")

    async def close(self) -> None:
        """Once no request runs any more."""
        if self.audit is None or self._repeats is None or self._telling is None:
            return
        self._telling.cancel()
        await self.limiter.close()
        self._repeats.tell(everything=True)
        await asyncio.to_thread(self.audit.close)

    def record(self, event: Event, **fields: object) -> None:
        """Returns at once; beyond the pace of its kind it is only counted."""
        if self.audit is not None:
            self.audit.record(event, gateway=self._gateway_id, **fields)

    def submit(self, event: Event, **fields: object) -> Future[int] | None:
        """What the guard or an operator does, never only counted: done once it is durable. None before `open`."""
        return None if self.audit is None else self.audit.submit(event, gateway=self._gateway_id, **fields)

    def on_poisoned(self, model: str, request_id: str, deaths: int) -> None:
        log.error("request_poisoned", model=model, request_id=request_id, engines=deaths)
        self.record(Event.REQUEST_POISONED, model=model, request=request_id, count=deaths)

    def on_error(self, error: SluiceError, path: str, asker: Asker) -> None:
        """Every error that a client is told."""
        if self._repeats is not None and (made := decision(error, path, asker)) is not None:
            self._repeats.record(*made)

    def on_cut(self, reason: str, path: str, asker: Asker) -> None:
        """Every answer that ends where a budget does."""
        if self._repeats is not None:
            self._repeats.record(*cut(reason, path, asker))

    def warnings(self) -> list[str]:
        """What is wrong, and does not keep the gateway from serving."""
        audit = None if self.audit is None else self.audit.problem
        return [problem for problem in (self.limiter.problem, audit) if problem is not None]

    def status(self) -> dict[str, Any]:
        """Of the limits, as `sluice status` shows it."""
        limits = self._config.limits
        return {
            "store": "this process" if limits.redis is None else "redis",
            "problem": self.limiter.problem,
            "open_reservations": self.limiter.open_reservations,
            "outage": limits.outage,
            "tiers": sorted(limits.tiers),
            "by_address": _by_address(self._config),
        }

    async def _tell(self, repeats: Repeats) -> None:
        while True:
            await asyncio.sleep(PERIOD_S / 4)
            repeats.tell()

    def _read(self) -> StoreReading:
        audited = self.audit is not None and self.audit.problem is None
        return StoreReading(self.limiter.problem is None, audited)


def _by_address(config: Config) -> str:
    """HAProxy does not tell from whom its requests come."""
    if not config.limits.address:
        return "none"
    haproxy = config.gateway.haproxy.enabled
    return "at the gateway's own port; unavailable behind HAProxy" if haproxy else "all requests"


def _open_audit(config: Config) -> AuditLog:
    settings, (folder, vault) = config.audit, config.audit_folders
    retention = Retention(
        settings.rotate_size, settings.rotate_hours * 3600, settings.keep_days * 86400, settings.keep_files
    )
    return AuditLog.open(folder, "gateway", vault, retention=retention)
