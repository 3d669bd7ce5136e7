"""Who uses this gateway: each tenant's requests since its start. Bounded: the tenants not seen for longest are forgotten."""

from dataclasses import dataclass, field
from typing import Any, Final

from gateway.telemetry.record import Outcome, RequestRecord

MOST_TENANTS: Final = 500
MOST_KEYS: Final = 50


@dataclass
class _Tenant:
    """`keys`: when each was last seen, with its tier."""

    outcomes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(Outcome, 0))
    prompt_tokens: int = 0
    completion_tokens: int = 0
    last: float = 0.0
    keys: dict[str, str] = field(default_factory=dict)


class Callers:
    """`ended` is told of every request; one that nobody authenticated is nobody's."""

    def __init__(self) -> None:
        self._tenants: dict[str, _Tenant] = {}

    def ended(self, record: RequestRecord) -> None:
        if not record.tenant:
            return
        tenant = self._tenants.pop(record.tenant, None)
        if tenant is None:
            tenant = _Tenant()
        self._tenants[record.tenant] = tenant
        tenant.outcomes[record.outcome] += 1
        tenant.prompt_tokens += record.totals.prompt_tokens
        tenant.completion_tokens += record.totals.completion_tokens
        tenant.last = record.ended
        tenant.keys.pop(record.key, None)
        tenant.keys[record.key] = record.tier
        if len(tenant.keys) > MOST_KEYS:
            del tenant.keys[next(iter(tenant.keys))]
        if len(self._tenants) > MOST_TENANTS:
            del self._tenants[next(iter(self._tenants))]

    def latest(self, most: int) -> list[tuple[str, dict[str, str]]]:
        """The tenants seen last, each with its keys and their tiers."""
        return [(name, dict(tenant.keys)) for name, tenant in reversed(list(self._tenants.items())[-most:])]

    def rows(self, now: float) -> list[dict[str, Any]]:
        """The tenant seen last first. `now` is of `time.monotonic`."""
        return [
            {
                "tenant": name,
                "tiers": sorted(set(tenant.keys.values())),
                "keys": list(reversed(tenant.keys)),
                "outcomes": tenant.outcomes,
                "prompt_tokens": tenant.prompt_tokens,
                "completion_tokens": tenant.completion_tokens,
                "ago_s": round(now - tenant.last, 1),
            }
            for name, tenant in reversed(self._tenants.items())
        ]
