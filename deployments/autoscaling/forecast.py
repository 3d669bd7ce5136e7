"""How much work will arrive when a replica that is started now serves: level, trend, and how far such forecasts were off. Pure.

Level and trend are smoothed exponentially (Holt 1957), with time constants instead of factors, since observations come at
any distance. The trend is damped: h seconds ahead it counts for D (1 - exp(-h / D)) seconds, since no load rises for ever.
Each forecast is kept until its time has come, and then compared with what did arrive; the mean square of these relative
errors makes the headroom: the longer the start-up and the rougher the load, the larger it becomes by itself.
"""

import math

from deployments.autoscaling.observation import Forecast

LEVEL_S, TREND_S, SHORT_S = 30.0, 400.0, 10.0
DAMPING_S = 180.0
ERROR_S = 1200.0
WORST = 3.0
EACH_S = 5.0
"""Distance of the forecasts that are kept and compared."""


def observe(seen: Forecast, arrived: float, seconds: float, now: float, ahead_s: float) -> Forecast:
    """Work of `arrived` replica-seconds came in the last `seconds`; another forecast is noted for `ahead_s` from now."""
    x = arrived / seconds
    total = seen.seen_s + seconds
    level = _share(seconds, min(LEVEL_S, total))
    expected = seen.rate + seen.trend * seconds
    rate = max(0.0, expected + level * (x - expected)) if seen.seen_s else x
    slope = (rate - seen.rate) / seconds if seen.seen_s else 0.0
    trend = seen.trend + _share(seconds, TREND_S) * (slope - seen.trend)
    short = seen.short + _share(seconds, min(SHORT_S, total)) * (x - seen.short)
    error, still = seen.error, seen.open
    while still and still[0][0] <= now:
        forecast = still[0][1]
        off = min(WORST, max(0.0, short / forecast - 1)) if forecast > 0 else WORST * (short > 0)
        error += _share(EACH_S, ERROR_S) * (2 * off * off - error)
        still = still[1:]
    updated = Forecast(rate, trend, total, short, error, still)
    if not still or now + ahead_s - still[-1][0] >= EACH_S:
        still = (*still, (now + ahead_s, ahead(updated, ahead_s)))
        updated = Forecast(rate, trend, total, short, error, still)
    return updated


def ahead(seen: Forecast, seconds: float) -> float:
    """Work that will arrive per second that many seconds from now, in replicas."""
    return max(0.0, seen.rate + seen.trend * DAMPING_S * (1 - math.exp(-seconds / DAMPING_S)))


def arriving(seen: Forecast, seconds: float) -> float:
    """Work that arrives within that time, in seconds of a replica."""
    return seconds * (seen.rate + ahead(seen, seconds)) / 2


def headroom(seen: Forecast) -> float:
    """Root of the mean square of how far forecasts were too low, relative (half of all errors, counted twice)."""
    return math.sqrt(seen.error)


def _share(seconds: float, constant: float) -> float:
    return 1 - math.exp(-seconds / constant) if constant > 0 else 1.0
