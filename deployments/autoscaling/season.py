"""Prediction from one season ago: what came then, times how this season compares with it so far. Pure; off unless asked for.

    forecast(t) = before(t) · now(part) / before(part)

A season has PARTS parts; `part` is the last one that is over, and the ratio is kept within a factor of two. Nothing is predicted
during the first season.
"""

from deployments.autoscaling.observation import Season

PARTS = 288
FACTOR = 2.0
SMOOTHING = 0.2


def observe(seen: Season, rate: float, now: float, season_s: float) -> Season:
    """Work is arriving at `rate`, in replicas."""
    part = int(now / season_s * PARTS) % PARTS
    before = seen.before or (None,) * PARTS
    current = seen.now or (None,) * PARTS
    if part < seen.part:
        before, current = current, (None,) * PARTS
    last = current[part] if part == seen.part else None
    value = rate if last is None else last + SMOOTHING * (rate - last)
    return Season(before, (*current[:part], value, *current[part + 1 :]), part)


def ahead(seen: Season, now: float, seconds: float, season_s: float) -> float | None:
    """Work that will arrive that many seconds from now, in replicas; None: unknown."""
    if not seen.before:
        return None
    then = int((now + seconds) / season_s * PARTS) % PARTS
    wrapped = then < seen.part
    expected = (seen.now if wrapped else seen.before)[then]
    over, over_before = seen.now[seen.part - 1], seen.before[seen.part - 1]
    if expected is None:
        return None
    if over is None or not over_before:
        return expected
    return expected * min(FACTOR, max(1 / FACTOR, over / over_before))
