"""The processes below the supervisor: none may outlive it."""

import contextlib

import psutil


def descendants() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def end(processes: list[psutil.Process], grace_s: float) -> list[psutil.Process]:
    """Wait for processes that were told to stop, then terminate, then kill. Returns those that had to be killed."""
    _, alive = psutil.wait_procs(processes, timeout=grace_s)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(alive, timeout=3)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=3)
    return alive
