"""The only file that touches vLLM's private surface. tests/contracts/test_vllm_seam.py names what breaks on a version bump.

Front half (gateway): an AsyncLLM whose engine core is our pool. Back half (engine replica): vLLM's own client of one core.
"""

import asyncio
import contextlib
import copy
import os
import secrets
import shutil
import tempfile
import types
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import vllm
from vllm import envs
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.platforms import current_platform
from vllm.renderers.hf import HfRenderer, safe_apply_chat_template
from vllm.sampling_params import SamplingParams
from vllm.tasks import SupportedTask
from vllm.usage.usage_lib import UsageContext
from vllm.utils.argparse_utils import FlexibleArgumentParser
from vllm.v1.engine import EngineCoreOutput, EngineCoreOutputs, EngineCoreRequest, FinishReason
from vllm.v1.engine import utils as core_processes
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.core_client import EngineCoreClient
from vllm.v1.engine.output_processor import OutputProcessor, RequestState
from vllm.v1.executor import Executor
from vllm.v1.serial_utils import MsgpackDecoder, MsgpackEncoder

from gateway.errors import SluiceError
from gateway.pool.closed_channels import check_closed
from gateway.pool.context import RequestContext, Tap, current
from gateway.pool.early_core import EarlyCore
from gateway.pool.engine_pool import EnginePool
from gateway.pool.forced_prefix import FORCED, continuable
from gateway.pool.seeds import with_hidden_seed

VLLM_VERSION: str = vllm.__version__
MAKE_CLIENT = "make_async_mp_client"
MP_CONTEXT = "get_mp_context"
SOCKETS = "VLLM_RPC_BASE_PATH"
CPU_WORKER = "gateway.pool.cpu_worker.SeededCpuWorker"
INLINE_CHARS = 4096
"""A prompt up to this long is rendered where it stands (some 100 µs): handing it to a thread and back costs more."""


class MalformedMessageError(ValueError):
    """A peer sent frames that are not the vLLM message they should be."""


class GatewayCodec:
    """EngineCoreRequest out, EngineCoreOutputs in. One per pool: vLLM's encoders are not thread-safe."""

    def __init__(self) -> None:
        self._encoder = MsgpackEncoder()
        self._decoder = MsgpackDecoder(EngineCoreOutputs)

    def encode_request(self, request: EngineCoreRequest) -> Sequence[Any]:
        return self._encoder.encode(request)

    def decode_outputs(self, frames: Sequence[Any]) -> EngineCoreOutputs:
        try:
            batch: EngineCoreOutputs = self._decoder.decode([frame.buffer for frame in frames])
        except Exception as exc:  # foreign decoder hooks raise anything on bytes they did not write
            raise MalformedMessageError(f"outputs: {type(exc).__name__}: {exc}") from exc
        return batch

    def resumed(self, request: EngineCoreRequest, tokens: list[int]) -> tuple[EngineCoreRequest, int]:
        """Where the state of sampling is a function of all tokens so far, they become the prompt: one prefill. Where it is not
        (a seed's generator, penalties on output alone, a grammar), the request begins anew and is led along its old path.
        """
        assert request.sampling_params is not None
        assert request.prompt_token_ids is not None
        params = copy.copy(request.sampling_params)
        if not continuable(params):
            params.extra_args = {**(params.extra_args or {}), FORCED: tokens}
            return msgspec.structs.replace(request, sampling_params=params), len(tokens)
        assert params.max_tokens is not None
        params.max_tokens -= len(tokens)
        params.min_tokens = max(0, params.min_tokens - len(tokens))
        prompt = [*request.prompt_token_ids, *tokens]
        return msgspec.structs.replace(request, prompt_token_ids=prompt, sampling_params=params), 0

    def full(self, request: EngineCoreRequest, tokens: list[int]) -> EngineCoreOutputs | None:
        assert request.sampling_params is not None
        most = request.sampling_params.max_tokens
        if most is None or len(tokens) < most:
            return None
        return EngineCoreOutputs(outputs=[EngineCoreOutput(request.request_id, [], finish_reason=FinishReason.LENGTH)])

    def cut(self, output: EngineCoreOutput, reason: str) -> None:
        """As if the request had asked for no more tokens; all of vLLM's routes hand `stop_reason` on, or drop it."""
        output.finish_reason, output.stop_reason = FinishReason.LENGTH, reason

    def failed(self, request_ids: Iterable[str]) -> EngineCoreOutputs:
        outputs = [EngineCoreOutput(rid, [], finish_reason=FinishReason.ERROR) for rid in request_ids]
        return EngineCoreOutputs(outputs=outputs)


