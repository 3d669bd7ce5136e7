"""One served model in a gateway: its pool of engines, who of them gets which request, and who may start at all."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable

from gateway.absence import Absence
from gateway.admission.admission import Admission
from gateway.admission.fair_queue import FairQueue
from gateway.admission.ticket import Capacity, Policy, Priority
from gateway.config import Gateway
from gateway.engine_chooser import EngineChooser
from gateway.errors import EnginePoisoned, SluiceError
from gateway.http.backend import ModelBackend
from gateway.pool import vllm_seam
from gateway.pool.acceptance import Acceptance, FrontSpec
from gateway.pool.channel import EngineChannel
from gateway.pool.curve import Peer
from gateway.pool.engine_pool import EnginePool
from gateway.pool.failover import FailoverPolicy
from gateway.pool.fingerprint import fingerprint, layer_version
from gateway.pool.flight import Flight
from gateway.pool.wire import EngineCard, Queue
from gateway.wake import Alarm

ROUNDING = 1e-9


class ModelFront:
    """The pool is there from the moment the first engine is known, vLLM's front end from then on; or, of a model that may sleep,
    at once.
    """

    def __init__(
        self, spec: FrontSpec, peer: Peer, settings: Gateway, on_poisoned: Callable[[str, str, int], None]
    ) -> None:
        """`on_poisoned` gets the model, the request's id and how many engines died with it."""
        self.spec = spec
        self.accept = Acceptance(spec, fingerprint(spec.path, spec.revision), vllm_seam.VLLM_VERSION)
        self._version = layer_version(spec.path, spec.revision)
        self._settings = settings
        policy = FailoverPolicy(**settings.failover.model_dump())
        self.pool = EnginePool(
            peer,
            vllm_seam.GatewayCodec(),
            EngineChooser(),
            self.accept,
            settings.failover.park_s if spec.sleeps else settings.engine_wait_s,
            policy,
            self._on_capacity,
        )
        self.pool.on_end = self._on_end
        self._on_poisoned = on_poisoned
        queue = FairQueue(_policy(settings, settings.admission.wake_s if spec.sleeps else 0.0), Capacity(0, 0))
        self.admission = Admission(queue, beat_s=settings.admission.keep_alive_s)
        self.absence = Absence(time.monotonic())
        self._known = asyncio.Event()
        self.listed = asyncio.Event()
        self.alarm: Alarm | None = None
        if spec.sleeps:
            self._known.set()

    def report_as(self, gateway_id: str) -> None:
        """From now on an engine is told what waits here."""
        self.pool.queue = lambda: self._queue(gateway_id)

    def _queue(self, gateway_id: str) -> Queue:
        """A wait for the first engine is no sign that a second is needed: waiting is counted from when there was one."""
        status, demand = self.admission.status(), self.admission.queue.demand
        return Queue(
            gateway_id,
            status.waiting,
            min(status.oldest_s, self.absence.over_s(time.monotonic())),
            demand.waiting_prompt,
            demand.waiting_completion,
            demand.came_prompt,
            demand.came_completion,
        )

    def _on_end(self, flight: Flight, error: SluiceError) -> None:
        if isinstance(error, EnginePoisoned):
            self._on_poisoned(self.spec.name, flight.request_id, flight.deaths)

    def _on_capacity(self) -> None:
        """What engines there are, or what other gateways have on them, has changed."""
        engines = self.pool.roster.usable
        self.absence.note(time.monotonic(), there=bool(engines))
        sequences = sum(_share(channel, self._settings.replicas) for channel in engines)
        self.admission.widest = max(map(self._widest, engines), default=self.admission.widest)
        prefill = len(engines) * self._settings.admission.prefill_tokens // self._settings.replicas
        self.admission.set_capacity(Capacity(math.ceil(sequences), prefill, len(engines)))
        if self.alarm is not None and self.admission.queue.waiting.requests:
            self.alarm.ring()

    def _widest(self, engine: EngineChannel) -> int:
        """As many sequences as this gateway's part of one engine runs without its reserve: that stays so, whatever engines there
        are and whatever other gateways have on them.
        """
        part = engine.card.max_num_seqs / self._settings.replicas
        return max(1, int(part * (1 - self._settings.admission.reserve) + ROUNDING))

    def on_engines(self, cards: list[EngineCard]) -> None:
        self.pool.roster.set_members(cards)
        self.listed.set()
        if self.accept.max_model_len is not None:
            self._known.set()

    async def open(self, wake: Callable[[], Awaitable[None]]) -> ModelBackend:
        """`wake` returns once an engine has come; called of models that may sleep, when somebody waits."""
        await self._known.wait()
        known = self.accept.max_model_len or self.spec.max_model_len
        front_end = await vllm_seam.open_front_end(self.pool, self.spec.flags(known))
        if self.accept.max_model_len is None:
            self.accept.max_model_len = int(front_end.llm.model_config.max_model_len)
        former = self.accept.fingerprint
        backend = ModelBackend(self.spec.name, self.pool, front_end, self.admission, self._version, former)
        if self.spec.sleeps:
            self.alarm = Alarm(self.spec.name, wake, lambda: not self.pool.available, self._is_wanted)
            backend.alarm, self.pool.on_parked = self.alarm, self.alarm.ring
        return backend

    def _is_wanted(self) -> bool:
        return self.admission.queue.waiting.requests > 0 or self.pool.in_flight > 0


def _share(channel: EngineChannel, gateways: int) -> float:
    """Sequences of an engine that this gateway may fill: what the other gateways leave, and its part in any case."""
    whole = channel.card.max_num_seqs
    return max(whole / gateways, whole - channel.others.requests)


def _policy(settings: Gateway, wake_s: float) -> Policy:
    admission = settings.admission
    return Policy(
        max_requests=admission.max_requests,
        max_tokens=admission.max_tokens,
        tenant_share=admission.tenant_share,
        reserve=admission.reserve,
        shares={Priority(name): weight for name, weight in admission.shares.model_dump().items()},
        retry_max_s=admission.retry_max_s,
        wake_s=wake_s,
    )
