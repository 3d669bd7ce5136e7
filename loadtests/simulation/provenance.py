"""Where a result comes from and where it goes."""

import subprocess
import time
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parents[2]


def commit(*paths: str) -> str:
    """With `+` where these folders, or without any the whole tree, differ from it."""
    git = ["git", "-c", "safe.directory=*", "-C", str(ROOT)]
    head = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=False)
    changes = subprocess.run(
        [*git, "status", "--porcelain", "--untracked-files=no", *paths], capture_output=True, text=True, check=False
    )
    return (head.stdout.strip() or "unknown") + ("+" if changes.stdout.strip() else "")


def write(results: msgspec.Struct, name: str, out: Path | None) -> Path:
    """As JSON; by default under a name with the time in loadtests/results."""
    out = out or ROOT / "loadtests" / "results" / f"{name}-{time.strftime('%Y-%m-%d-%H%M%S')}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
    return out
