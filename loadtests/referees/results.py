"""The schema of loadtests/results/referees-*.json."""

from pathlib import Path

import msgspec

from loadtests.arithmetic import Spread

SCHEMA = 1


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One client's word on one system. `gap`: what the client calls inter-token latency."""

    client: str
    side: str
    seed: int
    completed: int
    failed: int
    requests_per_s: float
    tokens_per_s: float
    ttft_p50_ms: float
    ttft_p99_ms: float
    gap_p50_ms: float
    gap_p99_ms: float


class Results(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`ratios`: by client, Sluice's requests/s over bare vLLM's in the same round."""

    schema: int
    started: str
    command: list[str]
    commit: str
    machine: dict[str, str]
    versions: dict[str, str]
    streams: int
    requests: int
    prompt_tokens: int
    output_tokens: int
    ratios: dict[str, Spread]
    rows: list[Row]


def write(results: Results, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
