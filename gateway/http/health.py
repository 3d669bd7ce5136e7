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

    def answer(self, path: str, *, public: bool = False) -> tuple[int, bytes]:
        """Status and JSON body of /livez or /readyz. What failed may name hosts and folders: to the `public` only that it did."""
        fatal = self.fatal()
        if fatal and public:
            fatal = ["this gateway has failed"]
        reasons = fatal if path == "/livez" else fatal + self.problems()
        body: dict[str, object] = {"status": "ok" if not reasons else "unavailable", "reasons": reasons}
        if path == "/readyz" and not public:
            body["warnings"] = self.warnings()
        return (503 if reasons else 200), json.dumps(body).encode()
