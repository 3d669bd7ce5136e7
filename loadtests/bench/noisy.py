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
QUIET, NOISE = 4, 20 * SEQUENCES // 2
"""Streams. The share of one of two tenants is half of the sequences; the quiet one uses half of its own."""
TOKENS, NOISE_TOKENS = 16, 64
REQUESTS = 320
SETTLE_S = 2.0


def noisy_neighbour(base: Path, folder: Path, pairs: int, seed: int, say: Callable[[str], None]) -> Noisy:
    """Starts a Sluice for it, and stops it again. TTFTs are p99, milliseconds, one per pair."""
    server = start_sluice(base, folder, haproxy=False, engine={"max_num_seqs": SEQUENCES})
    try:
        quiet, noise = (_key(folder, tenant) for tenant in ("quiet", "noisy"))
        _ask(server, quiet, 64, seed)
        alone, beside = [], []
        for pair in range(pairs):
            alone.append(_p99(_ask(server, quiet, REQUESTS, seed + 10 * pair + 1)))
            beside.append(_p99(_beside(server, quiet, noise, seed + 10 * pair + 2)))
            say(f"noisy neighbour, pair {pair + 1}: TTFT p99 {alone[-1]:.1f} ms alone, {beside[-1]:.1f} ms beside it")
    finally:
        server.stop()
    return Noisy(SEQUENCES, QUIET, NOISE, alone, beside, spread(paired_ratios(beside, alone)))


def _beside(server: Server, quiet: str, noise: str, seed: int) -> Load:
    """The noise is there before the quiet tenant comes, and outlasts it."""
    over = threading.Event()

    def make_noise() -> None:
        turn = 0
        while not over.is_set():
            turn += 1
            texts = prompts(3 * NOISE, seed + 100_000 * turn)
            drive(Job(HOST, server.ports["own"], server.model, texts, NOISE, NOISE_TOKENS, noise), lambda: None)

    neighbour = threading.Thread(target=make_noise)
    neighbour.start()
    time.sleep(SETTLE_S)
    try:
        return _ask(server, quiet, REQUESTS, seed)
    finally:
        over.set()
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
