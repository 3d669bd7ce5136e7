"""What an attack is: a coroutine with a measurable aim, and what is expected of it in each mode."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from loadtests.redteam.target import Target


class Mode(StrEnum):
    BARE = "bare vLLM"
    OPEN = "guard off"
    GUARDED = "guard on"


class Expected(StrEnum):
    WINS = "wins"
    FAILS = "fails"


EXPLOIT: Mapping[Mode, Expected] = {Mode.BARE: Expected.WINS, Mode.OPEN: Expected.WINS, Mode.GUARDED: Expected.FAILS}
CONTROL: Mapping[Mode, Expected] = dict.fromkeys(Mode, Expected.FAILS)
"""An attack that must fail even unguarded: a red team that cannot lose measures nothing."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Where an attack takes place. `folder`: the weights, read only to judge what was found; `victim`: another tenant's key.

    `memory` is the run's: what one mode found out, the next may use.
    """

    target: Target
    folder: Path
    mode: Mode
    seed: int
    memory: dict[str, Any]
    victim: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """`success` by the attack's own measure, told in `measure`; `figures` are the numbers behind it."""

    success: bool
    measure: str
    figures: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Attack:
    """`model`: the random victim, the larger random library, or the demo model. `tier` is that of the attacker's key;
    `slow` ones belong to the full run. `stops`: the refusals that count as a defence (verdict.py); with none, only a measured
    failure does.
    """

    id: str
    title: str
    run: Callable[[Scene], Awaitable[Finding]]
    expected: Mapping[Mode, Expected]
    stops: frozenset[str] = frozenset()
    model: Literal["victim", "library", "demo"] = "victim"
    tier: str = "standard"
    slow: bool = False
