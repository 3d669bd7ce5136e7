"""What a decision costs: a prompt of 4,096 tokens, hashed, and one of 32 engines chosen, as a gateway's pool does it.

    python -m loadtests.simulation.routing_cost [--session]

Every engine has other load. All of them hold the system prompt, a quarter of the request; two hold the whole conversation at first,
and more as they are given it. Between two decisions a request is loaded, one has its first output, and one ends.
"""

import argparse
import random
import time
from collections import deque
from types import SimpleNamespace
from typing import Any

import msgspec

from gateway.engine_chooser import EngineChooser
from gateway.pool import wire
from gateway.pool.channel import EngineChannel
from gateway.pool.context import RequestContext
from gateway.pool.engine_pool import EnginePool
from gateway.pool.flight import Flight
from gateway.routing.prompt_hash import PromptHasher
from loadtests.arithmetic import percentile

REPLICAS = 32
PROMPT_TOKENS = 4096
VOCABULARY = 150_000
COMPLETION = 256
NOBODY: Any = None
"""Who would carry bytes: nothing is sent here."""


class Cost(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Microseconds, of one round. `decision` is everything from the pool's question to its answer: who may be asked, hashing,
    scores, and the note of what was sent where.
    """

    decision_p50: float
    decision_p99: float
    hashing_p50: float


def measure(decisions: int = 500, rounds: int = 7, *, session: bool = False) -> Cost:
    """The quietest of several rounds: what else the machine does is not the router's cost."""
    return min((_round(decisions, seed, session=session) for seed in range(rounds)), key=lambda cost: cost.decision_p50)


def _round(decisions: int, seed: int, *, session: bool) -> Cost:
    """On a prompt that some engine holds wholly, so that all of it is looked up."""
    rng = random.Random(seed)
    chooser, hasher = EngineChooser(seed), PromptHasher(rng.randbytes(32))
    pool = _fleet(chooser, rng)
    prompt = [rng.randrange(VOCABULARY) for _ in range(PROMPT_TOKENS)]
    for number, channel in enumerate(pool.roster.channels):
        held = prompt if number in (5, 17) else prompt[: PROMPT_TOKENS // 4]
        chooser.pick([channel], _flight(held))
    hashed, decided = [], []
    prefilling: deque[Flight] = deque()
    decoding: deque[Flight] = deque()
    for _ in range(decisions):
        flight = _flight(prompt, "conversation" if session else None)
        began = time.perf_counter_ns()
        hasher.blocks("tenant", prompt)
        between = time.perf_counter_ns()
        at = chooser.pick(pool.roster.candidates(set()), flight)
        decided.append((time.perf_counter_ns() - between) / 1000)
        hashed.append((between - began) / 1000)
        flight.load(pool.roster.channels[at])
        prefilling.append(flight)
        if len(prefilling) > REPLICAS:
            decoding.append(prefilling.popleft())
            decoding[-1].start()
        if len(decoding) > REPLICAS:
            decoding.popleft().unload()
    return Cost(percentile(decided, 0.5), percentile(decided, 0.99), percentile(hashed, 0.5))


def _flight(prompt: list[int], session: str | None = None) -> Flight:
    request = SimpleNamespace(prompt_token_ids=prompt, sampling_params=SimpleNamespace(max_tokens=COMPLETION))
    return Flight("r", request, len(prompt), RequestContext(cache_salt="tenant", session=session))


def _fleet(chooser: EngineChooser, rng: random.Random) -> EnginePool:
    pool = EnginePool(NOBODY, NOBODY, chooser, lambda _card: None, wait_s=0.0)
    cards = [
        wire.EngineCard(f"engine-{number}", "m", "", "", wire.PROTOCOL, "", "", 32768, 16, 320, 1 << 20, "bf16", 1)
        for number in range(REPLICAS)
    ]
    now = time.monotonic()
    for card in cards:
        channel = EngineChannel(NOBODY, card, pool, stall_s=20.0)
        channel.up, channel.reported_at = True, now
        channel.requests, channel.prefill_tokens = rng.randrange(40), rng.randrange(20_000)
        channel.own_at_report = wire.Load(channel.requests, channel.prefill_tokens)
        others = rng.randrange(40), rng.randrange(20_000)
        channel.load = wire.Load(channel.requests + others[0], channel.prefill_tokens + others[1], rng.random())
        pool.roster.join(channel)
        pool.on_load(channel)
    return pool


def main() -> None:
    arguments = argparse.ArgumentParser(prog="python -m loadtests.simulation.routing_cost")
    arguments.add_argument("--session", action="store_true", help="the request belongs to a session")
    cost = measure(session=arguments.parse_args().session)
    print(
        f"{PROMPT_TOKENS} tokens, {REPLICAS} replicas: median {cost.decision_p50:.1f} µs, p99 {cost.decision_p99:.1f} µs"
    )
    print(f"of that hashing {cost.hashing_p50:.1f} µs")


if __name__ == "__main__":
    main()
