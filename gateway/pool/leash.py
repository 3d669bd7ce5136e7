"""Ties an engine core's life to its replica's: a core whose parent is killed is killed by the kernel.

Registered as a `vllm.general_plugins` entry point, so that vLLM calls it in every process it starts, the core included.
"""

import ctypes
import os
import signal

PARENT_VARIABLE = "SLUICE_LEASH_PARENT"
_PR_SET_PDEATHSIG = 1


def hold_children() -> None:
    """Called by the engine replica before it starts its core: children of this very process will be on the leash."""
    os.environ[PARENT_VARIABLE] = str(os.getpid())


def tie_to_parent() -> None:
    """In a direct child of the replica: ask the kernel for SIGKILL at the parent's death. Outside a replica: nothing."""
    parent = int(os.environ.get(PARENT_VARIABLE, "0"))
    if parent in (0, os.getpid()):
        return
    if parent != os.getppid():
        _follow(parent)
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    _follow(parent)


def _follow(replica: int) -> None:
    """For a process that was still starting when the replica was killed."""
    try:
        os.kill(replica, 0)
    except ProcessLookupError:
        os.kill(os.getpid(), signal.SIGKILL)