class PooledCore(EngineCoreClient):
    """AsyncLLM's engine core client, backed by an EnginePool. Its life is the pool's owner's business."""

    def __init__(self, pool: EnginePool, supported_tasks: tuple[SupportedTask, ...] = ("generate",)) -> None:
        self._pool = pool
        self._supported_tasks = supported_tasks
        self.resources = types.SimpleNamespace(engine_dead=False)
        self.engine_ranks_managed = [0]
        self._output_processor: OutputProcessor | None = None
        self._output_handler: asyncio.Task[None] | None = None
        self._unwritten: dict[Tap, None] = {}

    def attach(self, llm: AsyncLLM) -> None:
        self._output_processor, self._output_handler = llm.output_processor, llm.output_handler

    async def get_output_async(self) -> EngineCoreOutputs:
        """Called once all of the last message's text has been taken: a gateway that lags behind its engines writes each stream
        once for several steps, one that keeps up writes at once.
        """
        if self._unwritten and self._pool.caught_up:
            for tap in self._unwritten:
                tap.flush()
            self._unwritten.clear()
        outputs: EngineCoreOutputs = await self._pool.outputs()
        return outputs

    async def add_request_async(self, request: EngineCoreRequest) -> None:
        context, prompt = current.get(), len(request.prompt_token_ids or ())
        if context is not None:
            if context.cache_salt is not None:
                request.cache_salt = context.cache_salt
                if not context.own_seed:
                    request.sampling_params = with_hidden_seed(
                        request.sampling_params, request.prompt_token_ids or (), context.cache_salt
                    )
            request.trace_headers = context.trace
        if context is None or self._output_processor is None:
            return await self._pool.add(request.request_id, request, prompt, context)
        state = self._output_processor.request_states[request.request_id]
        try:
            if (error := await _refusal(state, prompt, context)) is not None:
                return await self._pool.refuse(request.request_id, context, error)
            if context.tap is not None:
                _divert(state, context.tap, self._unwritten)
            await self._pool.add(request.request_id, request, prompt, context)
        except BaseException:
            if state.parent_req is None:
                # vLLM knows it already, and takes back by itself only a request for several choices.
                self._output_processor.abort_requests([request.request_id], internal=True)
            raise

    async def abort_requests_async(self, request_ids: list[str]) -> None:
        """vLLM's output handler takes back what a stop string has ended; whoever else does, what its client has left."""
        await self._pool.abort(request_ids, ended=asyncio.current_task() is self._output_handler)

    async def get_supported_tasks_async(self) -> tuple[SupportedTask, ...]:
        return self._supported_tasks

    async def reset_mm_cache_async(self) -> None:
        """Text only: there is none."""

    def dp_engines_running(self) -> bool:
        return True

    def shutdown(self, timeout: float | None = None) -> None:
        del timeout


async def _refusal(state: RequestState, prompt: int, context: RequestContext) -> SluiceError | None:
    """The first of a prompt's choices reserves for all of them; the others only hear what became of it."""
    if context.meter is None or state.request_index > 0:
        return context.failure
    choices = 1 if state.parent_req is None else state.parent_req.sampling_params.n
    return await context.meter.reserve(prompt, (state.max_tokens_param or 0) * choices)


def _divert(state: RequestState, tap: Tap, unwritten: dict[Tap, None]) -> None:
    """Give a request's text to its tap; only its last output takes vLLM's own way to whoever iterates the request."""
    make_request_output, detokenizer = state.make_request_output, state.detokenizer
    assert detokenizer is not None

    def divert(
        new_token_ids: list[int], pooling_output: Any, finish_reason: Any, *rest: Any, **more: Any
    ) -> Any:  # vLLM calls it by position for outputs and by these names for aborts
        if finish_reason is not None:
            vars(state).pop("make_request_output", None)
            return make_request_output(new_token_ids, pooling_output, finish_reason, *rest, **more)
        tap.on_text(detokenizer.get_next_output_text(False, True), len(new_token_ids))
        unwritten[tap] = None
        return None

    vars(state)["make_request_output"] = divert


