"""`sluice keys list`."""

from collections.abc import Iterable
from datetime import UTC, datetime

from rich.table import Table

from gateway.auth.keys import KeyRecord


def key_table(records: Iterable[KeyRecord], now: float) -> Table:
    table = Table(box=None)
    for head in ("id", "name", "tenant", "tier", "scopes", "created (UTC)", "state (UTC)"):
        table.add_column(head, overflow="fold")
    for key in records:
        scopes = " ".join(sorted(key.scopes))
        table.add_row(key.id, key.name, key.tenant, key.tier, scopes, _day(key.created), _state(key, now))
    return table


def _state(key: KeyRecord, now: float) -> str:
    if key.revoked is not None:
        return f"revoked {_day(key.revoked)}"
    if key.expires is None:
        return "active"
    return f"expired {_day(key.expires)}" if key.expires <= now else f"until {_day(key.expires)}"


def _day(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):  # a key of an older version, whose days nobody had bounded
        return "beyond all dates"
