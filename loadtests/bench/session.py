"""One benchmark run: starts both systems, loads them in turn, and stops them."""

import dataclasses
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from gateway.config import load
from loadtests.arithmetic import spread
from loadtests.bench import equality
from loadtests.bench.batching import batching
from loadtests.bench.plan import BARE, DOORS, HAPROXY, HEADLINE, MAX_TOKENS, OWN, Plan, order, prompt_seed
from loadtests.bench.probe import Door, Shot, idle_of, pin_apart, shoot, unpin
from loadtests.bench.results import Batching, Equality
from loadtests.processes import Memory, memory
from loadtests.roles import Role
from loadtests.servers import Server, start_bare, start_sluice

SYSTEMS = {BARE: "bare vLLM", OWN: "Sluice", HAPROXY: "Sluice"}
WARM_UP, COMPARISON, ALONE = 901, 902, 903
"""Numbers of rounds that are no pairs, as far as their prompts go."""


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
    equality: list[Equality] = field(default_factory=list)
    batching: list[Batching] = field(default_factory=list)
    alone: list[Shot] = field(default_factory=list)
    servers: dict[str, Server] = field(default_factory=dict)

    def run(self) -> None:
        try:
            self._start()
            doors = self._doors()
            self._warm_up(doors)
            self._idle()
            doors = self._doors()
            self._compare(doors)
            for streams in self.plan.streams:
                self._point(doors, streams)
            self._pinned(doors)
            self.memory = {name: memory(server.pids()) for name, server in self.servers.items()}
        finally:
            for server in self.servers.values():
                server.stop()
        if self.plan.batching:
            for limit in (1, HEADLINE):
                self.say(f"continuous batching: max_num_seqs {limit}")
                self.batching.append(batching(self.base, self.folder / f"batching-{limit}", limit, self.seed + limit))

    def _start(self) -> None:
        self.say("starting bare vLLM")
        bare = self.servers[SYSTEMS[BARE]] = start_bare(load(self.base), str(self.base), self.folder)
        if self.plan.alone:
            self.say(f"bare vLLM alone, {HEADLINE} streams")
            door = Door(BARE, bare, bare.ports["own"], {})
            for turn in range(self.plan.alone + 1):
                shot = self._shoot(door, HEADLINE, ALONE + turn)
                if turn:
                    self.alone.append(shot)
        self.say("starting Sluice")
        self.servers[SYSTEMS[OWN]] = start_sluice(self.base, self.folder / "sluice", haproxy=True)

    def _doors(self) -> dict[str, Door]:
        """With the idle use that is known so far."""
        ports = {BARE: "own", OWN: "own", HAPROXY: "haproxy"}
        whole = {name: sum(roles.values()) for name, roles in self.idle.items()}
        doors = {}
        for door in DOORS:
            system = SYSTEMS[door]
            beside = sum(cores for name, cores in whole.items() if name != system)
            server = self.servers[system]
            doors[door] = Door(door, server, server.ports[ports[door]], self.idle.get(system, {}), beside)
        return doors

    def _warm_up(self, doors: dict[str, Door]) -> None:
        self.say("warming up")
        for door in doors.values():
            seed = prompt_seed(self.seed, HEADLINE, WARM_UP, door.name)
            shoot(door, HEADLINE, self.plan.warmups, MAX_TOKENS, seed=seed, pair=0)

    def _idle(self) -> None:
        self.say(f"idle use, {self.plan.idle_s:.0f} s each")
        for name, server in self.servers.items():
            self.idle[name] = idle_of(server, self.plan.idle_s)

    def _compare(self, doors: dict[str, Door]) -> None:
        """One stream at a time, so that no batch mate can tip a near tie."""
        self.say("comparing answers")
        seed = prompt_seed(self.seed, 1, COMPARISON, BARE)
        texts = {
            name: shoot(door, 1, self.plan.samples_compared, MAX_TOKENS, seed=seed, pair=0).load.texts
            for name, door in doors.items()
        }
        for name in (OWN, HAPROXY):
            self.equality.append(equality.compare(f"of {name}, one at a time", texts[name], texts[BARE]))

    def _point(self, doors: dict[str, Door], streams: int) -> None:
        parts = []
        for pair in range(self.plan.rounds(streams)):
            round_ = {name: self._shoot(doors[name], streams, pair) for name in order(pair)}
            for name, shot in round_.items():
                self.shots[streams, False, name].append(shot)
            rates = ", ".join(f"{name} {shot.sample.requests_per_s:.1f}" for name, shot in round_.items())
            self.say(f"{streams} streams, pair {pair + 1}: requests/s {rates}")
            parts.append(equality.compare("", round_[OWN].load.texts, round_[BARE].load.texts))
        self.equality.append(equality.together(f"of {OWN} under {streams} streams", parts))

    def _pinned(self, doors: dict[str, Door]) -> None:
        if (psutil.cpu_count() or 1) < 2 or HEADLINE not in self.plan.streams:
            return
        pin_apart(self.servers.values(), core_cpu=0, front_cpu=1)
        for pair in range(self.plan.pinned_pairs):
            self.say(f"pinned to separate cores, pair {pair + 1}")
            for name in order(pair):
                self.shots[HEADLINE, True, name].append(self._shoot(doors[name], HEADLINE, pair, pinned=True))
        unpin(self.servers.values())

    def _shoot(self, door: Door, streams: int, pair: int, *, pinned: bool = False) -> Shot:
        seed = prompt_seed(self.seed, streams, pair, door.name, pinned=pinned)
        cpus = {1} if pinned else None
        return shoot(door, streams, self.plan.requests(streams), MAX_TOKENS, seed=seed, pair=pair, cpus=cpus)

    def alone_ratio(self) -> float | None:
        """Bare vLLM's requests/s with no Sluice on the machine, over those beside an idle one."""
        beside = self.shots.get((HEADLINE, False, BARE))
        if not self.alone or not beside:
            return None
        alone, together = (
            spread([shot.sample.requests_per_s for shot in shots]).median for shots in (self.alone, beside)
        )
        return alone / together


def with_options(plan: Plan, streams: tuple[int, ...] | None, pairs: int | None) -> Plan:
    changes = {name: value for name, value in (("streams", streams), ("pairs", pairs)) if value is not None}
    return dataclasses.replace(plan, **changes)  # type: ignore[arg-type]
