"""One benchmark run: bare vLLM all the while, and beside it one Sluice per door, loaded in turn.

While one system is measured every process of the other is stopped: neither pays for the idle use of the other.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil

from gateway.config import load
from loadtests.bench import equality
from loadtests.bench.batching import batching
from loadtests.bench.noisy import noisy_neighbour
from loadtests.bench.plan import (
    BARE,
    COMPARISON,
    DOORS,
    HAPROXY,
    HEADLINE,
    MAX_TOKENS,
    WAKING,
    WARM_UP,
    Plan,
    order,
    prompt_seed,
)
from loadtests.bench.probe import Door, Point, Shot, idle_of, pin_apart, shoot, unpin
from loadtests.bench.results import Batching, Equality, Noisy, Tracing
from loadtests.bench.tracing import tracing
from loadtests.processes import Memory, memory
from loadtests.roles import Role
from loadtests.servers import Server, start_bare, start_sluice

CORE_CPU, FRONT_CPU = 0, 1


@dataclass
class Session:
    """What one run gathers. `say` tells a person how far it is."""

    plan: Plan
    base: Path
    folder: Path
    seed: int
    say: Callable[[str], None]
    shots: dict[tuple[int, bool, str], list[Shot]] = field(default_factory=lambda: defaultdict(list))
    idle: dict[str, dict[Role, float]] = field(default_factory=dict)
    memory: dict[str, dict[Role, Memory]] = field(default_factory=dict)
    settings: dict[str, dict[str, object]] = field(default_factory=dict)
    equality: list[Equality] = field(default_factory=list)
    batching: list[Batching] = field(default_factory=list)
    noisy: Noisy | None = None
    tracing: Tracing | None = None

    def run(self) -> None:
        self.say("starting bare vLLM")
        bare = start_bare(load(self.base), str(self.base), self.folder)
        try:
            self.settings[BARE] = bare.settings
            for door in DOORS:
                self._phase(door, bare)
        finally:
            bare.stop()
        if self.plan.batching:
            for limit in (1, HEADLINE):
                self.say(f"continuous batching: max_num_seqs {limit}")
                self.batching.append(batching(self.base, self.folder / f"batching-{limit}", limit, self.seed + limit))
        if self.plan.noisy_rounds:
            self.say("noisy neighbour")
            self.noisy = noisy_neighbour(self.base, self.folder / "noisy", self.plan.noisy_rounds, self.seed, self.say)
        if self.plan.tracing_pairs:
            self.say("traces on and off")
            self.tracing = tracing(self.base, self.folder, self.plan.tracing_pairs, self.seed, self.say)

    def _phase(self, name: str, bare: Server) -> None:
        """One door's Sluice, from its start to its end."""
        self.say(f"starting {name}")
        folder = self.folder / ("haproxy" if name == HAPROXY else "own")
        sluice = start_sluice(self.base, folder, haproxy=name == HAPROXY)
        servers = {BARE: bare, name: sluice}
        try:
            self.settings[name] = sluice.settings
            self._warm_up(name, servers)
            self.say(f"idle use, {self.plan.idle_s:.0f} s")
            idle = idle_of(servers, self.plan.idle_s)
            self.idle |= idle
            doors = _doors(servers, idle)
            self._compare(name, doors)
            for streams in self.plan.streams:
                self._pairs(name, doors, streams)
            self._pinned(name, servers, doors)
            self.memory |= {side: memory(server.pids()) for side, server in servers.items()}
        finally:
            sluice.stop()

    def _point(
        self, phase: str, streams: int, pair: int, *, pinned: bool = False, requests: int | None = None
    ) -> Point:
        seed = prompt_seed(self.seed, phase, streams, pair, pinned=pinned)
        count = self.plan.requests(streams) if requests is None else requests
        return Point(phase, streams, count, pair, seed, MAX_TOKENS, (FRONT_CPU,) if pinned else None)

    def _warm_up(self, phase: str, servers: dict[str, Server]) -> None:
        point = self._point(phase, HEADLINE, WARM_UP, requests=self.plan.warmups)
        for door in _doors(servers, {}).values():
            shoot(door, point)

    def _compare(self, phase: str, doors: dict[str, Door]) -> None:
        """One stream at a time, so that no batch mate can tip a near tie."""
        point = self._point(phase, 1, COMPARISON, requests=self.plan.samples_compared)
        texts = {side: _shoot_alone(doors, side, point).load.texts for side in doors}
        self.equality.append(equality.compare(f"of {phase}, one at a time", texts[phase], texts[BARE]))

    def _pairs(self, phase: str, doors: dict[str, Door], streams: int) -> None:
        parts = []
        for pair in range(self.plan.rounds(streams)):
            point = self._point(phase, streams, pair)
            both = {side: _shoot_alone(doors, side, point) for side in order(phase, pair)}
            for side, shot in both.items():
                self.shots[streams, False, side].append(shot)
            rates = ", ".join(f"{side} {both[side].sample.requests_per_s:.1f}" for side in doors)
            self.say(f"{streams} streams, pair {pair + 1}: requests/s {rates}")
            parts.append(equality.compare("", both[phase].load.texts, both[BARE].load.texts))
        self.equality.append(equality.together(f"of {phase} under {streams} streams", parts))

    def _pinned(self, phase: str, servers: dict[str, Server], doors: dict[str, Door]) -> None:
        if (psutil.cpu_count() or 1) < 2 or HEADLINE not in self.plan.streams:
            return
        pin_apart(servers.values(), CORE_CPU, FRONT_CPU)
        for pair in range(self.plan.pinned_pairs):
            self.say(f"pinned to separate cores, pair {pair + 1}")
            for side in order(phase, pair):
                self.shots[HEADLINE, True, side].append(
                    _shoot_alone(doors, side, self._point(phase, HEADLINE, pair, pinned=True))
                )
        unpin(servers.values())


def _doors(servers: dict[str, Server], idle: dict[str, dict[Role, float]]) -> dict[str, Door]:
    """With the idle use that is known so far."""
    return {
        name: Door(name, server, server.ports["haproxy" if name == HAPROXY else "own"], idle.get(name, {}))
        for name, server in servers.items()
    }


def _shoot_alone(doors: dict[str, Door], side: str, point: Point) -> Shot:
    """One load while the other system stands still, after a short one that wakes what has stood still itself."""
    others = [door.server for name, door in doors.items() if name != side]
    for other in others:
        other.freeze()
    try:
        shoot(doors[side], replace(point, requests=point.streams, seed=point.seed + WAKING))
        return shoot(doors[side], point)
    finally:
        for other in others:
            other.thaw()
