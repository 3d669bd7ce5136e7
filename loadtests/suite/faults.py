"""What no objective names and yet makes a run worth nothing: less load than was asked for, limits that do not limit. Pure."""

from collections.abc import Callable, Sequence

from loadtests.suite.arrivals import Arrival, rates
from loadtests.suite.knee import Step, points, saturated
from loadtests.suite.presets import Preset
from loadtests.suite.record import Record, Run
from loadtests.suite.schedule import BINS, burst, day, sinus_day, user_seconds

ENDS_S = 3.0
"""A load's begin and end may miss so many seconds of it: Locust looks at them once a second."""
DEVIATIONS = 5
SHARE = 0.95
"""Of the arrivals that were asked for, at least this share, less so many standard deviations of a Poisson process."""
ENOUGH = 24
"""Attempts of the over-limit tenant, from which on some must have been refused and some served."""


def faults(
    run: Run, preset: Preset, trace: Sequence[Arrival] = (), *, spawn_s: float = 0.0, limited: bool = True
) -> list[str]:
    """`trace`: what was to be replayed, all of it, or whose curve a day was to follow. `spawn_s`: in which its users come, where a
    load has no shape. `limited`: the over-limit tenant has a key that limits it.
    """
    found = [*_too_short(run, preset), *_too_little(run, preset, trace, spawn_s)]
    found += _limits(run.records) if limited else []
    return found + ([f"{run.missing} of Locust's workers did not live through the run"] if run.missing else [])


def _too_short(run: Run, preset: Preset) -> list[str]:
    asked = preset.minutes * 60
    if run.load_s >= asked - ENDS_S:
        return []
    if preset.shape == "ramp" and saturated(points(run.records, [Step(*step) for step in run.steps])):
        return []
    return [f"the load lasted {run.load_s:.0f} s instead of {asked:.0f}"]


def _too_little(run: Run, preset: Preset, trace: Sequence[Arrival], spawn_s: float) -> list[str]:
    """In an open loop it is known how many turns there must have been; but for a ramp, which ends where it will."""
    if preset.arrivals == "trace":
        expected = float(inside(trace, run.load_s - ENDS_S, preset.trace_speed))
        least = expected
    elif preset.arrivals == "poisson" and preset.shape != "ramp":
        wanted = _wanted(preset, trace, spawn_s)
        expected = preset.rate * user_seconds(wanted, run.load_s)
        least = SHARE * preset.rate * user_seconds(wanted, run.load_s, ENDS_S) - DEVIATIONS * expected**0.5
    else:
        return []
    return [f"{run.turns} arrivals instead of {expected:.0f}"] if run.turns < least else []


def _wanted(preset: Preset, trace: Sequence[Arrival], spawn_s: float) -> Callable[[float], float]:
    """How many users, so many seconds after the begin."""
    whole_s = preset.minutes * 60
    match preset.shape:
        case "burst":
            return lambda at: burst(preset.users, at / whole_s)
        case "day":
            curve = rates(trace, BINS) if trace else sinus_day()
            return lambda at: day(preset.users, at / whole_s, curve)
        case _:
            return lambda at: preset.users * (min(1.0, at / spawn_s) if spawn_s else 1.0)


def inside(trace: Sequence[Arrival], seconds: float, speed: float) -> int:
    """How many of a trace's arrivals have come after so many seconds."""
    return sum(arrival.at_s / speed <= seconds for arrival in trace)


def _limits(records: Sequence[Record]) -> list[str]:
    """A limit that never refuses is off, and one that never serves is no limit."""
    seen = [record.status for record in records if record.persona == "over-limit"]
    if len(seen) < ENOUGH:
        return []
    said = {429: "refused", 200: "served"}
    return [f"the over-limit tenant was never {word}" for status, word in said.items() if status not in seen]
