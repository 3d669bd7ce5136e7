"""The schema of loadtests/results/bench-*.json. Times are milliseconds, CPU is microseconds per streamed token."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from loadtests.arithmetic import Spread
from loadtests.processes import Memory

SCHEMA = 4


class Sample(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One load through one door, in the phase of that or (for bare vLLM) another door.

    `foreign_cores`: mean cores used by processes that are no part of the measurement.
    """

    phase: str
    door: str
    streams: int
    pair: int
    pinned: bool
    seconds: float
    completed: int
    tokens: int
    token_events: int
    requests_per_s: float
    tokens_per_s: float
    ttft_p50_ms: float
    ttft_p99_ms: float
    gap_p50_ms: float
    gap_p99_ms: float
    front_us: float
    front_us_by_role: dict[str, float]
    core_us: float
    client_us: float
    foreign_cores: float
    problems: list[str]


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A door at one number of streams: medians with ranges over its samples, percentiles over all their streams together.

    `events_per_token` below 1: a front end that fell behind sent several tokens in one event, and saved itself the rest.
    For bare vLLM that is over both phases.
    """

    door: str
    streams: int
    pinned: bool
    requests_per_s: Spread
    tokens_per_s: Spread
    ttft_p50_ms: float
    ttft_p99_ms: float
    gap_p50_ms: float
    gap_p99_ms: float
    events_per_token: float
    front_us: Spread
    core_us: Spread
    client_us: Spread


class Bar(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A promise: `value.median` of paired ratios (or differences) against a bar that must hold and an aim beyond it. With an
    `interval` of the median, the bar must hold for all of it.
    """

    name: str
    unit: str
    value: Spread
    bar: float
    aim: float
    higher_is_better: bool
    interval: tuple[float, float] | None = None

    @property
    def met(self) -> bool:
        worst = self.value.median if self.interval is None else self.interval[0 if self.higher_is_better else 1]
        return self._reaches(worst, self.bar)

    @property
    def verdict(self) -> str:
        if self.met:
            return "pass"
        return "not told apart from noise" if self._reaches(self.value.median, self.bar) else "MISSED"

    @property
    def aim_met(self) -> bool:
        return self._reaches(self.value.median, self.aim)

    def _reaches(self, value: float, line: float) -> bool:
        return value >= line if self.higher_is_better else value <= line


class Equality(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many greedy answers differed from bare vLLM's to the same prompt; `examples` holds a few pairs of them."""

    where: str
    compared: int
    different: int
    examples: list[tuple[str, str]]


class Batching(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sluice at one max_num_seqs: 64 streams' tokens/s, and when a long and a later, short request ended (ms after the first)."""

    max_num_seqs: int
    tokens_per_s: float
    long_ended_ms: float
    short_sent_ms: float
    short_ended_ms: float


class Noisy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tenant's TTFT (p99, ms, one per round) alone, beside a neighbour within its share, and beside one that offers twenty
    times its share; streams of each. The engine is as full beside the second as beside the third, and nobody waits. The intervals
    hold the ratios' medians with 95 % confidence, if there were six rounds.
    """

    max_num_seqs: int
    quiet_streams: int
    fair_streams: int
    noisy_streams: int
    alone_ms: list[float]
    fair_ms: list[float]
    beside_ms: list[float]
    ratio: Spread
    ratio_to_fair: Spread
    interval: tuple[float, float] | None = None
    interval_to_fair: tuple[float, float] | None = None


class Tracing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sluice with traces of a `ratio` of its requests over Sluice with none, pair by pair: requests/s, and all CPU that both sides'
    processes use for each token, which varies less. The intervals hold the median with 95 % confidence. `received`: bytes of spans.
    """

    ratio: float
    streams: int
    requests: int
    received: int
    requests_per_s: Spread
    requests_interval: tuple[float, float]
    cpu: Spread
    cpu_interval: tuple[float, float]
    samples: list[Sample]


class Results(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One run. `idle_cores` and `memory` are by system and role."""

    schema: int
    started: str
    seconds: float
    command: list[str]
    seed: int
    commit: str
    machine: dict[str, str]
    versions: dict[str, str]
    bare_vllm: dict[str, Any]
    sluice: dict[str, Any]
    idle_cores: dict[str, dict[str, float]]
    memory: dict[str, dict[str, Memory]]
    rows: list[Row]
    bars: list[Bar]
    equality: list[Equality]
    batching: list[Batching]
    noisy: Noisy | None
    tracing: Tracing | None
    samples: list[Sample]


def without_paths(value: Any, names: Mapping[str, str]) -> Any:
    """Folders of the machine replaced by names, anywhere in a JSON-like value."""
    match value:
        case str():
            for folder, name in names.items():
                value = value.replace(folder, name)
            return value
        case dict():
            return {key: without_paths(item, names) for key, item in value.items()}
        case list() | tuple():
            return [without_paths(item, names) for item in value]
        case _:
            return value


def write(results: Results, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")


def read(file: Path) -> Results:
    """Raises msgspec.ValidationError if the file has another schema."""
    results = msgspec.json.decode(file.read_bytes(), type=Results)
    if results.schema != SCHEMA:
        raise msgspec.ValidationError(f"schema {results.schema}, this reader knows {SCHEMA}")
    return results
