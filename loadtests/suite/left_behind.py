"""What Sluice still holds once nobody asks for anything: after the load, and after clients that have left in mid-stream."""

import time
from collections.abc import Callable, Iterable
from http.client import HTTPException

from loadtests.processes import read_cpu, used_between
from loadtests.prompts import prompts
from loadtests.roles import Role
from loadtests.suite.client import Address, Connection, Leave
from loadtests.suite.plan import Plan, chat
from loadtests.suite.sampler import read_status, unsettled

SETTLE_S = 20.0
ABANDONED, ROOM = 8, 256
"""Streams that are left, and how many tokens of the context their prompts may take: the rest is asked for."""
FREED_S, LOOK_S = 1.5, 0.5
BUSY = 0.5
"""Of a CPU. A core that steps takes nearly all of one, and one without work next to nothing."""
STALL_S = 30.0


def settled(management: str, patience_s: float = SETTLE_S) -> list[str]:
    """Once the last stream has ended, nothing is held any more: at once, but for what is on its way. A gateway that is gone, or on
    its way back, has until then to answer.
    """
    deadline = time.monotonic() + patience_s
    while (held := _held(management)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return held


def _held(management: str) -> list[str]:
    try:
        return unsettled(read_status(management))
    except (OSError, ValueError, HTTPException) as exc:
        return [f"nobody knows: the management port gave no answer ({type(exc).__name__}: {exc})"]


def abandoned(
    door: Address,
    management: str,
    model: str,
    key: str,
    context: int,
    pids: Callable[[], Iterable[int]],
    patience_s: float = FREED_S,
) -> list[str]:
    """Leaves streams that would go on for far longer than is waited for here; says what goes on. Whether Sluice has forgotten a
    stream is Sluice's word; whether the engine has is seen by the CPU time of its core.
    """
    found = []
    for prompt in prompts(ABANDONED, 0):
        body = chat(model, [{"role": "user", "content": prompt}], context - ROOM, exact=True)
        exchange = Connection(door, STALL_S).ask(Plan(body).payload(f"{door.host}:{door.port}", key), Leave(events=2))
        if exchange.error or exchange.status != 200:
            found.append(f"a stream that was to be left: {exchange.error or exchange.status}")
    begun = time.monotonic()
    found += [f"{patience_s:g} s after its clients left: {held}" for held in settled(management, patience_s)]
    time.sleep(max(0.0, begun + patience_s - time.monotonic()))
    before = read_cpu(pids())
    time.sleep(LOOK_S)
    after = read_cpu(pids())
    busy = used_between(before, after).get(Role.CORE, 0.0) / (after.at - before.at)
    return found + ([f"engine cores work ({busy:.2f} of a CPU) though all clients have left"] if busy > BUSY else [])
