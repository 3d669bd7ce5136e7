"""A replica that begins its core early, in a process of its own: the core prints what it finds. `--idle`: it gets no work."""

import os
import sys
import time

from gateway.pool import leash
from gateway.pool.early_core import EarlyCore


def work(given: str) -> None:
    sys.stdout.write(f"{os.getpid()} {os.getppid()} {os.environ.get('LATER')} {given}\n")
    sys.stdout.flush()
    time.sleep(60)


if __name__ == "__main__":
    leash.hold_children()
    core = EarlyCore.begin(loaded=())
    if "--idle" in sys.argv:
        sys.stdout.write(f"{core.pid}\n")
        sys.exit()
    os.environ["LATER"] = "seen"
    core.process(target=work, name="EngineCore", kwargs={"given": "work"}).start()
    sys.stdin.read()
