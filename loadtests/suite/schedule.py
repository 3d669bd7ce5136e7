"""How many users, when: pure functions of the share of a run that is over."""

import math
from collections.abc import Callable

BURST, BURST_FROM, BURST_TO = 10, 0.4, 0.5
EVERY_S = 0.25
BINS = 96
NIGHT = 0.2


def burst(users: int, share: float) -> int:
    """`share` of the run that is over; for a tenth of it, ten times the users."""
    return users * BURST if BURST_FROM <= share < BURST_TO else users


def day(users: int, share: float, curve: list[float]) -> int:
    """`users` at the curve's height; at least one."""
    return max(1, round(users * curve[min(len(curve) - 1, int(share * len(curve)))]))


def user_seconds(wanted: Callable[[float], float], seconds: float, late_s: float = 0.0) -> float:
    """What so many users at each time (s) come to: if each change comes at once, or the least that it may be if it comes up to
    `late_s` late.
    """
    times = [(place + 0.5) * EVERY_S for place in range(round(seconds / EVERY_S))]
    return EVERY_S * sum(min(wanted(at), wanted(at - late_s) if at >= late_s else 0.0) for at in times)


def sinus_day() -> list[float]:
    """A made-up day for those who have no trace: a fifth of the load at night, all of it at noon."""
    return [NIGHT + (1 - NIGHT) * (1 - math.cos(2 * math.pi * (place + 0.5) / BINS)) / 2 for place in range(BINS)]
