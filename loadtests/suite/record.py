"""What is kept of each request, and how it travels from a worker to the master."""

import array
from collections.abc import Iterable
from enum import StrEnum

import msgspec


class Outcome(StrEnum):
    """`RIGHT`: as it should be, an expected error included. `REFUSED`: told to come again later. `LEFT`: by the client."""

    RIGHT = "right"
    REFUSED = "refused"
    LEFT = "left"
    FAILED = "failed"


class Record(msgspec.Struct, array_like=True, frozen=True):
    """One attempt. Times in seconds; `at` is Unix time of its intended start, from which `ttft_s` and `e2e_s` count.

    `lag_s`: how late it was sent, a Retry-After granted. `queue_s`: what the gateway says that it waited. `gaps`: seconds between
    token events, as packed 32-bit floats. `judged`: it counts for objectives of latency.
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
