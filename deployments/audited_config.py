"""A configuration that is put in force, in the audit trail: gateways are told neither its models nor its secrets, and run on when
those change.
"""

import hashlib
from pathlib import Path

from gateway.audit.log import AuditLog
from gateway.audit.record import AuditError, Event
from gateway.config import Config

DURABLE_S = 10.0


def record(config: Config, secrets: Path | None) -> None:
    """`secrets`: the file they were left in; others have another one. Raises AuditError if the record is not durable."""
    folder, vault = config.audit_folders
    digest = hashlib.sha256(config.model_dump_json().encode()).hexdigest()[:32]
    with AuditLog.open(folder, "cli", vault) as log:
        told = log.submit(
            Event.CONFIG_LOADED,
            digest=digest,
            file=None if secrets is None else secrets.name,
            models=[model.name for model in config.models],
            through="up",
        )
        try:
            told.result(DURABLE_S)
        except TimeoutError as exc:
            raise AuditError(f"The record could not be made durable: {log.problem}") from exc
