"""Engine replicas and gateways in one process, over real ZeroMQ and CURVE."""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import zmq.asyncio

from deployments.demo_model import INT8
from gateway.config import Gateway as Settings
from gateway.model_front import ModelFront
from gateway.pool import wire
from gateway.pool.acceptance import FrontSpec
from gateway.pool.curve import KeyPair, Peer, secure_client
from gateway.pool.engine_pool import EnginePool
from gateway.pool.fingerprint import fingerprint
from gateway.pool.outlet import Core, EngineOutlet
from gateway.pool.vllm_seam import VLLM_VERSION
from tests.gateway.pool.scripted import ScriptedCore, request
from tests.waiting import soon

SPEC = FrontSpec("demo", str(INT8), tool_parser="hermes")
FINGERPRINT = fingerprint(SPEC.path)


class Engine:
    """An outlet over a core, serving; `stop` closes its socket as a killed process would."""

    def __init__(self, name: str, core: Core | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self.core: Any = core or ScriptedCore()
        self.outlet = EngineOutlet(self.core, clock=clock)
        self.address = self.outlet.bind("127.0.0.1")
        self.task = asyncio.create_task(self.outlet.run())

    def card(self, **changes: Any) -> wire.EngineCard:
        known = wire.EngineCard(
            engine_id=self.name,
            model=SPEC.name,
            address=self.address,
            server_key=self.outlet.server_key,
            protocol=wire.PROTOCOL,
            vllm_version=VLLM_VERSION,
            fingerprint=FINGERPRINT,
            max_model_len=2048,
            block_size=32,
            max_num_seqs=64,
            kv_tokens=2048,
            format="int8-w8a8",
            pid=os.getpid(),
        )
        return msgspec.structs.replace(known, **changes)

    async def stop(self) -> None:
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await self.task
        self.outlet.close()
        # pyzmq's authenticator lets go of its socket's file descriptor a turn later; an engine made meanwhile would lose its own.
        await asyncio.sleep(0.02)


class Gateway:
    """A gateway's pool of one model as its composition root builds it."""

    def __init__(self, wait_s: float = 5.0, **failover: Any) -> None:
        self.peer = Peer()
        self.keys = self.peer.keys
        self.front = ModelFront(SPEC, self.peer, Settings(engine_wait_s=wait_s, failover=failover), lambda *_: None)

    @property
    def pool(self) -> EnginePool:
        return self.front.pool

    async def meet(self, *engines: Engine) -> None:
        """Serve's list, and the engines' consent; returns when all are up."""
        self.pool.roster.set_members([engine.card() for engine in engines])
        await soon(lambda: sum(c.open for c in self.pool.roster.channels) == len(engines), 10, "all engines up")

    async def add(self, request_id: str, **kwargs: Any) -> None:
        made = request(request_id, **kwargs)
        await self.pool.add(request_id, made, len(made.prompt_token_ids or ()))

    async def output(self, within: float = 5) -> Any:
        async with asyncio.timeout(within):
            return await self.pool.outputs()

    async def close(self) -> None:
        await self.pool.close()
        self.peer.close()


def introduce(engines: Iterable[Engine], gateways: Iterable["Gateway"]) -> None:
    """What engines learn through Serve: which gateways there are."""
    keys = [gateway.keys.public.decode() for gateway in gateways]
    for engine in engines:
        engine.outlet.allow(keys)


def dealer(
    context: zmq.asyncio.Context, address: str, server_key: str | None, keys: KeyPair | None
) -> zmq.asyncio.Socket:
    """A socket that speaks for itself: with CURVE as far as keys are given."""
    socket: zmq.asyncio.Socket = context.socket(zmq.DEALER)
    socket.linger = 0
    if server_key is not None and keys is not None:
        secure_client(socket, keys, server_key.encode())
    socket.connect(address)
    return socket


async def reply(socket: zmq.asyncio.Socket, within: float) -> list[bytes] | None:
    """The next message, or None if none comes."""
    try:
        async with asyncio.timeout(within):
            return await socket.recv_multipart()
    except TimeoutError:
        return None
