"""An engine core's process that loads vLLM while its replica still does.

vLLM starts its core as a new Python when the replica knows its configuration, and the core then imports for seconds what the
replica has just imported. This is the same new Python and the same direct child, only started first; what vLLM would hand it at
its start follows by a pipe, with the environment of that moment. Nothing is forked. For CPUs: with others nobody has measured it.
"""

import atexit
import importlib
import importlib.util
import multiprocessing
import os
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, Self

from gateway.pool import leash

LOADED = ("vllm.v1.engine.core", "gateway.pool.cpu_worker")


class EarlyCore(SpawnProcess):
    """`begin`, hand `process` to vLLM as the constructor of its core's process, and its `start` gives this one its work. As a
    context it gets none any more once that is left.
    """

    _hand: Connection
    _begun: dict[str, str]
    _work: tuple[Callable[..., None], Mapping[str, Any]]

    @classmethod
    def begin(cls, loaded: tuple[str, ...] = LOADED) -> "EarlyCore":
        """Before vLLM is imported, and after leash.hold_children(). Returns at once. Whatever it cannot load it dies of; one
        that gets no work ends with its replica.
        """
        os.environ["LD_PRELOAD"] = preloaded(os.environ.get("LD_PRELOAD", ""))
        receiver, sender = multiprocessing.Pipe(duplex=False)
        core = cls(target=_load_and_wait, args=(receiver, loaded), name="EngineCore")
        SpawnProcess.start(core)
        receiver.close()
        core._hand, core._begun = sender, dict(os.environ)
        atexit.register(sender.close)
        return core

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._hand.close()

    def process(self, *, target: Callable[..., None], name: str, kwargs: Mapping[str, Any]) -> "EarlyCore":
        self.name, self._work = name, (target, kwargs)
        return self

    def start(self) -> None:
        """Raises OSError if it has died meanwhile."""
        # What has not changed is left where it is, which is how a process finds the place of its title.
        self._hand.send((dict(os.environ.items() - self._begun.items()), *self._work))
        self._hand.close()


def _load_and_wait(receiver: "Connection[Any, Any]", loaded: tuple[str, ...]) -> None:
    leash.tie_to_parent()
    for module in loaded:
        importlib.import_module(module)
    try:
        changed, target, kwargs = receiver.recv()
    except EOFError:
        return
    receiver.close()
    os.environ.update(changed)
    target(**kwargs)


def preloaded(already: str) -> str:
    """LD_PRELOAD as vLLM's CPU platform will set it, which is too late for a process that runs by then."""
    found = [already] if already else []
    if not any(name in already for name in ("libomp", "libgomp", "libiomp")):
        found += _first("torch", "../torch.libs/libgomp*.so*", "lib/libgomp*.so*")
    if "libtcmalloc" not in already:
        found[:0] = _first("vllm", "libs/libtcmalloc_minimal*.so*", "libs/libtcmalloc.so*")
    return ":".join(found)


def _first(package: str, *patterns: str) -> list[str]:
    spec = importlib.util.find_spec(package)
    roots = [Path(root) for root in (spec.submodule_search_locations or ())] if spec else []
    return [str(file) for root in roots for pattern in patterns for file in root.glob(pattern)][:1]
