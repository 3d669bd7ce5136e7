"""Parts of the running Sluice are killed outright: nothing is orphaned, everything comes back, clients are told the truth."""

import json
import threading
import time
from collections.abc import Iterator

import httpx
import psutil
import pytest

from tests.live.harness import MODEL, Sluice
from tests.waiting import eventually

pytestmark = [pytest.mark.destructive(order=0), pytest.mark.slow, pytest.mark.timeout(400)]

CHAT = "/v1/chat/completions"
BACK_S = 200.0
"""Start of an engine on a busy machine; an idle one takes a tenth."""


def ask(model: str, **more: object) -> dict[str, object]:
    return {"model": model, "messages": [{"role": "user", "content": "Count from 1 to 60."}], "max_tokens": 8, **more}


def replica_of(sluice: Sluice, model: str) -> psutil.Process:
    (engine,) = sluice.model_status(model)["engines"]
    return psutil.Process(engine["pid"])


def core_of(replica: psutil.Process) -> psutil.Process:
    (core,) = [child for child in replica.children(recursive=True) if "EngineCore" in " ".join(child.cmdline())]
    return core


def gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def is_back(sluice: Sluice, model: str, old: int) -> bool:
    engines = sluice.model_status(model)["engines"]
    return [engine["state"] for engine in engines] == ["up"] and engines[0]["pid"] != old


def events(reply: httpx.Response) -> Iterator[str]:
    for line in reply.iter_lines():
        if line.startswith("data: "):
            yield line.removeprefix("data: ")


def test_an_engine_that_is_killed_takes_its_core_along_and_its_stream_goes_on_with_the_next(
    sluice: Sluice, http: httpx.Client
) -> None:
    """The only engine of its model: the stream waits for Serve to start another; who comes meanwhile is told to come back."""
    gateway = sluice.status()["gateway"]
    replica = replica_of(sluice, MODEL)
    core, niceness = core_of(replica), replica.nice()
    sluice.tree()
    long = ask(MODEL, max_tokens=1900, ignore_eos=True, stream=True, stream_options={"include_usage": True})
    with http.stream("POST", CHAT, json=long) as reply:
        stream = events(reply)
        begun = [json.loads(next(stream))["object"] for _ in range(3)]
        assert begun == ["chat.completion.chunk"] * 3
        replica.kill()
        killed = time.monotonic()
        eventually(lambda: gone(core), 2, "the core on its leash")
        seen = set()
        while not (other := http.post(CHAT, json=ask(MODEL))).is_success:
            seen.add((other.status_code, other.json()["error"]["code"], "retry-after" in other.headers))
            assert time.monotonic() - killed < BACK_S, seen
            ready = httpx.get(f"{sluice.management}/readyz", trust_env=False)
            assert ready.status_code in (200, 503)
        rest = list(stream)
    assert seen <= {(503, "engine_unavailable", True)}
    assert rest[-1] == "[DONE]"
    chunks = [json.loads(event) for event in rest[:-1]]
    assert not [chunk for chunk in chunks if "error" in chunk]
    assert chunks[-1]["usage"]["completion_tokens"] == 1900
    assert is_back(sluice, MODEL, replica.pid)
    assert replica_of(sluice, MODEL).nice() == niceness, "who starts later does not come last on a busy machine"
    assert sluice.status()["gateway"] == gateway, "the gateway is the same process as before"


def test_other_models_serve_on_while_one_is_away(sluice: Sluice, http: httpx.Client) -> None:
    """A core that is killed alone takes its replica with it, for a replica without one is worth nothing."""
    model = f"{MODEL}-bf16"
    replica = replica_of(sluice, model)
    sluice.tree()
    core_of(replica).kill()
    eventually(lambda: gone(replica), 10, "the replica left")
    assert http.post(CHAT, json=ask(MODEL)).is_success
    health = httpx.get(f"{sluice.url}/readyz", trust_env=False)
    if health.status_code == 503:
        assert health.json()["reasons"] == [f"no engine for model {model}"]
    eventually(lambda: is_back(sluice, model, replica.pid), BACK_S, "another engine", every=0.5)
    assert http.post(CHAT, json=ask(model)).is_success


def test_a_gateway_that_is_killed_frees_its_requests_and_is_replaced(sluice: Sluice, key: str) -> None:
    replica = replica_of(sluice, MODEL)
    gateway = next(p for p in sluice.tree() if ":Gateway" in " ".join(p.cmdline()))
    old = sluice.status()["gateway"]

    def hang() -> None:
        long = ask(MODEL, max_tokens=1900, ignore_eos=True)
        headers = {"authorization": f"Bearer {key}"}
        with pytest.raises(httpx.HTTPError):
            httpx.post(sluice.url + CHAT, json=long, headers=headers, timeout=60, trust_env=False)

    client = threading.Thread(target=hang)
    client.start()
    eventually(lambda: sluice.streams() == 1, 10)
    gateway.kill()
    client.join(30)
    assert not client.is_alive()

    def new_one_is_ready() -> bool:
        try:
            ready = httpx.get(f"{sluice.url}/readyz", timeout=5, trust_env=False).status_code == 200
            return ready and sluice.status()["gateway"] != old
        except httpx.HTTPError:
            return False

    eventually(new_one_is_ready, BACK_S, "another gateway at the same port", every=0.5)
    eventually(
        lambda: sluice.model_status()["engines"][0]["requests"] == 0, 15, "the dead gateway's request is aborted"
    )
    assert replica_of(sluice, MODEL).pid == replica.pid, "the engine stayed"
    reply = httpx.post(
        sluice.url + CHAT, json=ask(MODEL), headers={"authorization": f"Bearer {key}"}, timeout=60, trust_env=False
    )
    assert reply.is_success
