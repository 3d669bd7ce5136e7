"""One run of the red team: mode by mode, attack by attack, each with a tenant of its own."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loadtests.redteam import stage
from loadtests.redteam.attack import Attack, Finding, Mode, Scene
from loadtests.redteam.race import BUDGET
from loadtests.redteam.results import Row
from loadtests.redteam.stage import Stage
from loadtests.redteam.suite import PROCESSED
from loadtests.redteam.target import Stopped, Target
from loadtests.redteam.verdict import unclear

LIMITS: Mapping[str, Any] = {
    "tiers": {
        "race": {"tokens": [{"scope": "key", "limit": BUDGET, "per": "day"}]},
    }
}
SETTINGS: Mapping[Mode, Mapping[str, Any]] = {
    Mode.OPEN: {"gateway": {"guard": {"unsafe_open_surface": True}}, "limits": LIMITS},
    Mode.GUARDED: {"gateway": {"guard": {"enforce": "quarantine"}}, "limits": LIMITS},
}
"""Sections of the configuration in each mode; whatever is not said is as shipped."""
ATTACK_S = 600.0


@dataclass(slots=True)
class Session:
    """`rows` fill as attacks end."""

    scratch: Path
    seed: int
    say: Callable[[str], None]
    rows: list[Row] = field(default_factory=list)
    memory: dict[str, Any] = field(default_factory=dict)

    def run(self, attacks: Sequence[Attack], modes: Iterable[Mode]) -> None:
        if not attacks:
            return
        names = sorted({attack.model for attack in attacks})
        weights = stage.make(self.scratch, self.seed, names)
        for mode in modes:
            self.say(f"{mode}: starting")
            self._on(stage.start(mode, self.scratch, weights, names, SETTINGS), attacks, mode, weights)
            if mode is Mode.BARE and any(attack.id == "R3" for attack in attacks):
                self.say("bare vLLM with processed logprobs: starting")
                leaky = stage.bare(self.scratch, weights, [stage.VICTIM], (*stage.LEAKY, *stage.PROCESSED))
                self._on(leaky, [PROCESSED], mode, weights)

    def _on(self, stands: Stage, attacks: Sequence[Attack], mode: Mode, weights: Path) -> None:
        try:
            for attack in attacks:
                if mode in attack.expected:
                    row = asyncio.run(self._try(attack, mode, stands, weights))
                    self.rows.append(row)
                    self.say(f"{row.attack} {'wins' if row.success else 'fails'}: {row.measure or row.stopped}")
        finally:
            stands.close()

    async def _try(self, attack: Attack, mode: Mode, stands: Stage, weights: Path) -> Row:
        own, victim = stands.keys(1, attack.tier)[0], stands.keys(1)[0]
        door = stands.doors[attack.model]
        target = Target(door.port, door.model, (own,))
        begun, ended = time.monotonic(), True
        try:
            async with asyncio.timeout(ATTACK_S):
                scene = Scene(target, weights / attack.model, mode, self.seed, self.memory, victim)
                finding = await attack.run(scene)
        except Stopped:
            finding, ended = Finding(False, "", {}), False
        except TimeoutError:
            finding, ended = Finding(False, f"not done after {ATTACK_S:.0f} s", {}), False
            target.books.refused(target.books.requests, "out of time")
        finally:
            target.close()
        books = target.books
        if any(reason.startswith("401") for reason in books.refusals):
            raise RuntimeError(f"{attack.id} was refused for its key: {books.refusals}")
        return Row(
            attack.id,
            attack.title,
            str(mode),
            str(attack.expected[mode]),
            finding.success,
            finding.measure,
            books.requests,
            books.answered,
            books.prompt_tokens,
            books.completion_tokens,
            books.scalars,
            books.stopped,
            dict(books.refusals),
            dict(finding.figures),
            round(time.monotonic() - begun, 2),
            "" if finding.success else unclear(attack.stops, books.decisive, ended=ended),
        )
