"""What of the guard outlives a process and is shared by gateways; `tests/gateway/guard/test_stores.py` is the contract.

Meters are exact: a charge is taken in one atomic step or not at all, and what is unknown counts as taken. Rows are
sketches and standings: each writer has its own row for a subject, so that nobody overwrites another's.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from gateway.errors import OperatorError
from gateway.guard.leaks import Charge


class GuardStoreUnavailable(OperatorError):
    """The store cannot be asked at the moment; whether the step was taken is unknown."""


class Row(NamedTuple):
    """`day` counts days since the epoch; rows of past days are swept."""

    subject: str
    writer: str
    day: int
    blob: bytes


class GuardStore(Protocol):
    """Called from threads of the guard's own; every method may block for a while, and may raise GuardStoreUnavailable."""

    @property
    def durable(self) -> bool:
        """Whether what it holds outlives this process."""
        ...

    def reserve(self, meter: str, charge: Charge, limit: Charge, others: Sequence[str] = ()) -> bool:
        """Charges the meter if it and the others together then stay within the limit in both its parts."""
        ...

    def inherit(self, meter: str, former: str) -> None:
        """A meter that does not exist yet begins with what the former holds, if that exists; one that does stays as it is."""
        ...

    def give_back(self, meter: str, charge: Charge) -> None: ...

    def settings(self, meter: str, setting: str, most: int) -> frozenset[str]:
        """The first `most` settings that the meter was ever asked about, this one among them if there was room."""
        ...

    def meters(self) -> dict[str, Charge]: ...

    def write(self, rows: Sequence[Row]) -> None: ...

    def read(self, since: int) -> tuple[list[Row], int]:
        """Rows written after the mark `since`, and the mark to go on from; 0 reads them all."""
        ...

    def sweep(self, before_day: int) -> None: ...

    def close(self) -> None: ...
