"""What the guard costs a request where the request waits for it, and what it costs afterwards in its thread.

    python -m loadtests.bench.guard [--out FILE]

In the request's way: the verdict, the field checks, the count of tokens, and the observation at its end, for a chat of four
messages. The bound is BOUND_US. Per token it does nothing. The thread takes as many requests at once as it does at work. A leak
reservation waits for a disk and is measured apart.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from gateway.auth.keys import Principal
from gateway.config.guard import Guard as GuardConfig
from gateway.guard.accounts import Accounts
from gateway.guard.detector import Detector
from gateway.guard.file_store import FileStore
from gateway.guard.guard import BATCH, Guard
from gateway.guard.leak_budgets import LeakBudgets
from gateway.guard.leaks import Shape
from gateway.guard.throttle import Throttle
from gateway.http.guarding import Guarding
from gateway.http.surface import ROUTES, SurfacePolicy, admit
from loadtests.bench.__main__ import commit
from loadtests.bench.probe import machine
from loadtests.traffic.words import paragraph

BOUND_US = 150.0
REQUESTS, ROUNDS = 1000, 5
SHAPE = Shape("m", "v", 4096, 128_000)
CALLERS = [Principal(f"abcd23{n}", f"acme-{n}", "standard", frozenset({"inference"})) for n in range(20)]


def bodies(rng: Random) -> list[dict[str, Any]]:
    """Chats of four messages of some 550 characters, with one system prompt and no other text twice."""
    orders = paragraph(rng, 10)
    said = [[orders, *(paragraph(rng, 10) for _ in range(3))] for _ in range(REQUESTS)]
    return [
        {
            "model": "m",
            "messages": [
                {"role": role, "content": text}
                for role, text in zip(("system", "user", "assistant", "user"), texts, strict=True)
            ],
            "max_tokens": 256,
            "temperature": 0.7,
        }
        for texts in said
    ]


class Quiet:
    def acted(self, action: str, tier: str) -> None:
        pass


class Told:
    def counted(self, prompt_tokens: int) -> None:
        pass

    def prefilled(self, prompt_tokens: int) -> None:
        pass

    def generated(self, tokens: int) -> None:
        pass


class Results(msgspec.Struct, frozen=True):
    """CPU microseconds: medians of rounds. `reservation_us` is wall time, of a request that asks for logprobs."""

    schema: int
    command: list[str]
    commit: str
    machine: dict[str, str]
    bound_us: float
    request_us: float
    thread_us: float
    reservation_us: float


async def _request(guarding: Guarding, body: dict[str, Any], caller: Principal) -> None:
    route = ROUTES["/v1/chat/completions"]
    admitted = admit(route, body, SurfacePolicy())
    watch = guarding.watch()
    begun = time.process_time()
    watch.enter(caller)
    await watch.check(route, admitted, SHAPE, 8192)
    work = watch.counting(Told())
    work.counted(500)
    work.generated(200)
    watch.end(200)
    _spent.append(time.process_time() - begun)


_spent: list[float] = []


async def measure(folder: Path) -> tuple[float, float, float]:
    store, detector = FileStore(folder / "guard.sqlite"), Detector(secret=b"bench")
    guard = Guard(detector, store, lambda _change: None, 10 * REQUESTS * ROUNDS)
    leaks = LeakBudgets(store, Accounts(), 1.0, {}, "projection")
    guarding = Guarding(GuardConfig(), guard, leaks, Throttle(6, 2, 0.25), Quiet())
    rounds, thread = [], []
    for number in range(ROUNDS):
        _spent.clear()
        for place, body in enumerate(bodies(Random(number))):
            await _request(guarding, body, CALLERS[place % len(CALLERS)])
        rounds.append(sum(_spent) / REQUESTS)
        queue = guard._queue  # noqa: SLF001  what the thread would do, without the thread
        begun, looked = time.process_time(), len(queue)
        while queue:
            detector.take(*(queue.popleft() for _ in range(min(BATCH, len(queue)))))
        thread.append((time.process_time() - begun) / looked)
    begun = time.perf_counter()
    for body in bodies(Random(ROUNDS))[:50]:
        await _request(guarding, body | {"logprobs": True}, CALLERS[0])
    reservation = (time.perf_counter() - begun) / 50
    leaks.close()
    store.close()
    return sorted(rounds)[ROUNDS // 2] * 1e6, sorted(thread)[ROUNDS // 2] * 1e6, reservation * 1e6


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench.guard", description=__doc__)
    parser.add_argument("--out", type=Path, help="write the results there, as JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        request, thread, reservation = asyncio.run(measure(Path(folder)))
    results = Results(
        1, sys.argv[1:], commit(), machine(), BOUND_US, round(request, 1), round(thread, 1), round(reservation, 1)
    )
    print(f"in the request's way: {request:.0f} us (bound {BOUND_US:.0f} us), in the thread: {thread:.0f} us")
    print(f"a request that asks for logprobs waits {reservation:.0f} us for its leak reservation")
    if arguments.out is not None:
        arguments.out.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
    return 0 if request <= BOUND_US else 1


if __name__ == "__main__":
    sys.exit(main())
