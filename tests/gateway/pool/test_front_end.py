"""A gateway from its HTTP port to its token channel, on what a real engine cannot be made to do on demand."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from vllm.v1.engine import FinishReason

from gateway.audit.verify import verify
from tests.gateway.pool.engines import SPEC
from tests.gateway.pool.fronts import Front
from tests.gateway.pool.scripted import TOKEN
from tests.waiting import soon

pytestmark = pytest.mark.asyncio(loop_scope="module")

TURN = [{"role": "user", "content": "Hello"}]
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": TURN, "max_tokens": 50},
    "/v1/completions": {"prompt": "Hello", "max_tokens": 50},
    "/v1/responses": {"input": "Hello", "max_output_tokens": 50},
    "/v1/messages": {"messages": TURN, "max_tokens": 50},
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def front(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Front]:
    running = Front(tmp_path_factory.mktemp("front"))
    await running.open()
    yield running
    await running.close()


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def idle(front: Front) -> AsyncIterator[None]:
    """What one test leaves running would be taken for the next one's."""
    yield
    left = [owned.request_id for owned in front.engine.outlet._owned.values()]
    front.engine.core.say(*left, finish=FinishReason.STOP)
    await soon(lambda: not front.engine.outlet.in_flight and not front.backend.pool.in_flight, 5, "an idle engine")


async def spoken_to(front: Front) -> str:
    """The id of the one request, once its first tokens have reached the gateway."""
    request_id = await front.asked()
    front.engine.core.say(request_id, tokens=[TOKEN, TOKEN])
    await soon(lambda: front.backend.pool._flights[request_id].started, 5)
    return request_id


async def streamed(reply: httpx.Response) -> list[str]:
    return [line async for line in reply.aiter_lines() if line]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("path", BODIES)
async def test_a_client_that_leaves_frees_the_engine_within_200_ms(front: Front, path: str, stream: bool) -> None:
    """Nothing has been sent yet in either form: the engine is at its prefill."""
    body = BODIES[path] | {"model": SPEC.name, "stream": stream}
    going = asyncio.create_task(front.http.post(path, json=body))
    request_id = await front.asked()
    going.cancel()
    begun = asyncio.get_running_loop().time()
    await soon(lambda: request_id in front.engine.core.aborted, 5, "aborted at the engine")
    assert asyncio.get_running_loop().time() - begun < 0.2
    assert (front.backend.pool.in_flight, front.engine.outlet.in_flight) == (0, 0)


@pytest.mark.parametrize("path", BODIES)
async def test_a_client_that_leaves_in_mid_stream_frees_the_engine_too(front: Front, path: str) -> None:
    body = BODIES[path] | {"model": SPEC.name, "stream": True}
    speaking = asyncio.create_task(spoken_to(front))
    async with front.http.stream("POST", path, json=body) as reply:
        request_id = await speaking
        await anext(reply.aiter_raw())
    begun = asyncio.get_running_loop().time()
    await soon(lambda: request_id in front.engine.core.aborted, 5, "aborted at the engine")
    assert asyncio.get_running_loop().time() - begun < 0.2


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_an_answer_that_a_stop_string_ends_is_a_success_and_one_that_a_client_leaves_is_none(
    front: Front, stream: bool
) -> None:
    """Both are taken back from the engine; only one earns retries, and tells how long answers are."""
    path, pool = "/v1/chat/completions", front.backend.pool
    body = BODIES[path] | {"model": SPEC.name, "stream": stream, "stop": ["zz"]}
    budget, expected = pool.failover.hedges, pool._chooser._completion
    budget.balance = 0.0
    left = asyncio.create_task(front.http.post(path, json=body | {"stop": []}))
    request_id = await spoken_to(front)
    left.cancel()
    await soon(lambda: request_id in front.engine.core.aborted, 5)
    assert (budget.balance, pool._chooser._completion) == (0.0, expected)
    stopped = asyncio.create_task(front.http.post(path, json=body))
    request_id = await front.asked()
    front.engine.core.say(request_id, tokens=[TOKEN] * 3)
    assert '"finish_reason":"stop"' in (await stopped).text
    await soon(lambda: request_id in front.engine.core.aborted, 5)
    assert budget.balance == pytest.approx(budget.ratio)
    assert pool._chooser._completion < expected


@pytest.mark.parametrize("path", BODIES)
async def test_a_stream_goes_on_with_the_next_engine(front: Front, path: str) -> None:
    body = BODIES[path] | {"model": SPEC.name, "stream": True}
    speaking = asyncio.create_task(spoken_to(front))
    async with front.http.stream("POST", path, json=body) as reply:
        request_id = await speaking
        await front.replace_engine()
        await soon(lambda: request_id in front.engine.core.requests, 10, "asked again")
        front.engine.core.say(request_id, finish=FinishReason.LENGTH)
        lines = await streamed(reply)
    assert "error" not in "".join(lines)
    assert "".join(lines).count("zz") or "".join(lines).count('"z"') >= 2


@pytest.mark.parametrize("path", BODIES)
async def test_a_stream_for_which_no_other_engine_comes_ends_with_an_error_that_says_so(
    front: Front, path: str
) -> None:
    body = BODIES[path] | {"model": SPEC.name, "stream": True}
    speaking = asyncio.create_task(spoken_to(front))
    async with front.http.stream("POST", path, json=body) as reply:
        await speaking
        replacing = asyncio.create_task(front.replace_engine(away_s=2))
        lines = await streamed(reply)
    await replacing
    assert reply.status_code == 200
    if lines[-1] == "data: [DONE]":
        lines.pop()
    error = json.loads(lines[-1].removeprefix("data: "))
    if path == "/v1/messages":
        assert (lines[-2], error["error"]["type"]) == ("event: error", "overloaded_error")
    elif path == "/v1/responses":
        assert (error["type"], error["code"]) == ("error", "engine_lost")
    else:
        assert (error["error"]["type"], error["error"]["code"]) == ("server_error", "engine_lost")


