"""Keys made and revoked with a durable record of it."""

from types import TracebackType
from typing import Self

from gateway.audit.log import AuditLog
from gateway.audit.record import AuditError, Event
from gateway.auth.keys import KeyRecord
from gateway.auth.store import KeyStore
from gateway.config import Config

DURABLE_S = 10.0


class AuditedKeys:
    """No key is handed out that the audit trail does not know of; a revocation holds, whatever becomes of its record."""

    def __init__(self, log: AuditLog, store: KeyStore, through: str) -> None:
        self._log, self._store, self._through = log, store, through

    @classmethod
    def open(cls, config: Config, store: KeyStore, through: str) -> Self:
        """Raises AuditError if nothing could be recorded."""
        folder, vault = config.audit_folders
        return cls(AuditLog.open(folder, "cli", vault), store, through)

    def create(
        self, *, name: str, tenant: str, tier: str, scopes: frozenset[str], now: float, expires: float | None
    ) -> tuple[KeyRecord, str]:
        record, plaintext = self._store.create(
            name=name, tenant=tenant, tier=tier, scopes=scopes, now=now, expires=expires
        )
        try:
            self._tell(Event.KEY_CREATED, record)
        except BaseException:
            self._store.revoke(record.id, now)
            raise
        return record, plaintext

    def revoke(self, key_id: str, now: float) -> KeyRecord:
        record = self._store.revoke(key_id, now)
        self._tell(Event.KEY_REVOKED, record)
        return record

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._log.close()

    def _tell(self, event: Event, record: KeyRecord) -> None:
        told = self._log.submit(
            event,
            key=record.id,
            tenant=record.tenant,
            tier=record.tier,
            scopes=sorted(record.scopes),
            expires=record.expires,
            through=self._through,
        )
        try:
            told.result(DURABLE_S)
        except TimeoutError as exc:
            raise AuditError(f"The record could not be made durable: {self._log.problem}") from exc
