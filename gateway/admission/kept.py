"""Sequences that tenants below their share have just left. Whoever works through a list asks again at once, and shall not find
its place taken by a flood; so it is kept for a moment.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.admission.ledger import Tenant

KEPT_S = 0.1


class Kept:
    """Every operation is O(1), amortized."""

    def __init__(self) -> None:
        self._sequences = 0
        self._left: deque[tuple[float, Tenant, int]] = deque()

    def leave(self, tenant: Tenant, sequences: int, now: float) -> None:
        self.sequences(now)  # What is kept no longer is forgotten, though nobody may ever wait and ask.
        self._left.append((now + KEPT_S, tenant, sequences))
        tenant.left += sequences
        tenant.kept += sequences
        self._sequences += sequences

    def take(self, tenant: Tenant, sequences: int) -> None:
        """The tenant starts so many, in what was kept for it as far as that goes."""
        self._free(tenant, min(sequences, tenant.kept))

    def sequences(self, now: float) -> int:
        while self._left and self._left[0][0] <= now:
            _, tenant, sequences = self._left.popleft()
            tenant.left -= sequences
            self._free(tenant, max(0, tenant.kept - tenant.left))
        return self._sequences

    def until(self, now: float) -> float | None:
        """When some of them may be free for anybody."""
        return self._left[0][0] if self.sequences(now) else None

    def _free(self, tenant: Tenant, sequences: int) -> None:
        tenant.kept -= sequences
        self._sequences -= sequences
