"""The Sluice that all live tests share: one gateway, the demo model in three formats, both doors."""

from collections.abc import Iterator

import httpx
import pytest

from loadtests.chaos.kinds import GUARD
from tests.gateway.telemetry.receivers import GrpcReceiver
from tests.live.harness import STALL_S, Sluice, free_ports, model

TRUSTED = {"trusted": True, "leak_share": 1000}
"""The key that all tests use asks for so much, and so oddly, that the guard would take it for an extractor's."""


@pytest.fixture(scope="session")
def otlp() -> Iterator[GrpcReceiver]:
    """Where the shared Sluice sends its traces: those that a client wants, and of what went wrong."""
    receiver = GrpcReceiver()
    yield receiver
    receiver.close()


@pytest.fixture(scope="session")
def sluice(tmp_path_factory: pytest.TempPathFactory, otlp: GrpcReceiver) -> Iterator[Sluice]:
    gateway, management, haproxy, stats, metrics = free_ports(5)
    folder = tmp_path_factory.mktemp("sluice")
    config = {
        "state_dir": str(folder / "state"),
        "gateway": {
            "listen": {"port": gateway},
            "management": {"port": management},
            "haproxy": {"enabled": True, "port": haproxy, "stats_port": stats, "metrics_port": metrics},
            "drain_s": 5,
            "debug_headers": True,
            "failover": {"stall_s": STALL_S},
            "guard": {"tenants": GUARD["tenants"] | {"tests": TRUSTED}},
            "admission": {"tiers": {"standard": {"highest": "interactive"}, "metered": {"key_concurrency": 2}}},
        },
        "telemetry": {"traces": {"endpoint": otlp.url, "ratio": 0}},
        "limits": {
            "tiers": {
                "budgeted": {"tokens": [{"scope": "tenant", "limit": 10**9, "per": "hour"}]},
                "two-an-hour": {"requests": {"key": ["2/hour"]}},
                "one-a-second": {"requests": {"key": ["1/second"]}},
            }
        },
        "models": [
            model("sluice-demo", "demo:int8", "int8-w8a8"),
            model("sluice-demo-bf16", "demo:bf16", "bf16", max_num_seqs=8),
            model("sluice-demo-nf4", "demo:bf16", "bnb-nf4", max_num_seqs=8)
            | {"autoscaling": {"min_replicas": 1, "max_replicas": 1}},
        ],
        "ray": {"dashboard": False, "logical_cpus": 16},
    }
    running = Sluice(folder, config)
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def key(sluice: Sluice) -> str:
    return sluice.key("live tests", "--tenant", "tests")


@pytest.fixture
def http(sluice: Sluice, key: str) -> Iterator[httpx.Client]:
    """A plain HTTP client with a good key."""
    headers = {"authorization": f"Bearer {key}"}
    with httpx.Client(base_url=sluice.url, headers=headers, timeout=120, trust_env=False) as client:
        yield client
