"""What an outlet expects of a core, held by vLLM's own engine core and by the scripted one alike."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from deployments import environment
from deployments.demo_model import INT8
from gateway.config.models import EngineSettings
from gateway.pool.outlet import Core
from gateway.pool.pulse import silent_steps
from tests.gateway.pool.scripted import ScriptedCore, request

pytestmark = pytest.mark.asyncio(loop_scope="module")


def real_core(sockets: Path) -> Any:
    from gateway.pool import leash
    from gateway.pool.early_core import EarlyCore, preloaded
    from gateway.pool.vllm_seam import EngineCore

    settings = EngineSettings(enforce_eager=True)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.engine("cpu", settings).items():
            patch.setenv(name, value)
        patch.setenv("VLLM_RPC_BASE_PATH", str(sockets))
        patch.setenv(leash.PARENT_VARIABLE, str(os.getpid()))
        patch.setenv("LD_PRELOAD", "")
        early = EarlyCore.begin()
        args = {
            "model": str(INT8), "dtype": "bfloat16", "enforce_eager": True, "kv_cache_memory_bytes": 32 << 20,
            "block_size": 32, "max_num_seqs": 8, "max_num_batched_tokens": 64,
        }  # fmt: skip
        core = EngineCore(args, log_stats=False, early=early)
        assert os.environ["LD_PRELOAD"] == preloaded(""), (
            "nothing that vLLM would preload was missing at the core's start"
        )
        return core


@pytest.fixture(scope="module")
def sockets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sockets")


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["scripted", "vLLM's"])
async def core(request: pytest.FixtureRequest, sockets: Path) -> AsyncIterator[Core]:
    if request.param == "scripted":
        yield ScriptedCore(automatic=True)
        return
    made = real_core(sockets)
    await made.warm_up(1, logprobs=True)
    yield made
    made.close()


async def until_finished(core: Core, *request_ids: str) -> dict[str, list[Any]]:
    """Every output of these requests, until each has a finish reason."""
    seen: dict[str, list[Any]] = {request_id: [] for request_id in request_ids}
    async with asyncio.timeout(60):
        while not all(outputs and outputs[-1].finish_reason is not None for outputs in seen.values()):
            for output in (await core.outputs()).outputs:
                if output.request_id in seen:
                    seen[output.request_id].append(output)
    return seen


async def test_a_request_gets_all_its_tokens_and_one_finish(core: Core) -> None:
    await core.add(request("whole", max_tokens=5))
    outputs = (await until_finished(core, "whole"))["whole"]
    assert sum(len(output.new_token_ids) for output in outputs) == 5
    assert [output.finish_reason is not None for output in outputs] == [False] * (len(outputs) - 1) + [True]
    assert str(outputs[-1].finish_reason) == "length"


async def test_while_it_runs_it_has_no_file_that_would_stay_if_it_were_killed(core: Core, sockets: Path) -> None:
    await core.add(request("well", max_tokens=2))
    await until_finished(core, "well")
    assert list(sockets.iterdir()) == []


async def test_requests_are_told_apart(core: Core) -> None:
    names = [f"many-{number}" for number in range(6)]
    for length, name in enumerate(names, 1):
        await core.add(request(name, max_tokens=length))
    seen = await until_finished(core, *names)
    assert [sum(len(output.new_token_ids) for output in seen[name]) for name in names] == [1, 2, 3, 4, 5, 6]


async def test_a_seed_gives_the_same_tokens_however_many_steps_its_prompt_takes(core: Core) -> None:
    """vLLM's own CPU worker dies of such a prompt; the second time most of it is in the prefix cache, and one step does."""
    answers = []
    for name in ("cut", "in the cache"):
        seeded = request(name, prompt=150, max_tokens=12)
        seeded.sampling_params.temperature, seeded.sampling_params.seed = 1.0, 5
        await core.add(seeded)
        outputs = (await until_finished(core, name))[name]
        answers.append([token for output in outputs for token in output.new_token_ids])
    assert answers[0] == answers[1]
    assert len(answers[0]) == 12


async def test_a_core_at_a_prompt_answers_no_more_often_than_the_prompt_takes_steps(core: Core) -> None:
    """By this a core that gets nowhere is told from one that is busy, however slow."""
    said = asyncio.ensure_future(until_finished(core, "long"))
    await core.add(request("long", prompt=1900, max_tokens=1))
    answers = 0
    while not said.done():
        await core.ping()
        answers += 1
        await asyncio.sleep(0)
    assert 0 < answers <= silent_steps([1900], core.step_tokens)


async def test_an_aborted_request_says_nothing_more_to_others(core: Core) -> None:
    await core.add(request("gone", max_tokens=1000))
    async with asyncio.timeout(60):
        while not any(output.request_id == "gone" for output in (await core.outputs()).outputs):
            pass
    await core.abort(["gone"])
    await core.abort(["never heard of"])
    await core.add(request("next", max_tokens=40))
    tokens_after = 0
    finished = False
    async with asyncio.timeout(60):
        while not finished:
            for output in (await core.outputs()).outputs:
                tokens_after += len(output.new_token_ids) if output.request_id == "gone" else 0
                finished = finished or (output.request_id == "next" and output.finish_reason is not None)
    assert tokens_after < 30


async def test_requests_and_outputs_survive_the_wire(core: Core) -> None:
    from gateway.pool.vllm_seam import GatewayCodec

    class Frame:
        def __init__(self, data: Any) -> None:
            self.buffer = memoryview(bytes(data))

    codec = GatewayCodec()
    sent = request("wire", prompt=3, max_tokens=2)
    received = core.decode_request([bytes(frame) for frame in codec.encode_request(sent)])
    assert (received.request_id, received.prompt_token_ids) == ("wire", sent.prompt_token_ids)
    assert received.sampling_params.max_tokens == 2
    await core.add(received)
    async with asyncio.timeout(60):
        while not (batch := await core.outputs()).outputs:
            pass
    told = codec.decode_outputs([Frame(frame) for frame in core.encode_outputs(batch, batch.outputs)])
    assert [output.request_id for output in told.outputs] == [output.request_id for output in batch.outputs]
    if batch.outputs[-1].finish_reason is None:
        await until_finished(core, "wire")


@pytest.mark.parametrize("garbage", [[], [b""], [b"\xff" * 9], [b"\x80"], [b"\x93\x01\x02\x03"]])
async def test_what_is_no_request_is_refused_as_malformed(core: Core, garbage: list[bytes]) -> None:
    from gateway.pool.vllm_seam import MalformedMessageError

    with pytest.raises(MalformedMessageError):
        core.decode_request(garbage)


async def test_the_death_of_the_core_is_raised_where_its_outputs_are_awaited(core: Core) -> None:
    """The last of these: what is left of this core is of no use."""
    if isinstance(core, ScriptedCore):
        core.die()
    else:
        import psutil

        (process,) = [
            p for p in psutil.Process().children(recursive=True) if "EngineCore" in p.name() + "".join(p.cmdline())
        ]
        process.kill()
    with pytest.raises(Exception):  # noqa: B017, PT011  of whatever kind: the replica leaves on any
        async with asyncio.timeout(20):
            while True:
                await core.outputs()
