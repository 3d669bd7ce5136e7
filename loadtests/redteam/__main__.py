"""`python -m loadtests.redteam`: every attack in every mode, one table, one JSON file; fails if one did not end as it should.

What was found until an interruption is written, too.
"""

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from loadtests.bench.__main__ import PIPED_WIDTH, ROOT, commit, versions
from loadtests.bench.probe import machine
from loadtests.bench.results import without_paths
from loadtests.evaluation import campaigns
from loadtests.redteam.attack import Mode
from loadtests.redteam.results import SCHEMA, Results, Row, show, write
from loadtests.redteam.session import SETTINGS, Session
from loadtests.redteam.suite import ATTACKS

SIMULATED = (campaigns.HYDRA, campaigns.DRIP)
NAMES = (*(one.id for one in ATTACKS), *SIMULATED)
SLOW = {one.id for one in ATTACKS if one.slow}


def parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(prog="python -m loadtests.redteam", description="Tries to steal a model.")
    root.add_argument("--full", action="store_true", help="the slow attacks, too")
    root.add_argument("--attacks", type=_ids, help=f"comma-separated, of: {', '.join(NAMES)}")
    root.add_argument("--modes", type=_modes, default=tuple(Mode), help="comma-separated, of: bare, open, guarded")
    root.add_argument("--seed", type=int, default=1, help="of the victim and of what attacks draw (default: 1)")
    root.add_argument("--out", type=Path, help="JSON file (default: loadtests/results/redteam-<date>.json)")
    return root


def _ids(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if unknown := set(names) - set(NAMES):
        raise argparse.ArgumentTypeError(f"no such attack: {', '.join(sorted(unknown))}")
    return names


def _modes(text: str) -> tuple[Mode, ...]:
    try:
        return tuple(Mode[name.upper()] for name in text.split(","))
    except KeyError as exc:
        raise argparse.ArgumentTypeError(f"no such mode: {exc}") from exc


def main() -> None:
    arguments = parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    console = Console(highlight=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)
    begun, started, before, sha = time.monotonic(), time.strftime("%Y-%m-%dT%H:%M:%S%z"), machine(), commit()
    names = arguments.attacks or [name for name in NAMES if arguments.full or name not in SLOW]
    chosen = [one for one in ATTACKS if one.id in names]
    interrupted = False
    with tempfile.TemporaryDirectory(prefix="sluice-redteam-") as name:
        session = Session(
            Path(name),
            arguments.seed,
            lambda text: console.print(f"[dim]{time.monotonic() - begun:6.1f} s[/dim]  {text}"),
        )
        try:
            session.run(chosen, arguments.modes)
            session.rows += campaigns.rows(names, arguments.seed, arguments.modes, full=arguments.full)
        except (KeyboardInterrupt, SystemExit):
            interrupted = True
        rows = _in_order(session.rows)
        results = Results(
            schema=SCHEMA,
            started=started,
            seconds=round(time.monotonic() - begun, 1),
            command=without_paths(
                ["python", "-m", "loadtests.redteam", *sys.argv[1:]], {str(ROOT): ".", name: "<scratch>"}
            ),
            seed=arguments.seed,
            commit=sha,
            machine=before,
            versions=versions(),
            settings={mode.name.lower(): dict(settings) for mode, settings in SETTINGS.items()},
            rows=rows,
        )
    out = arguments.out or ROOT / "loadtests" / "results" / f"redteam-{time.strftime('%Y-%m-%d-%H%M%S')}.json"
    write(results, out)
    show(rows, console)
    console.print(f"written to {out}")
    sys.exit(130 if interrupted else int(not all(row.as_expected for row in rows)))


def _in_order(rows: list[Row]) -> list[Row]:
    """By attack, then by mode."""
    order = list(dict.fromkeys(row.attack for row in rows))
    return sorted(rows, key=lambda row: order.index(row.attack))


if __name__ == "__main__":
    main()
