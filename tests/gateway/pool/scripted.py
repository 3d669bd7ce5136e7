"""An engine core that follows a script, in vLLM's own messages: for what a real one cannot be made to do on demand.

It passes the same contract as the real one (test_core_contract.py).
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy
from tokenizers import Tokenizer
from vllm.sampling_params import SamplingParams
from vllm.v1.engine import EngineCoreEvent, EngineCoreOutput, EngineCoreOutputs, EngineCoreRequest, FinishReason
from vllm.v1.metrics.stats import PrefillStats, SchedulerStats
from vllm.v1.outputs import LogprobsLists

from deployments.demo_model import INT8
from gateway.pool.vllm_seam import EngineCore, GatewayCodec, MsgpackDecoder, MsgpackEncoder

TOKEN: int = Tokenizer.from_file(str(INT8 / "tokenizer.json")).token_to_id("z")


class CoreDied(Exception):
    """What `outputs` raises when the script says that the core is dead."""


class ScriptedCore:
    """`automatic`: answers each request to its end, a token at a time. Otherwise nothing comes but by `say`.

    The outlet gives each request an id of its own, "name~number"; here it goes by the name that its gateway gave it. `clock`: the
    core's own.
    """

    kv_tokens = 1024
    step_tokens = 64

    def __init__(self, *, automatic: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.answering = asyncio.Event()
        self.answering.set()
        self.ids: list[str] = []
        self.requests: dict[str, EngineCoreRequest] = {}
        self.aborted: list[str] = []
        self._automatic = automatic
        self._steps: asyncio.Queue[EngineCoreOutputs | Exception] = asyncio.Queue()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._decoder = MsgpackDecoder(EngineCoreRequest)
        self._encoder = MsgpackEncoder()

    async def add(self, request: EngineCoreRequest) -> None:
        if request.request_id in self.ids:
            self.die()  # so does vLLM's
        self.ids.append(request.request_id)
        self.requests[name_of(request.request_id)] = request
        if self._automatic:
            self._running[request.request_id] = asyncio.create_task(self._answer(request))

    async def abort(self, request_ids: list[str]) -> None:
        self.aborted += map(name_of, request_ids)
        for request_id in request_ids:
            if (task := self._running.pop(request_id, None)) is not None:
                task.cancel()

    async def ping(self) -> None:
        await self.answering.wait()

    async def outputs(self) -> EngineCoreOutputs:
        step = await self._steps.get()
        if isinstance(step, Exception):
            raise step
        return step

    decode_request = EngineCore.decode_request
    encode_outputs = EngineCore.encode_outputs

    def say(
        self,
        *names: str,
        tokens: Sequence[int] = (TOKEN,),
        finish: FinishReason | None = None,
        logprobs: LogprobsLists | None = None,
        events: Sequence[EngineCoreEvent] | None = None,
        cached: int | None = None,
        stats: SchedulerStats | None = None,
    ) -> None:
        """One step that gives each of these requests some tokens; a name stands for all requests that bear it. The rest is what a
        core with its statistics on says besides: `cached` are tokens of a prompt, at its first output.
        """
        ids = [known for known in self.ids if name_of(known) in names]
        prefill = None if cached is None else PrefillStats(num_cached_tokens=cached)
        outputs = [
            EngineCoreOutput(
                rid, list(tokens), finish_reason=finish, new_logprobs=logprobs, events=events, prefill_stats=prefill
            )
            for rid in ids
        ]
        self._steps.put_nowait(EngineCoreOutputs(outputs=outputs, timestamp=self.clock(), scheduler_stats=stats))

    def poison(self, name: str) -> None:
        """An output with logprobs that nobody asked for: well-formed, and vLLM's output handler dies of it."""
        (core_id,) = [known for known in self.ids if name_of(known) == name]
        logprobs = LogprobsLists(numpy.array([[TOKEN]]), numpy.array([[0.0]], numpy.float32), numpy.array([1]))
        self._steps.put_nowait(EngineCoreOutputs(outputs=[EngineCoreOutput(core_id, [TOKEN], new_logprobs=logprobs)]))

    def die(self) -> None:
        self._steps.put_nowait(CoreDied())

    async def _answer(self, request: EngineCoreRequest) -> None:
        assert request.sampling_params is not None
        most, told = request.sampling_params.max_tokens or 1, request.sampling_params.logprobs
        logprobs = None
        if told is not None:
            places = [[TOKEN] * (1 + told)]
            logprobs = LogprobsLists(numpy.array(places), numpy.zeros((1, 1 + told), numpy.float32), numpy.array([1]))
        for number in range(1, most + 1):
            finish = FinishReason.LENGTH if number == most else None
            self.say(name_of(request.request_id), finish=finish, logprobs=logprobs)
            await asyncio.sleep(0.001)


def name_of(request_id: str) -> str:
    return request_id.partition("~")[0]


def request(request_id: str, prompt: int = 4, max_tokens: int = 8) -> EngineCoreRequest:
    params = SamplingParams(max_tokens=max_tokens, temperature=0.0, ignore_eos=True)
    return EngineCoreRequest(request_id, [TOKEN] * prompt, None, params, None, 0.0, None, None, None)


def frames(request_id: str, **kwargs: Any) -> list[Any]:
    """The payload of an ADD."""
    return [request_id.encode(), *GatewayCodec().encode_request(request(request_id, **kwargs))]
