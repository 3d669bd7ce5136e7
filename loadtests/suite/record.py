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
    `changed`: another text than the first time. `called`: whether an answer that should call a tool did; None for all others.
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
    called: bool | None = None
    changed: bool = False

    @property
    def gaps_s(self) -> list[float]:
        return array.array("f", self.gaps).tolist()

    @property
    def tokens_per_s(self) -> float | None:
        """Between its first and its last token; None where there is no time between. An event may have several tokens."""
        gaps = self.gaps_s
        return max(self.tokens - 1, len(gaps)) / sum(gaps) if any(gaps) else None

    @property
    def ended(self) -> float:
        return self.at + self.e2e_s


def packed(gaps_s: Iterable[float]) -> bytes:
    return array.array("f", gaps_s).tobytes()


class Journal:
    """Records in the order in which their requests ended, and how many turns users have begun. A worker's is drained into each of
    its reports.
    """

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.turns = 0

    def clear(self) -> None:
        self.records, self.turns = [], 0

    def drain(self) -> bytes:
        packed_journal = msgspec.msgpack.encode((self.turns, self.records))
        self.clear()
        return packed_journal

    def take(self, packed_journal: bytes) -> None:
        turns, records = msgspec.msgpack.decode(packed_journal, type=tuple[int, list[Record]])
        self.turns += turns
        self.records += records


class Run(msgspec.Struct):
    """What a run leaves behind for the report. Unix times; `steps`: (users, begin, end) of a ramp. `load_s`: seconds until users
    were told to stop. `missing`: workers that were there at the begin and whose last records never came.
    """

    begin: float
    end: float
    records: list[Record]
    steps: list[tuple[int, float, float]] = []
    load_s: float = 0.0
    turns: int = 0
    missing: int = 0


JOURNAL = Journal()
"""Of this process."""
