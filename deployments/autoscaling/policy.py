"""How many replicas: a pure function of what is seen, what is remembered, the time and the configuration.

Everything is reckoned in seconds of a full replica's work, so that it means the same for every model: tokens of prompts and of
completions are priced by what they cost engines with full batches (gateway/pool/throughput.py).

    ahead    work that will arrive per second when a replica started now serves, times 1 + headroom · error (forecast.py)
    backlog  work that will wait then: what waits now, plus what arrives, minus what replicas there and coming work off
    needed = ahead · room + backlog / clear_s; room = (1 + spare · (1 - exp(-start-up / SPARE_S))) / use

or more, if the engines' own use or KV caches say so, and `warm_spares` beyond it. Up: at once, by at most
`max_step`, and in a panic (more than `panic_s` of backlog) without that limit. Down: by one, when the largest need of the last
`stabilization_s` allows it, and never in a panic. To zero: after `idle_s` without any request; from zero: on the first one that
waits.
"""

import math
from dataclasses import replace

from deployments.autoscaling import forecast, season
from deployments.autoscaling.observation import Decision, Observation, State
from gateway.config.autoscaling import Autoscaling

FIRST_STARTUP_S = 60.0
STARTUP_NEW = 0.5
SLOWER, LONGEST_STARTUP_S = 4.0, 900.0
"""What one start can teach at most, times what was known and at all: one that waits for a node says nothing of others."""
PRICE_S = 60.0
SPARE_S = 60.0
"""Starts as long as that keep two thirds of `spare` free: what comes within a short start waits for it."""
FULL = 0.5
"""Share of the slots in use from which a request that waits is taken to wait for one: gateways deal them out among themselves."""
MOMENT_S = 1e-3
TOLERANCE = 0.1
"""Part of a replica that is not worth one more."""


def decide(seen: Observation, state: State, now: float, config: Autoscaling) -> Decision:
    """`now` in seconds, of any clock that does not run back."""
    seconds = max(0.0, now - state.at) if state.at is not None else 0.0
    state = _remember(seen, state, now, seconds, config)
    startup_s = startup(state, config)
    reasons: list[str] = []
    needed, backlog_s = _needed(seen, state, startup_s, now, config, reasons)
    panic_until = now + config.panic_hold_s if backlog_s > config.panic_s else state.panic_until
    peaks = _peaks(state, needed, now, config, startup_s)
    state = replace(state, peaks=peaks, panic_until=panic_until)
    target, state = _step(seen, state, needed, now, config, reasons)
    return Decision(target, replace(state, target=target), tuple(reasons), needed, backlog_s, startup_s)


def startup(state: State, config: Autoscaling) -> float:
    """Seconds until a new replica serves: as configured, as measured, or as guessed."""
    return config.startup_s or state.startup_s or FIRST_STARTUP_S


def window(config: Autoscaling, startup_s: float) -> float:
    """Seconds whose largest need is kept: a replica that idles longer has cost more than its start."""
    return config.stabilization_s if config.stabilization_s is not None else 30.0 + 1.25 * startup_s


def _remember(seen: Observation, state: State, now: float, seconds: float, config: Autoscaling) -> State:
    ahead_s = startup(state, config)
    prompt_s = _price(state.prompt_s, [engine.prompt_s for engine in seen.engines], seconds)
    completion_s = _price(state.completion_s, [engine.completion_s for engine in seen.engines], seconds)
    arrived = state.arrived if seen.arrived is None else seen.arrived
    prompt, completion = arrived.prompt - state.arrived.prompt, arrived.completion - state.arrived.completion
    expected, seasonal = state.forecast, state.season
    told_s = 0.0 if seen.arrived is None or state.told_at is None else now - state.told_at
    if told_s > 0 and prompt >= 0 and completion >= 0 and completion_s:
        work = prompt * prompt_s + completion * completion_s
        expected = forecast.observe(expected, work, told_s, now, ahead_s)
        if config.season_s is not None:
            seasonal = season.observe(seasonal, expected.short, now, config.season_s)
    starts, startup_s = state.starts, state.startup_s
    if state.target == 0 < seen.target and state.at is not None:
        starts = (state.at,)  # by Serve itself, which does not ask while a call waits and nobody is there
    for _ in range(min(len(starts), max(0, seen.ready - state.ready))):
        took = now - starts[0]
        if math.isfinite(took):
            took = min(took, SLOWER * ahead_s, LONGEST_STARTUP_S)
            startup_s = took if startup_s is None else startup_s + STARTUP_NEW * (took - startup_s)
        starts = starts[1:]
    missing = max(0, seen.target - seen.ready)
    starts = (-math.inf,) * (missing - len(starts)) + starts[:missing]
    quiet = seen.idle and arrived == state.arrived and state.ready >= seen.ready > 0
    return replace(
        state,
        since=now if state.since is None else state.since,
        at=now,
        told_at=state.told_at if seen.arrived is None else now,
        arrived=arrived,
        prompt_s=prompt_s,
        completion_s=completion_s,
        forecast=expected,
        season=seasonal,
        starts=starts,
        startup_s=startup_s,
        ready=seen.ready,
        busy_at=state.busy_at if quiet and state.busy_at is not None else now,
    )


def _price(known: float, measured: list[float], seconds: float) -> float:
    values = [each for each in measured if each > 0]
    if not values:
        return known
    mean = sum(values) / len(values)
    return known + (1 - math.exp(-seconds / PRICE_S)) * (mean - known) if known else mean