def _render_short_prompts_inline(renderer: Any) -> None:
    tokenize_in_thread, apply_in_thread = renderer._tokenize_prompt_async, renderer._apply_chat_template_async  # noqa: SLF001

    async def tokenize(prompt: Any, params: Any) -> Any:
        if len(prompt["prompt"]) <= INLINE_CHARS:
            return renderer._tokenize_prompt(prompt, params)  # noqa: SLF001
        return await tokenize_in_thread(prompt, params)

    async def apply(model_config: Any, tokenizer: Any, conversation: list[Any], **options: Any) -> Any:
        if not options.get("tools") and _characters(conversation) <= INLINE_CHARS:
            return safe_apply_chat_template(model_config, tokenizer, conversation, **options)
        return await apply_in_thread(model_config, tokenizer, conversation, **options)

    renderer._tokenize_prompt_async, renderer._apply_chat_template_async = tokenize, apply  # noqa: SLF001


def _characters(conversation: list[Any]) -> float:
    """Of plain texts; what is more than a text counts as long."""
    texts = [message.get("content") for message in conversation]
    return sum(len(text) if isinstance(text, str) else float("inf") for text in texts)


@contextlib.contextmanager
def _core_client(client: EngineCoreClient) -> Iterator[None]:
    """Within: AsyncLLM's constructor gets `client` as its engine core instead of starting one."""
    original = EngineCoreClient.__dict__[MAKE_CLIENT]
    setattr(EngineCoreClient, MAKE_CLIENT, staticmethod(lambda *_args, **_kwargs: client))
    try:
        yield
    finally:
        setattr(EngineCoreClient, MAKE_CLIENT, original)


@dataclass(frozen=True)
class FrontEnd:
    """One model's front end in a gateway: the engine client, and vLLM's own FastAPI app over it."""

    llm: AsyncLLM
    app: Any

    @property
    def errored(self) -> bool:
        return bool(self.llm.errored)

    def decode(self, tokens: Sequence[int]) -> str:
        return str(self.llm.get_tokenizer().decode(list(tokens), skip_special_tokens=True))

    def close(self) -> None:
        self.llm.shutdown()


async def open_front_end(pool: EnginePool, flags: Sequence[str]) -> FrontEnd:
    """vLLM's whole OpenAI layer over the pool. `flags` are those of `vllm serve`."""
    from vllm.entrypoints.launchers.api_server.app_state import init_app_state
    from vllm.entrypoints.launchers.app import build_app
    from vllm.entrypoints.launchers.cli_args import make_arg_parser

    args = make_arg_parser(FlexibleArgumentParser()).parse_args(list(flags))
    engine_args = AsyncEngineArgs.from_cli_args(args)
    vllm_config = engine_args.create_engine_config(usage_context=UsageContext.OPENAI_API_SERVER)
    served = args.served_model_name[0] if args.served_model_name else args.model
    check_closed(served, vllm_config.model_config, prompt_token_details=args.enable_prompt_tokens_details)
    core = PooledCore(pool)
    with _core_client(core):
        llm = AsyncLLM.from_vllm_config(vllm_config, disable_log_stats=args.disable_log_stats)
    core.attach(llm)
    if isinstance(llm.renderer, HfRenderer):
        _render_short_prompts_inline(llm.renderer)
    tasks = await llm.get_supported_tasks()
    app = build_app(args, tasks, vllm_config.model_config)
    await init_app_state(llm, app.state, args, tasks)
    app.state.server = types.SimpleNamespace()
    return FrontEnd(llm, app)


