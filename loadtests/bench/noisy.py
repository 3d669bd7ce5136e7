"""A noisy neighbour: what a tenant's time to first token becomes while another one offers twenty times its share. A part of
`make bench`; `python -m loadtests.bench.noisy` measures it alone.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from loadtests.arithmetic import median_interval, paired_ratios, percentile, spread
from loadtests.bench import alone
from loadtests.bench.plan import Plan
from loadtests.bench.results import Noisy
from loadtests.drive import ROOT, LoadFailedError, drive
from loadtests.load import Job, Load
from loadtests.prompts import prompts
from loadtests.servers import HOST, Server, start_sluice

SEQUENCES = 16
"""`max_num_seqs`: small, so that twenty times a share is a load that this machine can generate."""
QUIET, FAIR, NOISE = 4, SEQUENCES - 4, 20 * SEQUENCES // 2
"""Streams. The share of one of two tenants is half of the sequences; the quiet one uses half of its own."""
TOKENS, NOISE_TOKENS = 16, 64
REQUESTS, NOISE_REQUESTS = 320, 9600
"""The noise is stopped when the quiet tenant is done, and must not be over before."""
SETTLE_S = 2.0


def noisy_neighbour(base: Path, folder: Path, rounds: int, seed: int, say: Callable[[str], None]) -> Noisy:
    """Starts a Sluice for it, and stops it again. A round measures all three; who goes first takes turns."""
    server = start_sluice(base, folder, haproxy=False, engine={"max_num_seqs": SEQUENCES})
    neighbours = (0, FAIR, NOISE)
    found: dict[int, list[float]] = {streams: [] for streams in neighbours}
    try:
        quiet, noise = (_key(folder, tenant) for tenant in ("quiet", "noisy"))
        _ask(server, quiet, 64, seed)
        for turn in range(rounds):
            first = turn % len(neighbours)
            for number, streams in enumerate((*neighbours[first:], *neighbours[:first]), 1):
                of = seed + 10 * turn + number
                with _Noise(server, noise, streams, of + 100_000):
                    found[streams].append(percentile(_ask(server, quiet, REQUESTS, of).ttft_s, 0.99) * 1e3)
            by_itself, fair, beside = (values[-1] for values in found.values())
            say(
                f"noisy neighbour: TTFT p99 {by_itself:.1f} ms alone, {fair:.1f} beside {FAIR}, {beside:.1f} beside {NOISE}"
            )
    finally:
        server.stop()
    return compared(*found.values())


def compared(by_itself: Sequence[float], fair: Sequence[float], beside: Sequence[float]) -> Noisy:
    """The p99 of each round (ms) alone, beside a neighbour within its share, and beside a noisy one."""
    to_alone, to_fair = (paired_ratios(beside, other) for other in (by_itself, fair))
    return Noisy(
        max_num_seqs=SEQUENCES,
        quiet_streams=QUIET,
        fair_streams=FAIR,
        noisy_streams=NOISE,
        alone_ms=list(by_itself),
        fair_ms=list(fair),
        beside_ms=list(beside),
        ratio=spread(to_alone),
        ratio_to_fair=spread(to_fair),
        interval=median_interval(to_alone),
        interval_to_fair=median_interval(to_fair),
    )


class _Noise:
    """Another tenant's streams, there before the quiet tenant comes, and until it has gone. With no streams, nobody."""

    def __init__(self, server: Server, key: str, streams: int, seed: int) -> None:
        texts = prompts(NOISE_REQUESTS if streams else 0, seed)
        self._job = Job(HOST, server.ports["own"], server.model, texts, streams, NOISE_TOKENS, key)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        if self._job.streams:
            command = [sys.executable, "-m", "loadtests.generator", "/dev/null"]
            process = self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(msgspec.json.encode(self._job) + b"\n")
            process.stdin.flush()
            if process.stdout.readline() != b"ready\n":
                raise LoadFailedError("the noise could not connect")
            process.stdin.write(b"go\n")
            process.stdin.flush()
        time.sleep(SETTLE_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is None:
            return
        over = self._process.poll() is not None
        with self._process:
            self._process.kill()
        time.sleep(SETTLE_S)
        if over and kind is None:
            raise RuntimeError("the noise was over before the quiet tenant was")


def _ask(server: Server, key: str, requests: int, seed: int) -> Load:
    job = Job(HOST, server.ports["own"], server.model, prompts(requests, seed), QUIET, TOKENS, key)
    load, _, _ = drive(job, lambda: None)
    if load.problems:
        raise RuntimeError(f"the quiet tenant was failed: {load.problems[0]}")
    return load


def _key(folder: Path, tenant: str) -> str:
    command = [sys.executable, "-m", "gateway.cli", "keys", "-c", str(folder / "sluice.yaml"), "create"]
    made = subprocess.run([*command, "--name", tenant, "--tenant", tenant], capture_output=True, text=True, check=True)
    return made.stdout.split()[0]


def main() -> None:
    from loadtests.bench.bars import bars
    from loadtests.bench.table import noisy_line

    arguments = alone.parser("noisy")
    arguments.add_argument("--rounds", type=int, default=Plan().noisy_rounds)
    asked = arguments.parse_args()
    noisy = alone.measured(
        "noisy", asked, lambda folder, say: noisy_neighbour(asked.config, folder, asked.rounds, asked.seed, say)
    )
    print(noisy_line(noisy))
    for bar in bars([], noisy=noisy):
        print(f"{bar.name}: {bar.verdict}")


if __name__ == "__main__":
    main()
