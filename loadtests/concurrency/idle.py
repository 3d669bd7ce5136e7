"""Connections that have asked once and then say nothing: are they all there, and do they all answer, at the end of the wait?"""

import asyncio
import time
from dataclasses import dataclass, field

from loadtests.client import Connection

BATCH = 100
TIMEOUT_S = 30.0


@dataclass
class Idle:
    """`lost` while nobody spoke, `silent` when they were asked again; `opened_in_s` and `asked_in_s` for all of them together."""

    connections: list[Connection] = field(default_factory=list)
    refused: int = 0
    lost: int = 0
    silent: int = 0
    opened_in_s: float = 0.0
    asked_in_s: float = 0.0


def _payload(host: str, port: int) -> bytes:
    return f"GET /livez HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode()


async def open_all(host: str, port: int, count: int) -> Idle:
    """`count` connections, each of which has had one answer."""
    idle, begun = Idle(), time.perf_counter()
    payload = _payload(host, port)
    for first in range(0, count, BATCH):
        made = await asyncio.gather(*(_open(host, port, payload) for _ in range(min(BATCH, count - first))))
        idle.connections += [connection for connection in made if connection is not None]
    idle.refused = count - len(idle.connections)
    idle.opened_in_s = time.perf_counter() - begun
    return idle


async def ask_all(host: str, port: int, idle: Idle) -> None:
    """Counts those that were closed meanwhile, and asks the rest once more."""
    still = [connection for connection in idle.connections if connection.open]
    idle.lost = len(idle.connections) - len(still)
    begun, payload = time.perf_counter(), _payload(host, port)
    for first in range(0, len(still), BATCH):
        answers = await asyncio.gather(*(one.ask(payload, TIMEOUT_S) for one in still[first : first + BATCH]))
        idle.silent += sum(answer.status != 200 or bool(answer.error) for answer in answers)
    idle.asked_in_s = time.perf_counter() - begun


def close_all(idle: Idle) -> None:
    for connection in idle.connections:
        connection.close()


async def _open(host: str, port: int, payload: bytes) -> Connection | None:
    try:
        connection = await Connection.to(host, port)
    except OSError:
        return None
    answer = await connection.ask(payload, TIMEOUT_S)
    return connection if answer.status == 200 and not answer.error else None
