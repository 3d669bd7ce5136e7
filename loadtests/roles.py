"""Command line of a process → its part in the system."""

import re
from enum import StrEnum


class Role(StrEnum):
    CORE = "engine core"
    API = "vLLM API server"
    GATEWAY = "gateway"
    REPLICA = "engine replica"
    HAPROXY = "HAProxy"
    SERVE = "Serve controller and proxies"
    RAYLET = "raylet"
    GCS = "GCS"
    DASHBOARD = "dashboard and agents"
    SPARE = "spare Ray workers"
    SUPERVISOR = "sluice up"
    OTHER = "other"


# The first match counts: what is most particular comes first.
_SIGNS: tuple[tuple[str, Role], ...] = (
    (r"^VLLM::EngineCore|EngineCore_DP", Role.CORE),
    (r"^ray::.*ServeReplica:[^:]+:Gateway\b", Role.GATEWAY),
    (r"^ray::.*ServeReplica:[^:]+:Engine-", Role.REPLICA),
    (r"^ray::.*(ServeController|ProxyActor|HAProxyManager)", Role.SERVE),
    (r"^ray::IDLE", Role.SPARE),
    (r"^(\S*/)?haproxy\s", Role.HAPROXY),
    (r"^(\S*/)?gcs_server\b", Role.GCS),
    (r"^(\S*/)?raylet\b", Role.RAYLET),
    (
        r"dashboard|^ray::(DashboardAgent|RuntimeEnvAgent)|runtime_env[/_]agent|log_monitor|autoscaler/.*monitor|/monitor\.py",
        Role.DASHBOARD,
    ),
    (r"-m vllm\.entrypoints\.|(^|/)vllm serve\b", Role.API),
    (r"(^|/)sluice up\b|gateway\.cli up\b", Role.SUPERVISOR),
)
SIGNS = tuple((re.compile(pattern), role) for pattern, role in _SIGNS)


def role_of(command: str) -> Role:
    """`command`: the arguments joined by blanks, or the title a process gave itself."""
    return next((role for sign, role in SIGNS if sign.search(command)), Role.OTHER)
