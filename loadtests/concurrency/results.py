"""The schema of loadtests/results/concurrency-*.json."""

from pathlib import Path
from typing import Any

import msgspec

SCHEMA = 1
LOW, SEEN, HELD_S, IDLE_S = 0.95, 0.95, 300.0, 60.0


class Streams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`in_flight_*`: streams that the gateway counted, sampled every two seconds for `steady_s`, after all had started, of which
    it answered `seen_share`. Memory is anonymous, of the gateway's process: idle, at its highest under load, and per stream (KiB).
    """

    wanted: int
    seconds: float
    max_tokens: int
    completed: int
    tokens_per_s: float
    in_flight_median: float
    in_flight_low: int
    ttft_p50_ms: float
    ttft_p99_ms: float
    mean_gap_p50_ms: float
    problems: dict[str, int]
    gateway_idle_mib: float
    gateway_peak_mib: float
    kib_per_stream: float
    gateway_after_mib: float
    gateway_fds_peak: int
    steady_s: float
    seen_share: float = 1.0

    @property
    def met(self) -> bool:
        """All of them at once for five minutes: at the median of the samples, and nearly so in the lowest."""
        return (
            not self.problems
            and 0 < self.wanted <= self.in_flight_median
            and self.in_flight_low >= LOW * self.wanted
            and self.steady_s >= HELD_S
            and self.seen_share >= SEEN
        )


class Connections(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Idle keep-alive connections at the gateway's own port, held for `seconds` and then asked once more."""

    wanted: int
    seconds: float
    refused: int
    lost: int
    silent: int
    opened_in_s: float
    asked_in_s: float
    stream_ttft_before_ms: float
    stream_ttft_beside_ms: float
    gateway_before_mib: float
    gateway_with_mib: float
    kib_per_connection: float
    gateway_fds: int
    descriptor_limit: int

    @property
    def met(self) -> bool:
        return self.wanted > 0 and self.seconds >= IDLE_S and not (self.refused or self.lost or self.silent)


class Results(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    schema: int
    started: str
    command: list[str]
    seed: int
    commit: str
    machine: dict[str, str]
    versions: dict[str, str]
    config: dict[str, Any]
    streams: Streams | None
    connections: Connections | None


def write(results: Results, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
