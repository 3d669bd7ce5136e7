"""Objectives from a YAML file, and whether a run met them: one line for each."""

import math
from collections.abc import Collection, Mapping
from pathlib import Path

import msgspec

from loadtests.suite.measures import Good

LATENCIES = ("ttft_p99_ms", "inter_token_p99_ms")
NAMES = (*LATENCIES, "error_rate", "goodput", "lag_p99_ms", "tool_calls", "memory_growth_mib")


class ObjectivesError(ValueError):
    """A file of objectives that cannot be used; the message names file and key."""


class Objective(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A bound on the figure itself and one on its ratio to the baseline's (for `at_least`, the ratio's lower bound).

    Latencies are compared with the baseline as multiples of the same run's unloaded latency, since machines differ.
    """

    at_most: float | None = None
    at_least: float | None = None
    baseline_ratio: float | None = None


class Objectives(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    good: Good
    objectives: dict[str, Objective]


class Verdict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`value` is None where the run did not measure it, which fails what is `required`; `ratio` is None where there is nothing to
    compare with.
    """

    name: str
    value: float | None
    objective: Objective
    baseline: float | None = None
    multiple: float | None = None
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
        if self.multiple is not None:
            text += f"  {self.multiple:.2f}x unloaded"
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
    objectives: Objectives,
    values: Mapping[str, float],
    unloaded: Mapping[str, float] | None = None,
    baseline: Mapping[str, float] | None = None,
    required: Collection[str] = (),
) -> list[Verdict]:
    """`unloaded`: the same run's latencies with one stream, by the names of objectives. `baseline`: an earlier run's comparable
    figures, as `comparable` gives them. `required`: what must have been measured.
    """
    comparables = comparable(values, unloaded or {})
    found = []
    for name, rule in objectives.objectives.items():
        now, then = comparables.get(name), (baseline or {}).get(name)
        ratio = None if now is None or then is None or not then else now / then
        multiple = now if name in LATENCIES else None
        found.append(Verdict(name, values.get(name), rule, then, multiple, ratio, name in required))
    return found


def comparable(values: Mapping[str, float], unloaded: Mapping[str, float]) -> dict[str, float]:
    """Figures that may be held against another machine's: shares as they are, latencies in multiples of the unloaded one."""
    found = {name: value for name, value in values.items() if name not in LATENCIES}
    return found | {
        name: values[name] / unloaded[name] for name in LATENCIES if name in values and unloaded.get(name, 0) > 0
    }
