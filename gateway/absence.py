"""How long a model will still be without an engine, by how long it usually was. Pure; times are seconds of one monotonic clock."""

import math

FIRST_S = 30.0
"""Before anything was seen: an engine's start with a small model."""
SAFETY = 1.2
NEW = 0.3
BRIEF_S = 5.0
SHARE = 0.2
LEAST_S, MOST_S = 1, 300


class Absence:
    """Begins without an engine. What is brief teaches nothing: engines were there already, or a connection to them was lost."""

    def __init__(self, now: float) -> None:
        self._since: float | None = now
        self._ended = now
        self._usual_s: float | None = None

    def note(self, now: float, *, there: bool) -> None:
        """Whether there is an engine from now on."""
        if not there:
            self._since = now if self._since is None else self._since
        elif self._since is not None:
            lasted, self._since = now - self._since, None
            if lasted >= BRIEF_S:
                self._ended = now
                usual = lasted if self._usual_s is None else self._usual_s
                self._usual_s = usual + NEW * (lasted - usual)

    def over_s(self, now: float) -> float:
        """Seconds since there is an engine, but for what was brief; 0 while there is none."""
        return 0.0 if self._since is not None else now - self._ended

    def left_s(self, now: float) -> int:
        """Whole seconds, between LEAST_S and MOST_S. What takes longer than usual is taken to need as long again as it is late, and
        never less than a SHARE of what is usual.
        """
        elapsed = 0.0 if self._since is None else now - self._since
        usual = SAFETY * (FIRST_S if self._usual_s is None else self._usual_s)
        return min(max(LEAST_S, math.ceil(max(abs(usual - elapsed), SHARE * usual))), MOST_S)
