"""Objectives from a YAML file, and whether a run met them: one line for each."""

import math
from collections.abc import Collection
from pathlib import Path

import msgspec

from loadtests.suite.measures import Good

LATENCIES = ("ttft_p99_ms", "inter_token_p99_ms", "unloaded_ttft_ms", "unloaded_inter_token_ms")
THROUGHPUT = "throughput"
NAMES = (*LATENCIES, THROUGHPUT, "error_rate", "goodput", "lag_p99_ms", "tool_calls", "memory_growth_mib")


class ObjectivesError(ValueError):
    """A file of objectives that cannot be used; the message names file and key."""


class Objective(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A bound on the figure itself and one on its ratio to the baseline's (for `at_least`, the ratio's lower bound)."""

    at_most: float | None = None
    at_least: float | None = None
    baseline_ratio: float | None = None


class Objectives(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    good: Good
    objectives: dict[str, Objective]


class Figures(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one run measured, by the names of objectives. `calibration_ms`: what the fixed work took there; None: unknown."""

    values: dict[str, float]
    calibration_ms: float | None = None

    def ratio_to(self, then: "Figures", name: str) -> float | None:
        """As if both machines were equally fast; None if either has no such figure, or no calibration where it takes one."""
        mine, theirs = self.values.get(name), then.values.get(name)
        if mine is None or not theirs:
            return None
        if name not in LATENCIES and name != THROUGHPUT:
            return mine / theirs
        if not self.calibration_ms or not then.calibration_ms:
            return None
        slower = self.calibration_ms / then.calibration_ms
        return mine / theirs * slower if name == THROUGHPUT else mine / theirs / slower


class Verdict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`value` is None where the run did not measure it, which fails what is `required`; `ratio` is None where there is nothing to
    compare with.
    """

    name: str
    value: float | None
    objective: Objective
    baseline: float | None = None
    ratio: float | None = None
    required: bool = False

    @property
    def met(self) -> bool:
        if self.value is None:
            return not self.required
        rule = self.objective
        return (
            not math.isnan(self.value)
            and (rule.at_most is None or self.value <= rule.at_most)
            and (rule.at_least is None or self.value >= rule.at_least)
            and self._ratio_holds()
        )

    def _ratio_holds(self) -> bool:
        bound = self.objective.baseline_ratio
        if self.ratio is None or bound is None:
            return True
        return self.ratio >= bound if self.objective.at_least is not None else self.ratio <= bound

    def line(self) -> str:
        word = "FAIL" if not self.met else "SKIP" if self.value is None else "PASS"
        if self.value is None:
            return f"{word}  {self.name:<20} not measured in this run"
        rule = self.objective
        bound = f"<= {rule.at_most:g}" if rule.at_most is not None else f">= {rule.at_least:g}"
        text = f"{word}  {self.name:<20} {self.value:>10.4g} {bound:<10}"
        if self.ratio is not None and rule.baseline_ratio is not None:
            sign = ">=" if rule.at_least is not None else "<="
            text += f"  {self.ratio:.2f} of the baseline's {self.baseline:.4g} {sign} {rule.baseline_ratio:g}"
        return text.rstrip()


def read_objectives(file: Path) -> Objectives:
    """Raises ObjectivesError."""
    try:
        objectives = msgspec.yaml.decode(file.read_bytes(), type=Objectives)
    except (OSError, msgspec.MsgspecError) as exc:
        raise ObjectivesError(f"{file}: {exc}") from exc
    for name, rule in objectives.objectives.items():
        if name not in NAMES:
            raise ObjectivesError(f"{file}: objectives.{name}: unknown; there are {', '.join(NAMES)}")
        if (rule.at_most is None) == (rule.at_least is None):
            raise ObjectivesError(f"{file}: objectives.{name}: give either at_most or at_least")
    return objectives


def judge(
    objectives: Objectives, now: Figures, then: Figures | None = None, required: Collection[str] = ()
) -> list[Verdict]:
    """`then`: the baseline. `required`: what must have been measured."""
    return [
        Verdict(
            name,
            now.values.get(name),
            rule,
            None if then is None else then.values.get(name),
            None if then is None else now.ratio_to(then, name),
            name in required,
        )
        for name, rule in objectives.objectives.items()
    ]
