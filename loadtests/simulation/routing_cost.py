"""What a decision costs: a prompt of 4,096 tokens, hashed, and one of 32 replicas chosen.

    python -m loadtests.simulation.routing_cost [--session]

Every replica has other load. All of them hold the system prompt, a quarter of the request; two hold the whole conversation.
"""

import argparse
import random
import time

import msgspec

from gateway.routing.prefix_index import PrefixIndex
from gateway.routing.prompt_hash import PromptHasher
from gateway.routing.recent_work import RecentWork
from gateway.routing.replica import Choice, Replica, Request
from gateway.routing.router import Router
from gateway.routing.sessions import session_hash
from loadtests.arithmetic import percentile

REPLICAS = 32
PROMPT_TOKENS = 4096
VOCABULARY = 150_000
COMPLETION = 256.0


class Cost(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Microseconds, of one round. `decision` is hashing and choosing; `dispatched` is the book-keeping once the request is sent."""

    decision_p50: float
    decision_p99: float
    hashing_p50: float
    dispatched_p50: float


def measure(decisions: int = 500, rounds: int = 7, *, session: bool = False) -> Cost:
    """The quietest of several rounds: what else the machine does is not the router's cost."""
    return min((_round(decisions, seed, session=session) for seed in range(rounds)), key=lambda cost: cost.decision_p50)


def _round(decisions: int, seed: int, *, session: bool) -> Cost:
    """On a prompt that some replica holds wholly, so that all of it is looked up."""
    rng = random.Random(seed)
    hasher = PromptHasher(rng.randbytes(32))
    router, replicas = _fleet(rng)
    prompt = [rng.randrange(VOCABULARY) for _ in range(PROMPT_TOKENS)]
    _fill(router, replicas, hasher.blocks("tenant", prompt))
    key = session_hash("tenant", "conversation") if session else None
    hashed, decided, noted = [], [], []
    for _ in range(decisions):
        began = time.perf_counter_ns()
        blocks = hasher.blocks("tenant", prompt)
        after_hash = time.perf_counter_ns()
        request = Request(blocks, len(prompt), COMPLETION, key)
        choice = router.route(request, replicas, 1.0)
        after_choice = time.perf_counter_ns()
        assert choice is not None
        router.dispatched(request, choice, 1.0)
        noted.append((time.perf_counter_ns() - after_choice) / 1000)
        hashed.append((after_hash - began) / 1000)
        decided.append((after_choice - began) / 1000)
    return Cost(percentile(decided, 0.5), percentile(decided, 0.99), percentile(hashed, 0.5), percentile(noted, 0.5))


def _fleet(rng: random.Random) -> tuple[Router, list[Replica]]:
    router = Router(PrefixIndex(), RecentWork(), rng)
    replicas = [
        Replica(
            f"engine-{number}",
            own_requests=rng.randrange(40),
            others_requests=rng.randrange(40),
            own_prefill_tokens=rng.randrange(20_000),
            others_prefill_tokens=rng.randrange(20_000),
            decode_tokens=rng.randrange(10_000),
            kv_tokens=1 << 20,
            kv_use=rng.random(),
        )
        for number in range(REPLICAS)
    ]
    for replica in replicas:
        router.joined(replica.engine_id, replica.kv_tokens)
    return router, replicas


def _fill(router: Router, replicas: list[Replica], blocks: list[int]) -> None:
    for number, replica in enumerate(replicas):
        depth = len(blocks) if number in (5, 17) else len(blocks) // 4
        request = Request(blocks[:depth], PROMPT_TOKENS, COMPLETION)
        router.dispatched(request, Choice(number, replica.engine_id, 0, 0, PROMPT_TOKENS, 0, 1.0, len(replicas)), 0.0)


def main() -> None:
    arguments = argparse.ArgumentParser(prog="python -m loadtests.simulation.routing_cost")
    arguments.add_argument("--session", action="store_true", help="the request belongs to a session")
    cost = measure(session=arguments.parse_args().session)
    print(
        f"{PROMPT_TOKENS} tokens, {REPLICAS} replicas: median {cost.decision_p50:.1f} µs, p99 {cost.decision_p99:.1f} µs"
    )
    print(f"of that hashing {cost.hashing_p50:.1f} µs; noting the dispatch {cost.dispatched_p50:.1f} µs more")


if __name__ == "__main__":
    main()
