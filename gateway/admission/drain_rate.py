"""How fast work leaves a queue, in tokens of charged work per second.

    rate = (N + guess · PRIOR_S) / (D + PRIOR_S)

N is the work that left, D the seconds during which something waited; both fade with MEMORY_S of such seconds, so the ratio has no
start-up bias and quiet hours do not count. Work counts as it was charged, not as it was settled, because the backlog is counted so
too: a charge that is too high throughout cancels out.

The guess that a whole queue begins with is the speed of one sequence times the sequences that may run. A sequence that still runs
counts as if it took twice as long as it has taken so far, and at least FIRST_S: the first to end are short, and prove little.
"""

import math

MEMORY_S = 20.0
PRIOR_S = 2.0
FIRST_S = 5.0
ENDED_MEMORY = 0.95


class DrainRate:
    """Of a whole queue, or of one flow in it."""

    __slots__ = ("_seconds", "_since", "_work")

    def __init__(self) -> None:
        self._work = 0.0
        self._seconds = 0.0
        self._since: float | None = None

    def waiting(self, now: float, *, some: bool) -> None:
        """From now on something waits, or nothing does."""
        self._tick(now)
        self._since = now if some else None

    def restart(self) -> None:
        """Nothing was served until now: how long something waited for that says nothing about the rate."""
        self._work = self._seconds = 0.0
        self._since = None if self._since is None else math.inf

    def left(self, now: float, work: float) -> None:
        """A request that had waited starts."""
        self._tick(now)
        self._work += work

    def scale(self, factor: float) -> None:
        """The capacity has changed by this factor."""
        self._work *= factor

    def rate(self, now: float, guess: float) -> float:
        self._tick(now)
        return (self._work + guess * PRIOR_S) / (self._seconds + PRIOR_S)

    def _tick(self, now: float) -> None:
        if self._since == math.inf:
            self._since = now
        if self._since is None or now <= self._since:
            return
        kept = math.exp((self._since - now) / MEMORY_S)
        self._since = now
        self._work *= kept
        self._seconds = self._seconds * kept + MEMORY_S * (1 - kept)


class SequenceSpeed:
    """Tokens of work per second of one running sequence."""

    def __init__(self) -> None:
        self._ended_work = 0.0
        self._ended_seconds = 0.0
        self._running = 0
        self._begun = 0.0

    def started(self, now: float, sequences: int) -> None:
        self._running += sequences
        self._begun += now * sequences

    def ended(self, begun: float, now: float, sequences: int, work: float | None) -> None:
        """`work` None: not known, so nothing is learned."""
        self._running -= sequences
        self._begun = self._begun - begun * sequences if self._running else 0.0
        if work is not None:
            self._ended_work = ENDED_MEMORY * self._ended_work + work
            self._ended_seconds = ENDED_MEMORY * self._ended_seconds + (now - begun) * sequences

    def guess(self, now: float, running_work: float) -> float:
        """Positive once anything has run."""
        running_s = max(FIRST_S * self._running, 2 * (now * self._running - self._begun))
        seconds = self._ended_seconds + running_s
        return (self._ended_work + running_work) / seconds if seconds else 0.0
