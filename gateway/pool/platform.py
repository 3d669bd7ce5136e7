"""Selects vLLM's CPU platform for a gateway, before any other module of vLLM binds the platform at import."""


def select_cpu_platform() -> None:
    """A gateway never computes: with the CUDA wheel and no device vLLM's platform is unspecified and config building fails.

    Raises RuntimeError when it comes too late, that is after vLLM's configuration was imported on another platform.
    """
    import sys

    from vllm import platforms

    if platforms.current_platform.is_cpu():
        return
    if "vllm.engine.arg_utils" in sys.modules:
        raise RuntimeError("vLLM was imported before its platform was selected")
    from vllm.platforms.cpu import CpuPlatform

    platforms.current_platform = CpuPlatform()
