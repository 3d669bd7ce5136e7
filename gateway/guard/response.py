"""From evidence to a level, with hysteresis: up at once, down one level at a time and only after a clean while. Pure."""

from typing import Final, NamedTuple

from gateway.guard.verdict import Level

DAY_S: Final = 86_400.0


class Rules(NamedTuple):
    """`highest`: what is applied; above it a level is only told (shadow mode). Times in seconds."""

    highest: Level = Level.STRIP
    clean_s: float = DAY_S
    quarantine_s: float = DAY_S


class Standing(NamedTuple):
    """`since`: when the level was reached; `seen`: when there was last evidence for it, or for a higher one."""

    level: Level = Level.OBSERVE
    since: float = 0.0
    seen: float = 0.0


def moved(standing: Standing, found: Level, rules: Rules, now: float) -> Standing:
    """What becomes of a standing when the evidence says `found`."""
    if found > standing.level:
        return Standing(found, now, now)
    if standing.level is Level.OBSERVE:
        return standing
    if found == standing.level:
        return standing._replace(seen=now)
    wait = rules.quarantine_s if standing.level is Level.QUARANTINE else rules.clean_s
    if now - standing.seen < wait:
        return standing
    return Standing(Level(standing.level - 1), now, now)


def aged(standing: Standing, rules: Rules, now: float) -> Standing:
    """What has become of a standing by now, of which nothing has been heard since it was written down."""
    level, since, seen = standing
    while level:
        wait = rules.quarantine_s if level is Level.QUARANTINE else rules.clean_s
        if now - seen < wait:
            break
        level, since = Level(level - 1), seen + wait
        seen = since
    return Standing(level, since, seen)


def applied(level: Level, rules: Rules) -> Level:
    return min(level, rules.highest)
