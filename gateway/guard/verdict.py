"""What the guard has decided about a key: the only part of it that a request waits for, and it is one look-up."""

from enum import IntEnum
from typing import Final, NamedTuple


class Level(IntEnum):
    """Each level contains those below it.

    OBSERVE     nothing is done
    STRIP       no logprobs are returned, and `n` is capped
    THROTTLE    few requests per minute, few at the same time
    VERIFY      requests are refused until the operator has spoken with the client
    QUARANTINE  as VERIFY, with an audit record of its own; ends only by release or after its time
    """

    OBSERVE = 0
    STRIP = 1
    THROTTLE = 2
    VERIFY = 3
    QUARANTINE = 4

    @property
    def label(self) -> str:
        return self.name.lower()


class Reason(NamedTuple):
    """One feature's part in a score; `value` is the feature itself, `usual` the benign median."""

    feature: str
    points: float
    value: float
    usual: float


class Verdict(NamedTuple):
    """`level` is what the evidence says, `applied` what is done: less in shadow mode. `since`: seconds since the epoch. `pace`: the
    key's requests per second on the day that it was raised to THROTTLE or above, before that; 0 if that is not known.
    """

    level: Level = Level.OBSERVE
    applied: Level = Level.OBSERVE
    score: float = 0.0
    reasons: tuple[Reason, ...] = ()
    since: float = 0.0
    pace: float = 0.0


CLEAR: Final = Verdict()


class Change(NamedTuple):
    """A key moved from one level to another; `released`: by an operator's word."""

    key: str
    tenant: str
    before: Level
    verdict: Verdict
    at: float
    released: bool = False
