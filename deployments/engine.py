"""The engine deployment: one replica owns one vLLM EngineCore and serves its tokens to gateways."""

import asyncio
import os
import uuid
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import ray
import structlog

from deployments import membership
from deployments.autoscaling.measurements import measurements
from deployments.quantization import Served
from gateway.pool import leash, own_cores
from gateway.pool.early_core import EarlyCore
from gateway.pool.outlet import EngineOutlet
from gateway.pool.own_cores import OwnCores
from gateway.pool.wire import PROTOCOL, EngineCard, GatewayCard
from gateway.telemetry import logs

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class EngineOptions:
    """What a replica is told; nothing secret, since Serve stores and shows init arguments."""

    served: Served
    gateway_deployment: str
    app: str
    drain_s: float
    hung_s: float
    host: str
    log_stats: bool = False


def engine_args(served: Served) -> dict[str, Any]:
    """vLLM's AsyncEngineArgs; a setting left out of the config is left to vLLM."""
    settings = served.model.engine
    args: dict[str, Any] = {
        "model": served.path,
        "revision": served.checkpoint.revision,
        "served_model_name": [served.model.name],
        "trust_remote_code": served.model.trust_remote_code,
        "max_num_seqs": served.sequences,
        "max_num_batched_tokens": settings.max_num_batched_tokens,
        "enable_chunked_prefill": settings.chunked_prefill,
        "enable_prefix_caching": settings.prefix_caching,
        "scheduling_policy": settings.scheduling_policy,
        "kv_cache_memory_bytes": settings.kv_cache_memory,
        "gpu_memory_utilization": settings.gpu_memory_utilization,
        "block_size": settings.block_size,
        "max_model_len": settings.max_model_len,
        "dtype": settings.dtype,
        "enforce_eager": settings.enforce_eager,
        "tensor_parallel_size": settings.tensor_parallel,
        "reasoning_parser": served.model.reasoning_parser,
    }
    return {name: value for name, value in args.items() if value is not None} | served.engine_args


class Engine:
    """A Serve deployment class. Serve sees no HTTP here: streams come over the outlet's own socket."""

    async def __init__(self, options: EngineOptions) -> None:  # type: ignore[misc]  # Serve awaits it
        leash.hold_children()
        with EarlyCore.begin() if options.served.accelerator == "cpu" else nullcontext() as early:
            from gateway.pool import vllm_seam

            self._options = options
            logs.configure(process="engine", model=options.served.model.name)
            self._core = vllm_seam.EngineCore(engine_args(options.served), log_stats=options.log_stats, early=early)
        await self._core.warm_up(1, logprobs=True)
        self._outlet = EngineOutlet(self._core, options.served.model.engine.max_num_seqs)
        host = ray.util.get_node_ip_address() if options.host == "node" else options.host
        self._address = self._outlet.bind(host)
        self._id = uuid.uuid4().hex[:12]
        self._tasks = [
            asyncio.create_task(self._serve()),
            asyncio.create_task(self._watch_gateways()),
        ]
        self._binding = asyncio.create_task(self._keep_to_cores(early))

    async def _serve(self) -> None:
        """A replica without its core is worth nothing: it leaves at once, and Serve starts another."""
        try:
            await self._outlet.run()
        except asyncio.CancelledError:
            raise
        except BaseException as exc:
            log.exception("engine_core_lost", engine=self._id, error=type(exc).__name__)
            os._exit(1)

    async def _keep_to_cores(self, early: EarlyCore | None) -> None:
        """A CPU engine's, once it is warm: loading may use all there is."""
        settings = self._options.served.model.engine
        if early is None or early.pid is None or not settings.own_cores:
            return
        self._cores = OwnCores(settings.threads, own_cores.here())
        while self._cores.possible:
            if (cpus := self._cores.claim()) is not None:
                own_cores.bind(early.pid, cpus)
                log.info("engine_core_bound", engine=self._id, cpus=sorted(cpus))
                return
            await asyncio.sleep(own_cores.RETRY_S)

    async def _watch_gateways(self) -> None:
        def on_change(cards: list[GatewayCard]) -> None:
            self._outlet.allow(card.public_key for card in cards)

        options = self._options
        await membership.watch(options.gateway_deployment, options.app, GatewayCard.from_metadata, on_change)

    async def record_replica_metadata(self) -> dict[str, Any]:
        from gateway.pool import vllm_seam
        from gateway.pool.fingerprint import fingerprint

        served = self._options.served
        return EngineCard(
            engine_id=self._id,
            model=served.model.name,
            address=self._address,
            server_key=self._outlet.server_key,
            protocol=PROTOCOL,
            vllm_version=vllm_seam.VLLM_VERSION,
            fingerprint=fingerprint(served.path, served.checkpoint.revision),
            max_model_len=self._core.max_model_len,
            block_size=self._core.block_size,
            max_num_seqs=served.sequences,
            kv_tokens=self._core.kv_tokens,
            format=served.checkpoint.format,
            pid=os.getpid(),
        ).as_metadata()

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """Serve samples it where the model has a range of replicas; `ServePolicy` reads it. An engine is full without its reserve:
        most of that stays free, and would pass for room.
        """
        return measurements(self._outlet, self._options.served.model.engine.max_num_seqs)

    async def wake(self) -> None:
        """Called while there is no replica: Serve starts one to answer it."""

    async def check_health(self) -> None:
        if not self._core.alive:
            raise RuntimeError("the engine core is dead")
        if any(task.done() for task in self._tasks):
            raise RuntimeError("the engine does not learn of gateways any more")
        if self._outlet.quiet_s > self._options.hung_s:
            raise RuntimeError(f"the engine core has given no sign of life for {self._outlet.quiet_s:.0f} s")

    async def __del__(self) -> None:
        """Serve's stop: no new work, streams run on for at most `drain_s`, then the core is shut down."""
        await self._outlet.leave()
        try:
            async with asyncio.timeout(self._options.drain_s):
                await self._outlet.drained()
        except TimeoutError:
            log.warning("drain_limit_reached", engine=self._id, cut=self._outlet.in_flight)
        for task in (*self._tasks, self._binding):
            task.cancel()
        self._outlet.close()
        self._core.close()
