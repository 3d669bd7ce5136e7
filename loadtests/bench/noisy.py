"""A noisy neighbour: what a tenant's time to first token becomes while another one offers twenty times its share."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from loadtests.arithmetic import paired_ratios, percentile, spread
from loadtests.bench.results import Noisy
from loadtests.drive import drive
from loadtests.load import Job, Load
from loadtests.prompts import prompts
from loadtests.servers import HOST, Server, start_sluice

SEQUENCES = 16
"""`max_num_seqs`: small, so that twenty times a share is a load that this machine can generate."""
QUIET, FAIR, NOISE = 4, SEQUENCES - 4, 20 * SEQUENCES // 2
"""Streams. The share of one of two tenants is half of the sequences; the quiet one uses half of its own."""
TOKENS, NOISE_TOKENS = 16, 64
REQUESTS, NOISE_REQUESTS = 320, 2400
SETTLE_S = 2.0


def noisy_neighbour(base: Path, folder: Path, rounds: int, seed: int, say: Callable[[str], None]) -> Noisy:
    """Starts a Sluice for it, and stops it again."""
    server = start_sluice(base, folder, haproxy=False, engine={"max_num_seqs": SEQUENCES})
    try:
        quiet, noise = (_key(folder, tenant) for tenant in ("quiet", "noisy"))
        _ask(server, quiet, 64, seed)
        alone, fair, beside = [], [], []
        for turn in range(seed, seed + 10 * rounds, 10):
            alone.append(_p99(_ask(server, quiet, REQUESTS, turn + 1)))
            fair.append(_p99(_beside(server, quiet, noise, FAIR, turn + 2)))
            beside.append(_p99(_beside(server, quiet, noise, NOISE, turn + 3)))
            say(
                f"noisy neighbour: TTFT p99 {alone[-1]:.1f} ms alone, {fair[-1]:.1f} beside {FAIR}, {beside[-1]:.1f} beside {NOISE}"
            )
    finally:
        server.stop()
    ratios = (spread(paired_ratios(beside, other)) for other in (alone, fair))
    return Noisy(SEQUENCES, QUIET, FAIR, NOISE, alone, fair, beside, *ratios)


def _beside(server: Server, quiet: str, noise: str, streams: int, seed: int) -> Load:
    """The noise is there before the quiet tenant comes, and outlasts it."""

    def make_noise() -> None:
        texts = prompts(NOISE_REQUESTS, seed + 100_000)
        drive(Job(HOST, server.ports["own"], server.model, texts, streams, NOISE_TOKENS, noise), lambda: None)

    neighbour = threading.Thread(target=make_noise)
    neighbour.start()
    time.sleep(SETTLE_S)
    try:
        load = _ask(server, quiet, REQUESTS, seed)
        if not neighbour.is_alive():
            raise RuntimeError("the noise was over before the quiet tenant was")
        return load
    finally:
        neighbour.join()


def _ask(server: Server, key: str, requests: int, seed: int) -> Load:
    job = Job(HOST, server.ports["own"], server.model, prompts(requests, seed), QUIET, TOKENS, key)
    load, _, _ = drive(job, lambda: None)
    if load.problems:
        raise RuntimeError(f"the quiet tenant was failed: {load.problems[0]}")
    return load


def _p99(load: Load) -> float:
    return percentile(load.ttft_s, 0.99) * 1e3


def _key(folder: Path, tenant: str) -> str:
    command = [sys.executable, "-m", "gateway.cli", "keys", "-c", str(folder / "sluice.yaml"), "create"]
    made = subprocess.run([*command, "--name", tenant, "--tenant", tenant], capture_output=True, text=True, check=True)
    return made.stdout.split()[0]
