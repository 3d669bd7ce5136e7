"""Liveness and readiness, in words that an operator can act on."""

import json
from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class Health:
    """`problems` lists what keeps the gateway from serving; `fatal` what it will not recover from by itself; `warnings` what it
    serves in spite of.
    """

    problems: Callable[[], list[str]]
    fatal: Callable[[], list[str]]
    warnings: Callable[[], list[str]] = list

    def answer(self, path: str) -> tuple[int, bytes]:
        """Status and JSON body of /livez or /readyz."""
        reasons = self.fatal() if path == "/livez" else self.fatal() + self.problems()
        status = "ok" if not reasons else "unavailable"
        body = {"status": status, "reasons": reasons} | ({"warnings": self.warnings()} if path == "/readyz" else {})
        return (503 if reasons else 200), json.dumps(body).encode()