def _needed(
    seen: Observation, state: State, startup_s: float, now: float, config: Autoscaling, reasons: list[str]
) -> tuple[float, float]:
    """(replicas needed, seconds of backlog of the replicas that are there)."""
    room = (1 + config.spare * (1 - math.exp(-startup_s / SPARE_S))) / config.use
    at_work = sum(engine.use for engine in seen.engines) * room
    cached = sum(engine.kv_use for engine in seen.engines) / config.kv_use
    if not state.completion_s:
        waiting = float(seen.ready + 1) if seen.oldest_s > config.goal_s else float(seen.queue_requests > 0)
        reasons.append(
            f"speed: not known yet; {seen.queue_requests} requests wait, the oldest for {seen.oldest_s:.1f} s"
        )
        return max(waiting, at_work, cached), 0.0
    margin = 1 + config.headroom * forecast.headroom(state.forecast)
    ahead = forecast.ahead(state.forecast, startup_s)
    kind = "forecast"
    if config.season_s is not None:
        last = season.ahead(state.season, now, startup_s, config.season_s)
        if last is not None and last > ahead:
            ahead, kind = last, "season"
    needed = ahead * margin * room
    reasons.append(
        f"{kind}: work for {ahead:.2f} replicas in {startup_s:.0f} s, {needed:.2f} with a margin of {margin * room - 1:.0%}"
    )
    prompts = seen.queue.prompt + sum(engine.waiting_tokens for engine in seen.engines)
    backlog = prompts * state.prompt_s + seen.queue.completion * state.completion_s
    backlog_s = backlog / max(1, seen.ready)
    if backlog_s > config.goal_s or not seen.ready:
        done = seen.ready * startup_s + sum(min(startup_s, max(0.0, now - at)) for at in state.starts)
        left = max(0.0, backlog + forecast.arriving(state.forecast, startup_s) - done)
        late = left / (config.clear_s or config.goal_s + startup_s)
        needed += late
        reasons.append(f"backlog: {backlog_s:.1f} s of it, {left:.1f} replica-seconds left then, {late:.2f} more")
    slots = sum(engine.slots for engine in seen.engines)
    full = seen.oldest_s > config.goal_s and sum(engine.requests for engine in seen.engines) >= FULL * slots
    overdue = seen.ready + 1.0 if full else 0.0
    for need, what in (
        (at_work, "use: engines are at work"),
        (cached, "cache: KV caches fill"),
        (overdue, f"oldest: it has waited for {seen.oldest_s:.1f} s at full engines"),
    ):
        if need > needed:
            needed = need
            reasons.append(f"{what}, {need:.2f} replicas")
    return needed, backlog_s


def _peaks(
    state: State, needed: float, now: float, config: Autoscaling, startup_s: float
) -> tuple[tuple[float, float], ...]:
    kept = [(until, need) for until, need in state.peaks if until > now and need > needed]
    return (*kept, (now + window(config, startup_s), needed))


def _step(
    seen: Observation, state: State, needed: float, now: float, config: Autoscaling, reasons: list[str]
) -> tuple[int, State]:
    assert state.since is not None
    assert state.busy_at is not None
    panic, least = now < state.panic_until, max(config.min_replicas, 1)
    if seen.target == 0 and config.min_replicas == 0 and not seen.queue_requests:
        reasons.append("asleep: nobody waits")
        return 0, state
    idle = now - state.busy_at >= max(config.idle_s, MOMENT_S)
    spares = 0 if idle and config.min_replicas == 0 else config.warm_spares
    want = max(least, math.ceil(needed - TOLERANCE) + spares)
    if want > config.max_replicas:
        reasons.append(f"max_replicas: {want} would be needed")
        want = config.max_replicas
    if want > seen.target:
        return _up(seen.target, want, state, now, config, reasons, panic=panic)
    if seen.target == 1 and config.min_replicas == 0 and idle:
        reasons.append(f"idle: no request for {now - state.busy_at:.0f} s, to zero")
        return 0, replace(state, down_at=now, starts=())
    most = min(seen.target, config.max_replicas)
    peak = state.peaks[0][1]
    if math.ceil(peak - TOLERANCE) + spares >= most or most <= least:
        return most, state
    last = max(state.up_at or -math.inf, state.down_at or -math.inf)
    early = now - state.since < window(config, startup(state, config)) or now - last < config.down_cooldown_s
    if panic or early or not seen.ready:
        why = "panic:" if panic else "early:" if early else "silence: no engine tells anything,"
        reasons.append(f"{why} nothing goes")
        return most, state
    reasons.append(f"peak: {peak:.2f} replicas were the most needed of late, one goes")
    return most - 1, replace(state, down_at=now, starts=state.starts[: max(0, most - 1 - seen.ready)])


def _up(
    target: int, want: int, state: State, now: float, config: Autoscaling, reasons: list[str], *, panic: bool
) -> tuple[int, State]:
    if not panic and target >= config.min_replicas:
        if target and state.up_at is not None and now - state.up_at < config.up_cooldown_s:
            reasons.append("cooldown: the last ones were added a moment ago")
            return target, state
        if want > target + config.max_step:
            reasons.append(f"max_step: {want - target} would be added")
            want = target + config.max_step
    reasons.append(f"panic: {want - target} more at once" if panic else f"more: {want - target}")
    return want, replace(state, up_at=now, starts=(*state.starts, *(now,) * (want - target)))