@contextlib.contextmanager
def _started(early: EarlyCore | None) -> Iterator[None]:
    """Within: the process that vLLM makes for its core is this one, if there is one."""
    original = getattr(core_processes, MP_CONTEXT)
    if early is not None:
        setattr(core_processes, MP_CONTEXT, lambda: types.SimpleNamespace(Process=early.process))
    try:
        yield
    finally:
        setattr(core_processes, MP_CONTEXT, original)


@contextlib.contextmanager
def _own_sockets() -> Iterator[str]:
    """Within: vLLM, which removes none of its sockets, makes them in a folder of their own."""
    usual: str = envs.VLLM_RPC_BASE_PATH
    folder = os.environ[SOCKETS] = tempfile.mkdtemp(prefix="", dir=usual)
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        os.environ[SOCKETS] = usual


class EngineCore:
    """One vLLM engine core in a process of its own, as the outlet's `Core`. `outputs` raises once the core is dead."""

    def __init__(self, engine_args: dict[str, Any], *, log_stats: bool, early: EarlyCore | None = None) -> None:
        # vLLM's own is 0: whoever counts an engine's steps would know the noise of requests that name no seed.
        engine_args = {"seed": secrets.randbits(32), **engine_args}
        if current_platform.is_cpu():
            engine_args = {"worker_cls": CPU_WORKER, **engine_args}
        self.config = AsyncEngineArgs(**engine_args, disable_log_stats=not log_stats).create_engine_config()
        check_closed(self.config.model_config.model, self.config.model_config)
        with _started(early), _own_sockets() as self._sockets:
            self._client = EngineCoreClient.make_async_mp_client(
                vllm_config=self.config, executor_class=Executor.get_class(self.config), log_stats=log_stats
            )
        self._decoder = MsgpackDecoder(EngineCoreRequest)
        self._encoder = MsgpackEncoder()

    @property
    def alive(self) -> bool:
        return not self._client.resources.engine_dead

    @property
    def max_model_len(self) -> int:
        return int(self.config.model_config.max_model_len)

    @property
    def block_size(self) -> int:
        return int(self.config.cache_config.block_size)

    async def add(self, request: EngineCoreRequest) -> None:
        await self._client.add_request_async(request)

    async def abort(self, request_ids: list[str]) -> None:
        await self._client.abort_requests_async(request_ids)

    async def ping(self) -> None:
        """Returns once the core, which reads its mail between two steps, has answered."""
        await self._client.is_sleeping_async()

    @property
    def kv_tokens(self) -> int:
        """How many tokens the KV cache holds."""
        return int(self.config.cache_config.num_gpu_blocks or 0) * self.block_size

    @property
    def step_tokens(self) -> int:
        return int(self.config.scheduler_config.max_num_batched_tokens)

    async def outputs(self) -> EngineCoreOutputs:
        outputs: EngineCoreOutputs = await self._client.get_output_async()
        return outputs

    def decode_request(self, frames: Sequence[Any]) -> EngineCoreRequest:
        try:
            request: EngineCoreRequest = self._decoder.decode(frames)
        except Exception as exc:  # as above
            raise MalformedMessageError(f"request: {type(exc).__name__}: {exc}") from exc
        return request

    def encode_outputs(self, batch: EngineCoreOutputs, outputs: list[Any]) -> Sequence[Any]:
        part = EngineCoreOutputs(
            engine_index=batch.engine_index,
            outputs=outputs,
            timestamp=batch.timestamp,
            weight_version=batch.weight_version,
        )
        return self._encoder.encode(part)

    async def warm_up(self, token_id: int, *, logprobs: bool) -> None:
        """One short request, so that the first client does not pay for lazy initialisation."""
        params = SamplingParams(max_tokens=2, temperature=0.0, logprobs=1 if logprobs else None, ignore_eos=True)
        request = EngineCoreRequest("warm-up", [token_id], None, params, None, 0.0, None, None, None)
        await self.add(request)
        async with asyncio.timeout(300):
            while not any(output.finished for output in (await self.outputs()).outputs):
                pass
        # Both ends have met: nobody connects again, and who is killed later leaves nothing.
        shutil.rmtree(self._sockets, ignore_errors=True)

    def close(self) -> None:
        self._client.shutdown()
        shutil.rmtree(self._sockets, ignore_errors=True)
