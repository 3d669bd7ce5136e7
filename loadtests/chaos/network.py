"""A network of our own (loopback only), in which packets to and from one port can be dropped without disturbing this machine."""

import os
import shutil
import subprocess
import sys
from typing import Final

OWN: Final = "SLUICE_CHAOS_NETWORK"
"""Set in the environment once we are inside: `own`, or why we are not."""
LOCAL_PREFERENCE: Final = 100
PREFERENCE: Final = {"dport": 5, "sport": 6}


def enter(arguments: list[str]) -> None:
    """Run this program again inside a new network namespace, where the machine allows one; otherwise remember why not."""
    if OWN in os.environ:
        if os.environ[OWN] == "own":
            _ip("link", "set", "lo", "up")
            # What is local is looked up first of all: only behind our own rules can these drop anything.
            _ip("rule", "add", "pref", str(LOCAL_PREFERENCE), "lookup", "local")
            _ip("rule", "del", "pref", "0")
        return
    unshare, reason = _unshare()
    if reason:
        os.environ[OWN] = reason
        return
    os.environ[OWN] = "own"
    os.execvp(unshare[0], [*unshare, sys.executable, *arguments])  # noqa: S606  ourselves


def impossible() -> str:
    """Why no packet can be dropped here; empty if it can."""
    told = os.environ.get(OWN, "not started in a network of its own")
    return "" if told == "own" else told


def drop(port: int) -> None:
    for side, preference in PREFERENCE.items():
        _ip("rule", "add", "pref", str(preference), "ipproto", "tcp", side, str(port), "blackhole")


def let_pass() -> None:
    for preference in PREFERENCE.values():
        _ip("rule", "del", "pref", str(preference))


def _unshare() -> tuple[list[str], str]:
    """The command that makes a namespace in which rules can be set, or the reason why there is none."""
    if missing := [name for name in ("unshare", "ip") if shutil.which(name) is None]:
        return [], f"no {' and no '.join(missing)}"
    said = ""
    for command in (["unshare", "--net"], ["unshare", "--net", "--map-root-user"]):
        trial = [*command, "ip", "rule", "add", "pref", "5", "ipproto", "tcp", "dport", "1", "blackhole"]
        ended = subprocess.run(trial, capture_output=True, text=True, check=False)
        if ended.returncode == 0:
            return command, ""
        said = ended.stderr.strip().splitlines()[-1] if ended.stderr.strip() else f"status {ended.returncode}"
    return [], f"no network namespace with rules of its own: {said}"


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)
