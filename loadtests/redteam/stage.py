"""Starts what is attacked: bare vLLM, or Sluice, serving models made for it (random, float32) and the demo model."""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from gateway.auth.store import KeyStore
from gateway.config import load
from loadtests.redteam import library, victim
from loadtests.redteam.attack import Mode
from loadtests.servers import HOST, Server, start_bare, start_sluice

VICTIM, LIBRARY, DEMO = "victim", "library", "demo"
MAKERS = {VICTIM: victim.make, LIBRARY: library.make}
KNOWN_S = 30.0
ENGINE = {
    "enforce_eager": True,
    "max_num_seqs": 64,
    "max_num_batched_tokens": 2048,
    "block_size": 32,
    "kv_cache_memory": "64MiB",
}
LEAKY = ("--max-logprobs", "20", "--enable-prompt-tokens-details")
"""vLLM's own default bound, stated; and the cache hits of a prompt told, as many servers do."""
PROCESSED = ("--logprobs-mode", "processed_logprobs")


@dataclass(frozen=True, slots=True)
class Door:
    """One port that serves one model."""

    port: int
    model: str


class Stage:
    """The servers of one mode. `keys(n)` are those of n tenants, no two of one."""

    def __init__(self, doors: Mapping[str, Door], servers: Sequence[Server], store: KeyStore | None) -> None:
        self.doors, self._servers, self._store = doors, servers, store
        self._made = 0

    def keys(self, count: int, tier: str = "standard") -> list[str]:
        """Bare vLLM knows no keys."""
        if self._store is None:
            return [""] * count
        self._made += count
        made = range(self._made - count, self._made)
        fresh = [self._store.create(name=f"red-{n}", tenant=f"red-{n}", now=time.time(), tier=tier)[1] for n in made]
        self._await(fresh[-1])
        return fresh

    def _await(self, key: str) -> None:
        """A gateway reads its key file anew once a second; an attack that is refused for want of a key proves nothing."""
        port = next(iter(self.doors.values())).port
        deadline = time.monotonic() + KNOWN_S
        url, headers = f"http://{HOST}:{port}/v1/models", {"authorization": f"Bearer {key}"}
        while httpx.get(url, headers=headers, trust_env=False).status_code != 200:
            if time.monotonic() > deadline:
                raise TimeoutError("Sluice does not know the attacker's key")
            time.sleep(0.1)

    def close(self) -> None:
        for server in self._servers:
            server.stop()


def models(folder: Path, names: Sequence[str]) -> list[dict[str, Any]]:
    """Their entries in a configuration; `folder` has those that were made."""
    entries = {
        name: {
            "name": name,
            "checkpoints": {"cpu": {"source": str(folder / name), "format": "bf16"}},
            "tool_parser": "hermes",
            "engine": ENGINE | {"dtype": "float32"},
        }
        for name in MAKERS
    }
    entries |= {
        DEMO: {
            "name": DEMO,
            "checkpoints": {"cpu": {"source": "demo:bf16", "format": "bf16"}},
            "engine": ENGINE | {"dtype": "bfloat16", "kv_cache_memory": "256MiB"},
        },
    }
    return [entries[name] for name in names]


def bare(scratch: Path, weights: Path, names: Sequence[str], extra: Sequence[str] = LEAKY) -> Stage:
    """One vLLM server for each model."""
    with ExitStack() as started:
        servers = {}
        for name in names:
            file = scratch / f"bare-{name}.yaml"
            file.write_text(yaml.safe_dump({"models": models(weights, [name]), "state_dir": str(scratch / "none")}))
            servers[name] = start_bare(load(file), str(file), scratch, extra)
            started.callback(servers[name].stop)
        started.pop_all()
    doors = {name: Door(server.ports["own"], name) for name, server in servers.items()}
    return Stage(doors, list(servers.values()), None)


def sluice(scratch: Path, weights: Path, names: Sequence[str], settings: Mapping[str, Any]) -> Stage:
    """One Sluice for all models; `settings` are sections of its configuration."""
    scratch.mkdir(parents=True, exist_ok=True)
    base = scratch / "base.yaml"
    raw = {"models": models(weights, names), "ray": {"dashboard": False, "logical_cpus": 16}} | dict(settings)
    base.write_text(yaml.safe_dump(raw))
    server = start_sluice(base, scratch / "run", haproxy=False)
    store = KeyStore(load(scratch / "run" / "sluice.yaml").keys_file)
    return Stage({name: Door(server.ports["own"], name) for name in names}, [server], store)


def start(mode: Mode, scratch: Path, weights: Path, names: Sequence[str], settings: Mapping[Mode, Any]) -> Stage:
    if mode is Mode.BARE:
        return bare(scratch, weights, names)
    return sluice(scratch / mode.name.lower(), weights, names, settings[mode])


def make(scratch: Path, seed: int, names: Sequence[str]) -> Path:
    """Those of the models that are made from a seed, each in a folder of its name."""
    weights = scratch / "weights"
    for name in names:
        if name in MAKERS:
            MAKERS[name](weights / name, seed)
    return weights
