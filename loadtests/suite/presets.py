"""The suites that have a name: what Locust is told for each of them."""

from pathlib import Path
from typing import Any

import msgspec

SLO = Path(__file__).parents[1] / "slo.yaml"
SLO_OF = {name: SLO.with_name(f"slo-{name}.yaml") for name in ("smoke", "soak")}
SHAPES = ("none", "steady", "ramp", "burst", "soak", "day")
ARRIVALS = ("closed", "poisson", "trace")


class Preset(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`users` x `rate` requests/s arrive in a poisson suite; in a closed one each user thinks for `think` seconds (mean)."""

    shape: str
    minutes: float
    users: int
    arrivals: str = "poisson"
    rate: float = 0.5
    think: float = 1.0
    step: int = 8
    personas: str = ""
    trace: str = ""
    trace_speed: float = 1.0
    trace_scale: float = 1.0

    def arguments(self) -> list[str]:
        """Of the locust command, with the number of users reached within a second."""
        options: dict[str, Any] = msgspec.structs.asdict(self)
        users = options.pop("users")
        found = ["--users", str(users), "--spawn-rate", str(users)]
        for name, value in options.items():
            found += [f"--{name.replace('_', '-')}", str(value)] if value != "" else []
        return found


PRESETS = {
    "mixed": Preset("steady", 3.0, 24),
    "smoke": Preset("steady", 1.0, 16),
    "ramp": Preset("ramp", 5.0, 128, arrivals="closed", think=0.0, personas="chat,rag"),
    "burst": Preset("burst", 3.0, 4),
    "day": Preset("day", 6.0, 32),
    "soak": Preset("soak", 30.0, 16),
    "trace": Preset("none", 3.0, 1, arrivals="trace"),
}
