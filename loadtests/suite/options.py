"""The suite's own command-line options; Locust's web UI shows them in its start form, and a master sends them to its workers."""

import argparse
import os
from typing import Any

from locust import events

from loadtests.suite.client import KEEP_ALIVE_S
from loadtests.suite.presets import ARRIVALS, SHAPES, SLO


def add(parser: argparse.ArgumentParser, **_: Any) -> None:
    """Keys come from the environment, so that no list of processes and no web page shows them."""
    group: Any = parser  # Locust's own class: it alone knows what its web page may show
    group.add_argument("--served-model", default="sluice-demo", help="the model to ask for")
    at_start = {"include_in_web_ui": False}  # a running Locust cannot change them any more
    hidden = {"default": "", **at_start}
    group.add_argument("--api-key", env_var="SLUICE_KEY", help="set SLUICE_KEY instead", **hidden)
    group.add_argument(
        "--metered-key",
        env_var="SLUICE_METERED_KEY",
        help="a key whose tier lets it do little at once, for the over-limit tenant; set SLUICE_METERED_KEY instead",
        **hidden,
    )
    group.add_argument(
        "--extractor-key",
        env_var="SLUICE_EXTRACTOR_KEY",
        help="a key that may come under suspicion, for the extractor; set SLUICE_EXTRACTOR_KEY instead",
        **hidden,
    )
    group.add_argument(
        "--ca-file",
        default="",
        help="PEM file with the authority of an https server (default: the system's)",
        **at_start,
    )
    group.add_argument("--arrivals", choices=ARRIVALS, default="closed", help="closed loop, or open: poisson or trace")
    group.add_argument("--rate", type=float, default=1.0, help="poisson: requests/s of each user (users x rate in all)")
    group.add_argument("--think", type=float, default=1.0, help="closed: mean seconds between two requests of a user")
    group.add_argument("--trace", default="", help="CSV or Mooncake JSON lines, for --arrivals trace and --shape day")
    group.add_argument("--trace-speed", type=float, default=1.0, help="replay so many times faster")
    group.add_argument("--trace-scale", type=float, default=1.0, help="divide the trace's token counts by this")
    group.add_argument("--context", type=int, default=2048, help="the model's context in tokens")
    group.add_argument(
        "--personas", default="", help="comma-separated (default: all), as name or name=weight", **at_start
    )
    group.add_argument(
        "--shape", choices=SHAPES, default="none", help="of the load over time; none: --users", **at_start
    )
    group.add_argument("--minutes", type=float, default=3.0, help="how long the shape lasts")
    group.add_argument("--step", type=int, default=8, help="ramp: users added at each step")
    group.add_argument("--step-seconds", type=float, default=15.0, help="ramp: how long a step lasts")
    group.add_argument(
        "--same-texts",
        choices=("yes", "no"),
        default="yes",
        help="another text than the first time is an error, or counted",
    )
    group.add_argument("--seed", type=int, default=1, help="of prompts, personas and arrivals")
    group.add_argument("--stall", type=float, default=60.0, help="seconds of silence after which a request failed")
    group.add_argument(
        "--keep-alive",
        type=float,
        default=KEEP_ALIVE_S,
        help="seconds for which the server keeps an idle connection; one that it closes earlier is a failure",
    )
    group.add_argument("--drain", type=float, default=65.0, help="seconds after the end in which what is open may end")
    group.add_argument(
        "--slo", default=os.fspath(SLO), help="objectives; empty: none, and Locust's exit status", **at_start
    )
    group.add_argument(
        "--records", default="", help="file that the requests' records are written to (msgpack)", **at_start
    )


events.init_command_line_parser.add_listener(add)
