"""The direct SSE writer writes what vLLM's own serving layer writes, chunk by chunk, over one real engine core."""

import asyncio
import json
import os
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from deployments import environment, quantization
from deployments.engine import engine_args
from gateway.admission.admission import Admission
from gateway.admission.fair_queue import FairQueue
from gateway.admission.ticket import Capacity, Policy
from gateway.config import load
from gateway.errors import SluiceError
from gateway.http.chunks import ChatChunks, Head
from gateway.http.reply import Reply
from gateway.http.sse_writer import SseWriter
from gateway.http.surface import ROUTES, Route
from gateway.pool.acceptance import FrontSpec
from gateway.pool.context import RequestContext, current
from gateway.pool.curve import Peer
from gateway.pool.engine_pool import EnginePool
from gateway.pool.outlet import EngineOutlet
from gateway.pool.wire import PROTOCOL, EngineCard
from tests.gateway.pool.choosers import InTurn

LOCAL = Path(__file__).parents[2] / "configs" / "local.yaml"
shared_loop = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def backend() -> AsyncIterator[Any]:
    """A gateway's backend and an engine, joined over CURVE inside this process (the core has its own)."""
    config = load(LOCAL)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.engine("cpu", config.models[0].engine).items():
            patch.setenv(name, value)
        from gateway.http.backend import ModelBackend
        from gateway.pool import vllm_seam

        served = quantization.resolve(config.models[0], "cpu", "local.yaml")
        core = vllm_seam.EngineCore(engine_args(served), log_stats=False)
        outlet, peer = EngineOutlet(core), Peer()
        address = outlet.bind("127.0.0.1")
        outlet.allow([peer.keys.public.decode()])
        running = asyncio.create_task(outlet.run())
        pool = EnginePool(peer, vllm_seam.GatewayCodec(), InTurn(), lambda _card: None, wait_s=5)
        card = EngineCard(
            "e",
            "sluice-demo",
            address,
            outlet.server_key,
            PROTOCOL,
            "",
            "",
            core.max_model_len,
            32,
            64,
            0,
            "",
            os.getpid(),
        )
        pool.roster.set_members([card])
        _one_batch_at_a_time(pool)
        assert await pool.wait_available()
        spec = FrontSpec("sluice-demo", served.path, tool_parser="hermes")
        front_end = await vllm_seam.open_front_end(pool, spec.flags(core.max_model_len))
        backend = ModelBackend(
            "sluice-demo", pool, front_end, Admission(FairQueue(Policy(), Capacity(64, 1 << 20))), "v", "f"
        )
        vars(backend)["outlet"] = outlet
        yield backend
        front_end.close()
        await pool.close()
        running.cancel()
        outlet.close()
        core.close()
        peer.close()


def _one_batch_at_a_time(pool: EnginePool) -> None:
    """vLLM's layer joins chunks when its consumer is late; here every batch is consumed before the next arrives."""
    outputs = pool.outputs

    async def unhurried() -> Any:
        for _ in range(30):
            await asyncio.sleep(0)
        return await outputs()

    vars(pool)["outputs"] = unhurried


async def stream(backend: Any, path: str, body: dict[str, Any], *, direct: bool) -> tuple[int, bytes]:
    """Status and bytes of one answer, by either layer."""
    route: Route = ROUTES[path]
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    reply, context = Reply(send, "0123456789abcdef"), RequestContext()
    current.set(context)
    takes = backend._direct.takes
    try:
        if not direct:
            backend._direct.takes = lambda *_: False
        else:
            assert takes(path, body), f"not taken as plain: {body}"
        await backend.answer(route, dict(body), SseWriter(reply), context)
    except SluiceError as err:
        await reply.error(err)
    finally:
        backend._direct.takes = takes
    assert reply.ended
    return reply.status, b"".join(message.get("body", b"") for message in sent)


def chunks(raw: bytes) -> list[str]:
    """The stream's events with its identity and birth time blanked; order of keys and spelling kept."""
    out = []
    for event in raw.decode().split("\n\n"):
        if not event.startswith("data: {"):
            out.append(event)
            continue
        chunk = json.loads(event.removeprefix("data: "))
        blanked = event
        for volatile in ("id", "created"):
            if volatile in chunk:
                blanked = blanked.replace(json.dumps(chunk[volatile]), volatile.upper(), 1)
        out.append(blanked)
    return out


WORDS = 'hello what is 12 + 7 spell the word cat é ü 日本 🙂 \n " \\ <tool_call> {} count to 9 reverse'.split(" ")


