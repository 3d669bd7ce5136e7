"""Asks Linux for the AMX tile registers before vLLM's CPU kernels use them.

vLLM 0.32 picks its AMX attention kernel by CPU flags alone; a process that has not asked dies of an illegal instruction at the
first step. Registered as a `vllm.general_plugins` entry point, so that every engine core asks.
"""


def request_permission() -> None:
    """No-op where there is no AMX. Importing torch here costs nothing: vLLM has."""
    import torch

    if torch.cpu._is_amx_tile_supported():  # noqa: SLF001  vLLM itself decides by this very call
        torch.cpu._init_amx()  # noqa: SLF001
