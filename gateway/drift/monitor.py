"""One model's drift: its reference, the latest requests of each of its versions, and which signals have moved away.

An alert is raised, and ended, by `confirm` comparisons in a row, so that no single one is trusted; it ends too when its version
has had no request for as long as the present lasts, since nobody is asked or answered in that way any more.
"""

from typing import Final, NamedTuple

import numpy as np

from gateway.drift.distances import Distance, ks, mmd, psi
from gateway.drift.features import FINISHES, SAMPLE, Samples
from gateway.drift.reference import Reference, Season
from gateway.drift.scripts import CLASSES

SIGNALS: Final = ("prompt_tokens", "output_tokens", "language", "refusals", "finish", "prompts")
MOST_VERSIONS: Final = 4
REFUSAL_PSI: Final = 0.1


class Rules(NamedTuple):
    """`window` requests of at most `window_s` seconds ago are the present; fewer than the season's `least` are not judged."""

    season: Season
    window: int
    window_s: float
    confirm: int


class Reading(NamedTuple):
    """One comparison of a version's present with the reference. `distances` is empty while that is not possible; `alerts` are
    the signals whose drift has been confirmed; `present` and `normal` describe both sides.
    """

    version: str
    samples: int
    distances: dict[str, Distance]
    alerts: frozenset[str]
    present: dict[str, object]
    normal: dict[str, object]


class Window:
    """The latest requests of one version, in a ring, and the streaks of its signals: how often in a row they looked otherwise."""

    def __init__(self, size: int) -> None:
        self.rows: Samples = np.zeros(size, dtype=SAMPLE)
        self.taken = 0
        self.streaks = dict.fromkeys(SIGNALS, 0)
        self.alerts: set[str] = set()

    def add(self, row: Samples) -> None:
        self.rows[self.taken % len(self.rows)] = row[0]
        self.taken += 1

    def since(self, then: float) -> Samples:
        rows = self.rows[: min(self.taken, len(self.rows))]
        latest: Samples = rows[rows["at"] >= then]
        return latest

    def judge(self, distances: dict[str, Distance], confirm: int) -> None:
        for signal, distance in distances.items():
            self.streaks[signal] = self.streaks[signal] + 1 if distance.drifted != (signal in self.alerts) else 0
            if self.streaks[signal] >= confirm:
                self.streaks[signal] = 0
                self.alerts ^= {signal}

    def rest(self) -> None:
        """There is nothing to judge any more."""
        self.streaks = dict.fromkeys(SIGNALS, 0)
        self.alerts.clear()


class Monitor:
    """`add` takes each sampled request, `evaluate` compares. Not for two threads at a time.

    `relearned`: when it was told to forget what was normal.
    """

    def __init__(self, rules: Rules, rng: np.random.Generator) -> None:
        self.rules = rules
        self._rng = rng
        self.reference = Reference(rules.season)
        self.windows: dict[str, Window] = {}
        self.relearned = 0.0

    def add(self, version: str, row: Samples, now: float) -> None:
        """A row of SAMPLE."""
        self.reference.learn(row, version, now, self._rng)
        window = self.windows.pop(version, None) or Window(self.rules.window)
        self.windows[version] = window
        window.add(row)
        while len(self.windows) > MOST_VERSIONS:
            del self.windows[next(iter(self.windows))]

    def relearn(self, now: float) -> None:
        """What comes from now on is normal."""
        self.relearned = now
        self.reference = Reference(self.rules.season)
        self.windows.clear()

    def evaluate(self, now: float) -> list[Reading]:
        """One reading for each version, the one last seen last."""
        return [self._compare(version, window, now) for version, window in self.windows.items()]

    def _compare(self, version: str, window: Window, now: float) -> Reading:
        latest = window.since(now - self.rules.window_s)
        if not len(latest):
            window.rest()
        slots = self.reference.slots_of(latest["at"])
        comparable = self.reference.known(now)[slots]
        present, slots = latest[comparable], slots[comparable]
        if len(present) < self.rules.season.least:
            return Reading(version, len(latest), {}, frozenset(window.alerts), describe(latest), {})
        normal = self.reference.like(slots, self._rng)
        distances = compare(normal, present, self._rng)
        window.judge(distances, self.rules.confirm)
        return Reading(version, len(present), distances, frozenset(window.alerts), describe(present), describe(normal))


def compare(normal: Samples, present: Samples, rng: np.random.Generator) -> dict[str, Distance]:
    """All signals of two samples."""
    return {
        "prompt_tokens": ks(normal["prompt_tokens"], present["prompt_tokens"]),
        "output_tokens": ks(normal["output_tokens"], present["output_tokens"]),
        "language": psi(normal["script"], present["script"], len(CLASSES)),
        "refusals": psi(normal["refused"], present["refused"], 2, REFUSAL_PSI),
        "finish": psi(normal["finish"], present["finish"], len(FINISHES)),
        "prompts": mmd(normal["embedding"], present["embedding"], rng),
    }


def describe(rows: Samples) -> dict[str, object]:
    """Medians, shares of classes and the refusal rate, for people to read."""
    if not len(rows):
        return {}
    return {
        "prompt_tokens_p50": float(np.median(rows["prompt_tokens"])),
        "output_tokens_p50": float(np.median(rows["output_tokens"])),
        "language": _shares(rows["script"], CLASSES),
        "finish": _shares(rows["finish"], FINISHES),
        "refusals": round(float(rows["refused"].mean()), 4),
    }


def _shares(numbers: Samples, names: tuple[str, ...]) -> dict[str, float]:
    counts = np.bincount(numbers, minlength=len(names))
    return {name: round(float(count / len(numbers)), 4) for name, count in zip(names, counts, strict=True) if count}