@pytest.mark.parametrize("path", BODIES)
async def test_an_answer_for_which_no_other_engine_comes_is_a_503_that_may_be_tried_again(
    front: Front, path: str
) -> None:
    asking = asyncio.create_task(front.http.post(path, json=BODIES[path] | {"model": SPEC.name}))
    await spoken_to(front)
    await front.replace_engine(away_s=2)
    reply = await asking
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")


async def test_a_request_in_which_two_engines_died_is_told_so_and_recorded(front: Front) -> None:
    body = BODIES["/v1/chat/completions"] | {"model": SPEC.name, "stream": True}
    speaking = asyncio.create_task(spoken_to(front))
    async with front.http.stream("POST", "/v1/chat/completions", json=body) as reply:
        request_id = await speaking
        await front.replace_engine()
        await soon(lambda: request_id in front.engine.core.requests, 10, "asked again")
        await front.replace_engine()
        lines = await streamed(reply)
    error = json.loads(lines[-2].removeprefix("data: "))["error"]
    assert (error["type"], error["code"], lines[-1]) == ("server_error", "engine_poisoned", "data: [DONE]")
    folder, vault = front.config.audit_folders
    await soon(lambda: "request.poisoned" in "".join(file.read_text() for file in folder.iterdir()), 5, "recorded")
    record = next(line for file in folder.iterdir() for line in file.read_text().splitlines() if "poisoned" in line)
    assert json.loads(record)["fields"]["count"] == 2
    assert request_id in record
    assert verify(folder, vault).whole


async def test_without_an_engine_a_request_is_told_when_to_try_again(front: Front) -> None:
    await front.engine.outlet.leave()
    front._tell([])
    await soon(lambda: not front.backend.pool.available, 5)
    reply = await front.http.post("/v1/chat/completions", json=BODIES["/v1/chat/completions"] | {"model": SPEC.name})
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "engine_unavailable")
    assert int(reply.headers["retry-after"]) >= 1
    ready = await front.http.get("/readyz")
    assert (ready.status_code, ready.json()["reasons"]) == (503, [f"no engine for model {SPEC.name}"])
    assert (await front.http.get("/livez")).status_code == 200
    await front.replace_engine()
    assert (await front.http.get("/readyz")).status_code == 200


async def test_a_front_end_that_failed_for_good_is_told_and_the_process_may_be_replaced(front: Front) -> None:
    """An exception in vLLM's output handler ends every stream for good. Last, for nothing mends it."""
    asking = asyncio.create_task(
        front.http.post("/v1/chat/completions", json=BODIES["/v1/chat/completions"] | {"model": SPEC.name})
    )
    request_id = await front.asked()
    front.engine.core.poison(request_id)
    assert (await asking).status_code >= 500
    await soon(lambda: front.backend.front_end.errored, 5)
    told = {str(front.http.base_url): "this gateway has failed", front.management: f"front end of {SPEC.name} failed"}
    for door, reason in told.items():
        alive = await front.http.get(f"{door.rstrip('/')}/livez")
        assert (alive.status_code, alive.json()["reasons"]) == (503, [reason])
    with pytest.raises(RuntimeError, match="front end of demo failed"):
        front.app.check()


LEAVING = """
import asyncio
from deployments.ingress import Gateway

class Failed:
    def check(self):
        raise RuntimeError("front end of demo failed")

async def main():
    gateway = Gateway.__new__(Gateway)
    gateway._gateway = Failed()
    try:
        await gateway.check_health()
    except RuntimeError:
        print("unhealthy", flush=True)
    await asyncio.sleep(30)

asyncio.run(main())
"""


async def test_the_process_of_a_failed_gateway_leaves() -> None:
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", LEAVING], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout.splitlines()[-1]) == (1, "unhealthy")


WITHOUT_DEVICE = """
import asyncio, sys
import vllm.platforms
from vllm.platforms.interface import UnspecifiedPlatform
vllm.platforms.current_platform = vllm.platforms._current_platform = UnspecifiedPlatform()

from gateway.pool.platform import select_cpu_platform
select_cpu_platform()
from gateway.pool import vllm_seam
from gateway.pool.acceptance import FrontSpec
from gateway.pool.curve import Peer
from gateway.pool.engine_pool import EnginePool

async def main():
    pool = EnginePool(Peer(), vllm_seam.GatewayCodec(), lambda channels: 0, lambda card: None, 1.0)
    front_end = await vllm_seam.open_front_end(pool, FrontSpec("demo", sys.argv[1], tool_parser="hermes").flags(2048))
    print("open", front_end.llm.model_config.max_model_len, front_end.errored, flush=True)
    front_end.close()

asyncio.run(main())
"""


async def test_a_gateway_starts_where_vllm_finds_no_device() -> None:
    """On a node without GPU the CUDA wheel's platform is unspecified."""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", WITHOUT_DEVICE, SPEC.path],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=Path(__file__).parents[3],
    )
    assert "open 2048 False" in done.stdout, done.stderr[-3000:]
