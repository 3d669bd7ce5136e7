"""What a gateway learns of one finished request, and who made it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from random import Random
from typing import Protocol

DAY_S = 86_400.0
Message = tuple[str, str]


class Split(IntEnum):
    """No tenant and no template of one part is in another."""

    TRAIN = 0
    CALIBRATION = 1
    TEST = 2

    def of(self, pieces: tuple[str, ...]) -> tuple[str, ...]:
        """This part's share of the pieces that templates are made of."""
        return pieces[self :: len(Split)]


@dataclass(frozen=True, slots=True)
class Settings:
    """Sampling fields as a client sends them; `max_tokens` is its bound, not what came back."""

    max_tokens: int = 512
    temperature: float = 1.0
    top_p: float = 1.0
    n: int = 1
    seed: int | None = None
    top_logprobs: int = 0
    tools: bool = False
    user: str = ""


@dataclass(frozen=True, slots=True)
class Draft:
    """A request without its sender. `second` of the day; (role, text) messages; `completion_tokens` of all n answers.

    `answer` is the text that came back where a later request repeats it as history. `harvest`: the answer is what an attack is
    after; its cover traffic is not.
    """

    second: float
    messages: tuple[Message, ...]
    settings: Settings
    completion_tokens: int
    answer: str = ""
    harvest: bool = False

    @property
    def finish(self) -> str:
        return "length" if self.completion_tokens >= self.settings.max_tokens * self.settings.n else "stop"


@dataclass(frozen=True, slots=True)
class Call:
    """`at` in seconds since the world began; `draft.harvest` and `sender.attack` are the truth, which no guard may read."""

    at: float
    sender: "Sender"
    draft: Draft

    @property
    def prompt_tokens(self) -> int:
        """Four characters to a token."""
        return sum(len(text) for _, text in self.draft.messages) // 4 + 4 * len(self.draft.messages)


@dataclass(frozen=True, slots=True)
class Sender:
    """One API key. `address` and `client` (the SDK's words) are what the network shows of it."""

    key: str
    tenant: str
    family: str
    attack: bool
    address: str
    client: str


class Habit(Protocol):
    """How one tenant uses the API: a template drawn once, and days of traffic made from it."""

    def day(self, rng: Random, number: int) -> Iterator[Draft]:
        """The requests of day `number`, in any order."""


@dataclass(slots=True)
class Clock:
    """Seconds of the day for the next requests of one client."""

    rng: Random
    now: float = field(default=0.0)

    def batch(self, per_s: float) -> float:
        """A script that keeps `per_s` requests going."""
        self.now += self.rng.gammavariate(4.0, 1.0 / (4.0 * per_s))
        return self.now

    def think(self, median_s: float) -> float:
        """A person who reads and types."""
        self.now += median_s * self.rng.lognormvariate(0.0, 0.8)
        return self.now


def office_hour(rng: Random) -> float:
    """A second of the day, most often in the morning or the afternoon."""
    peak = rng.choice((10.0, 14.5, 16.0))
    return min(max(rng.gauss(peak, 2.2), 0.2), 23.0) * 3600.0


def any_hour(rng: Random) -> float:
    """A second of the day, for users all over the world."""
    return rng.uniform(0.0, DAY_S)


def size(rng: Random, median: float, least: int, most: int, spread: float = 0.7) -> int:
    """A log-normal count between two bounds."""
    return int(min(max(median * rng.lognormvariate(0.0, spread), least), most))