def sampled(rng: random.Random, path: str) -> dict[str, Any]:
    text = " ".join(rng.choices(WORDS, k=rng.randint(1, 12)))
    body: dict[str, Any] = {
        "model": "sluice-demo",
        "stream": True,
        "temperature": 0.0,
        "max_tokens": rng.randint(1, 40),
    }
    body |= {"messages": [{"role": "user", "content": text}]} if path.startswith("/v1/chat") else {"prompt": text}
    optional = {
        "stream_options": {"include_usage": rng.random() < 0.5},
        "stop": rng.choice([["a"], ["e", "the"], " ", ["zzz"]]),
        "ignore_eos": True,
        "seed": rng.randint(0, 9),
        "frequency_penalty": 0.5,
        "logit_bias": {"300": 5.0},
        "user": "someone",
        "structured_outputs": {"regex": "[a-f]{3,9}"},
        "max_tokens": 1,
        "stop_token_ids": [rng.randint(256, 2000) for _ in range(50)],
    }
    return body | {key: optional[key] for key in rng.sample(sorted(optional), rng.randint(0, 4))}


@shared_loop
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
async def test_direct_chunks_equal_those_of_vllm(backend: Any, path: str) -> None:
    rng = random.Random(20)
    for number in range(40):
        body = sampled(rng, path)
        ours = await stream(backend, path, body, direct=True)
        theirs = await stream(backend, path, body, direct=False)
        assert ours[0] == theirs[0], body
        assert chunks(ours[1]) == chunks(theirs[1]), (number, body)


@shared_loop
@pytest.mark.parametrize(
    "wrong",
    [
        {"max_tokens": 99999},
        {"temperature": -3},
        {"structured_outputs": {"regex": "("}},
        {"min_tokens": 50},
    ],
)
async def test_a_refusal_reads_the_same_in_both_layers(backend: Any, wrong: dict[str, Any]) -> None:
    body = {
        "model": "sluice-demo",
        "stream": True,
        "max_tokens": 4,
        "messages": [{"role": "user", "content": "x"}],
    } | wrong
    ours = await stream(backend, "/v1/chat/completions", body, direct=True)
    theirs = await stream(backend, "/v1/chat/completions", body, direct=False)
    assert ours[1] == theirs[1]
    assert ours[0] >= 400


@shared_loop
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
async def test_a_cancelled_direct_stream_leaves_the_engine(backend: Any, path: str) -> None:
    begun = asyncio.Event()

    async def send(message: Any) -> None:
        if message.get("body"):
            begun.set()

    body = {"model": "sluice-demo", "stream": True, "max_tokens": 1500, "ignore_eos": True}
    body |= {"messages": [{"role": "user", "content": "x"}]} if path.startswith("/v1/chat") else {"prompt": "x"}
    assert backend._direct.takes(path, body)
    context = RequestContext()
    current.set(context)
    work = asyncio.create_task(backend.answer(ROUTES[path], body, SseWriter(Reply(send, "r")), context))
    await begun.wait()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert backend.pool.in_flight == 0
    async with asyncio.timeout(2):
        await backend.outlet.drained()


def test_a_request_that_changes_how_tokens_are_told_is_not_plain() -> None:
    from gateway.http.direct import PLAIN

    assert PLAIN.isdisjoint({"tools", "logprobs", "stream_interval", "tool_choice", "reasoning_effort", "suffix"})


@shared_loop
async def test_concurrent_streams_do_not_mix(backend: Any) -> None:
    rng = random.Random(5)
    bodies = [sampled(rng, "/v1/chat/completions") for _ in range(24)]
    alone = [await stream(backend, "/v1/chat/completions", body, direct=True) for body in bodies]
    together = await asyncio.gather(*(stream(backend, "/v1/chat/completions", body, direct=True) for body in bodies))
    agree = [chunks(a[1])[-3:] == chunks(b[1])[-3:] for a, b in zip(alone, together, strict=True)]
    assert sum(agree) >= 22, "more than batch-dependent rounding can explain"


@given(text=st.text(), final=st.booleans())
def test_any_text_is_spelled_as_pydantic_spells_it(text: str, final: bool) -> None:
    from vllm.entrypoints.generate.base.protocol import DeltaMessage
    from vllm.entrypoints.openai.chat_completion.protocol import (
        ChatCompletionResponseStreamChoice,
        ChatCompletionStreamResponse,
    )

    end = {"finish_reason": "stop", "stop_reason": text} if final else {"finish_reason": None}
    choice = ChatCompletionResponseStreamChoice(
        index=0, delta=DeltaMessage(content=text), logprobs=None, token_ids=None, **end
    )
    theirs = ChatCompletionStreamResponse(
        id="i", object="chat.completion.chunk", created=1, model="m", choices=[choice]
    ).model_dump_json(exclude_unset=True)
    ours = ChatChunks(Head("i", 1, "m", None), parsed=False, usage=False)
    piece = ours.last(text, "stop", text) if final else ours.piece(text)
    assert piece.decode() == f"data: {theirs}\n\n"
