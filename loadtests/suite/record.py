"""What is kept of each request, and how it travels from a worker to the master."""

import array
from collections.abc import Iterable
from enum import StrEnum

import msgspec


class Outcome(StrEnum):
    """`RIGHT`: as it should be, an expected error included. `REFUSED`: told to come again later. `LEFT`: by the client.

    `UNSERVED`: a request whose last attempt was refused, and the run was over before it was told to come again.
    """

    RIGHT = "right"
    REFUSED = "refused"
    LEFT = "left"
    FAILED = "failed"
    UNSERVED = "unserved"


class Record(msgspec.Struct, array_like=True, frozen=True):
    """One attempt. Times in seconds; `at` is Unix time of its request's intended start, from which the others count.

    `sent_s`: when this attempt was sent. `lag_s`: how late that was, a Retry-After granted. `queue_s`: what the gateway says that
    it waited. `gaps`: seconds between token events, as packed 32-bit floats. `judged`: it counts for objectives of latency.
    `resent`: see Exchange. `called`: whether an answer that should call a tool did; None for all others.
    """

    at: float
    persona: str
    outcome: Outcome
    status: int
    judged: bool
    lag_s: float
    e2e_s: float
    ttft_s: float | None = None
    queue_s: float | None = None
    prompt_tokens: int = 0
    tokens: int = 0
    gaps: bytes = b""
    problem: str = ""
    sent_s: float = 0.0
    resent: bool = False
    called: bool | None = None

    @property
    def gaps_s(self) -> list[float]:
        return array.array("f", self.gaps).tolist()

    @property
    def ended(self) -> float:
        return self.at + self.e2e_s


def packed(gaps_s: Iterable[float]) -> bytes:
    return array.array("f", gaps_s).tobytes()


class Journal:
    """Records in the order in which their requests ended. A worker's is drained into each of its reports."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def drain(self) -> bytes:
        packed_records, self.records = msgspec.msgpack.encode(self.records), []
        return packed_records

    def take(self, packed_records: bytes) -> None:
        self.records += msgspec.msgpack.decode(packed_records, type=list[Record])


class Run(msgspec.Struct):
    """What a run leaves behind for the report. Unix times; `steps`: (users, begin, end) of a ramp."""

    begin: float
    end: float
    records: list[Record]
    steps: list[tuple[int, float, float]] = []


JOURNAL = Journal()
"""Of this process."""
