"""The guard at a real gateway's door, over HTTP: what is refused, what is taken out, what an operator sees and can undo."""

import asyncio
import re
import signal
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from gateway.audit.verify import verify
from gateway.auth.store import KeyStore
from gateway.config import Config
from gateway.guard.accounts import ACCOUNT
from gateway.guard.packing import Ledger
from gateway.guard.verdict import Level
from gateway.pool.fingerprint import layer_version
from loadtests.redis_server import RedisServer
from tests.gateway.guard.observations import harvested
from tests.gateway.guard.webhooks import Receiver
from tests.gateway.limits.conftest import own_redis
from tests.gateway.pool.engines import SPEC, Engine
from tests.gateway.pool.fronts import Front, config
from tests.gateway.pool.scripted import ScriptedCore
from tests.waiting import soon

pytestmark = pytest.mark.asyncio(loop_scope="module")

__all__ = ["own_redis"]

CHAT, COMPLETIONS, RESPONSES = "/v1/chat/completions", "/v1/completions", "/v1/responses"
TURN = [{"role": "user", "content": "Hello"}]
BODIES: dict[str, dict[str, Any]] = {
    CHAT: {"messages": TURN, "max_tokens": 3, "logprobs": True, "top_logprobs": 1},
    COMPLETIONS: {"prompt": ["Hello", "again"], "max_tokens": 3, "logprobs": 1},
    RESPONSES: {
        "input": "Hello",
        "max_output_tokens": 3,
        "top_logprobs": 1,
        "include": ["message.output_text.logprobs"],
    },
}
LOGIT_BIAS = {"logit_bias": {"5": 100}}
STRICT = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}, "strict": True}}
LEFT = 40


class Guarded(Front):
    """Its engine answers by itself, logprobs included. One account may have LEFT logprobs of the model."""

    def __init__(self, folder: Path, limits: Mapping[str, Any] | None = None, **guard: Any) -> None:
        super().__init__(folder, guard=guard, limits=limits or {})
        store = KeyStore(self.config.keys_file)
        (own,) = store.list()
        self.key_id = own.id
        friend, self.friend_key = store.create(name="f", tenant="friend", now=0)
        self.friend_id = friend.id
        self._scripted, self.engine = self.engine, Engine("engine-1", ScriptedCore(automatic=True))
        self.guard = self.app._guard._guard

    async def open(self) -> None:
        await self._scripted.stop()
        await super().open()

    def put(self, level: Level) -> None:
        """As if the evidence had said so."""
        told = Ledger("t", int(level), 0.0, 4e9, 0.0, 0.0, 0.0, bytes(512), 0.0, 0.0)
        with self.guard._lock:
            self.guard._detector.records.pop(self.key_id, None)
            self.guard._detector.learn(self.key_id, told, 0)
            self.guard._verdicts[self.key_id] = self.guard._detector.verdict(self.key_id)

    async def ask(self, path: str = CHAT, http: httpx.AsyncClient | None = None, **more: Any) -> httpx.Response:
        return await (http or self.http).post(path, json=BODIES[path] | {"model": SPEC.name} | more)

    async def operator(self, path: str = "/guard", method: str = "GET") -> Any:
        async with httpx.AsyncClient(base_url=self.management, timeout=30, trust_env=False) as http:
            return (await http.request(method, path)).json()

    @property
    def last(self) -> Any:
        """The sampling parameters of the last request that reached the engine."""
        return list(self.engine.core.requests.values())[-1].sampling_params

    async def leaked(self, account: str) -> dict[str, int]:
        meters = await asyncio.to_thread(self.app._guard._store.meters)
        return next((used._asdict() for name, used in meters.items() if name.endswith(f"/{account}")), {})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def front(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Guarded]:
    running = Guarded(
        tmp_path_factory.mktemp("guard"),
        enforce="quarantine",
        leak_share=LEFT / (256 * 1536) * 1.001,
        throttle={"requests_per_minute": 2},
        # Levels are put by hand here; nothing that these tests send may raise one.
        thresholds=dict.fromkeys(("strip", "throttle", "verify", "quarantine"), 1e6),
        tenants={"friend": {"trusted": True, "leak_share": 1.0}},
    )
    await running.open()
    yield running
    await running.close()


def code(reply: httpx.Response) -> tuple[int, str]:
    return reply.status_code, reply.json()["error"]["code"]


@pytest.mark.parametrize(
    ("path", "more"),
    [
        (CHAT, LOGIT_BIAS),
        (CHAT, {"response_format": {"type": "json_object"}}),
        (CHAT, {"seed": 1}),
        (CHAT, {"repetition_penalty": 1.3}),
        (CHAT, {"min_tokens": 1, "stop_token_ids": [5]}),
        (CHAT, {"tools": [STRICT]}),
        (COMPLETIONS, LOGIT_BIAS),
        (COMPLETIONS, {"structured_outputs": {"choice": ["a"]}}),
        (RESPONSES, LOGIT_BIAS),
        (RESPONSES, {"text": {"format": {"type": "json_object"}}}),
    ],
)
async def test_logprobs_with_what_chooses_tokens_reach_no_engine(
    front: Guarded, path: str, more: dict[str, Any]
) -> None:
    before = len(front.engine.core.requests)
    assert code(await front.ask(path, **more)) == (400, "logprobs_with_constraint")
    assert len(front.engine.core.requests) == before


async def test_a_trusted_tenant_may_have_both(front: Guarded) -> None:
    async with front.client(front.friend_key) as friend:
        assert (await front.ask(CHAT, friend, **LOGIT_BIAS)).status_code == 200


async def test_a_clients_seed_is_hidden_alike_on_both_layers_and_a_trusted_tenants_is_its_own(front: Guarded) -> None:
    async def seed(http: httpx.AsyncClient | None = None, **more: Any) -> int:
        asked = {"logprobs": False, "top_logprobs": None, "seed": 5, "temperature": 1.0} | more
        assert (await front.ask(CHAT, http, **asked)).status_code == 200
        return int(front.last.seed)

    hidden = await seed()
    assert hidden == await seed() == await seed(stream=True) == await seed(stream=True, user="u", max_tokens=2) != 5
    assert len({hidden, await seed(temperature=1.01), await seed(stream=True, temperature=1.02)}) == 3
    async with front.client(front.friend_key) as friend:
        assert await seed(friend) == await seed(friend, stream=True) == 5


@pytest.mark.parametrize("stream", [False, True])
async def test_what_was_cached_of_a_prompt_is_told_to_nobody(
    front: Guarded, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    core, cached = front.engine.core, iter([32])
    say = core.say
    monkeypatch.setattr(core, "say", lambda *names, **more: say(*names, cached=next(cached, None), **more))
    reply = await front.ask(RESPONSES, top_logprobs=None, include=None, stream=stream)
    assert next(cached, None) is None
    assert reply.status_code == 200
    assert set(re.findall(r'"\w*cached?_\w+":\[?(\d*)', reply.text)) <= {"", "0"}


async def test_a_leak_budget_is_charged_settled_shown_and_once_spent_refuses(front: Guarded) -> None:
    assert code(await front.ask(max_tokens=21)) == (403, "leak_budget_spent")
    answered = await front.ask(max_tokens=4)
    assert answered.json()["choices"][0]["logprobs"]["content"]
    await front.ask(COMPLETIONS, max_tokens=2)
    await soon_leaked(front, 4 * 2 + 2 * 2 * 2)
    await front.app._guard._leaks.used()
    async with front.http.stream(
        "POST", CHAT, json=BODIES[CHAT] | {"model": SPEC.name, "max_tokens": 12, "stream": True}
    ) as stream:
        async for _ in stream.aiter_lines():
            break
    await soon(lambda: front.app.door.in_flight == 0, 10, "the stream's end")
    used = (await front.leaked("t"))["scalars"]
    assert 16 + 2 <= used <= LEFT
    assert code(await front.ask(max_tokens=20)) == (403, "leak_budget_spent")
    assert (await front.ask(max_tokens=50, logprobs=False, top_logprobs=None)).status_code == 200
    rows = await front.app._guard._leaks.used()
    row = next(row for row in rows if row["account"] == "t")
    assert row["model"] == SPEC.name
    assert row["version"] == f"{layer_version(SPEC.path)}-256x1536"
    assert row["share_of_output_layer"] == pytest.approx(used / (256 * 1536))


async def soon_leaked(front: Guarded, scalars: int) -> None:
    async with asyncio.timeout(10):
        while (await front.leaked("t")).get("scalars") != scalars:
            await asyncio.sleep(0.02)


async def test_stripped_of_logprobs_and_choices_an_answer_is_still_an_answer(front: Guarded) -> None:
    front.put(Level.STRIP)
    answered = await front.ask(n=3)
    assert answered.status_code == 200
    assert len(answered.json()["choices"]) == 1
    assert answered.json()["choices"][0]["logprobs"] is None
    assert answered.headers["x-sluice-dropped-fields"] == "logprobs,n"
    assert front.last.logprobs is None
    assert (await front.ask(RESPONSES)).status_code == 200
    assert front.last.logprobs is None
    assert (await front.operator("/metrics-of-guard")).get("error") is not None


async def test_a_throttled_key_is_told_when_to_come_again(front: Guarded) -> None:
    front.put(Level.THROTTLE)
    plain = {"logprobs": False, "top_logprobs": None}
    for _ in range(2):
        let_in = await front.ask(**plain)
        assert let_in.status_code == 200, let_in.text
    refused = await front.ask(**plain)
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) >= 1
    assert "guard" not in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    ("level", "word"), [(Level.VERIFY, "verification_required"), (Level.QUARANTINE, "quarantined")]
)
async def test_a_held_key_is_refused_until_it_is_released(front: Guarded, level: Level, word: str) -> None:
    front.put(level)
    before = len(front.engine.core.requests)
    assert code(await front.ask()) == (403, word)
    assert len(front.engine.core.requests) == before
    flagged = (await front.operator())["flagged"]
    assert flagged[front.key_id]["level"] == level.label
    assert (await front.operator(f"/guard/{front.key_id}"))["verdict"]["applied"] == level.label
    assert "error" in await front.operator(f"/guard/{front.key_id}/release")
    assert "Nothing has been seen" in (await front.operator("/guard/typo2345/release", "POST"))["error"]["message"]
    assert await front.operator(f"/guard/{front.key_id}/release", "POST") == {
        "key": front.key_id,
        "before": level.label,
    }
    assert (await front.ask(logprobs=False, top_logprobs=None)).status_code == 200
    assert front.key_id not in (await front.operator())["flagged"]
    with front.guard._lock:
        front.guard._detector.records.pop(front.key_id, None)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"origin": "OWN", "sec-fetch-site": "same-origin"}, 404),
        ({}, 404),
    ],
)
async def test_a_page_of_another_site_releases_nobody(front: Guarded, headers: dict[str, str], status: int) -> None:
    own = {name: front.management if value == "OWN" else value for name, value in headers.items()}
    async with httpx.AsyncClient(base_url=front.management, trust_env=False, headers=own) as http:
        assert (await http.post("/guard/nobody/release")).status_code == status
        assert (await http.get("/guard")).status_code == 200


async def test_a_key_of_a_held_account_is_refused_though_nothing_was_seen_of_it(front: Guarded) -> None:
    account = f"{ACCOUNT}t"
    held = Ledger("t", int(Level.VERIFY), 0.0, 4e9, 0.0, 0.0, 0.0, bytes(512), 0.0, 0.0)
    with front.guard._lock:
        front.guard._detector.learn(account, held, 0)
        front.guard._verdicts[account] = front.guard._detector.verdict(account)
    assert code(await front.ask()) == (403, "verification_required")
    assert (await front.operator(f"/guard/{account}/release", "POST"))["before"] == "verify"
    assert (await front.ask(logprobs=False, top_logprobs=None)).status_code == 200


async def test_ended_requests_are_seen_and_told_in_numbers(front: Guarded) -> None:
    before = front.guard.seen
    async with front.client(front.friend_key) as friend:
        await front.ask(CHAT, friend)
    await soon(lambda: front.guard.seen > before, 10, "the request to be looked at")
    async with httpx.AsyncClient(base_url=front.management, trust_env=False) as http:
        metrics = (await http.get("/metrics")).text
    assert 'sluice_guard_actions_total{action="quarantine",tier="standard"} 1.0' in metrics
    assert "sluice_guard_open_surface 0.0" in metrics
    assert (await front.operator(f"/guard/{front.friend_id}"))["requests_today"] >= 1


async def test_releases_are_in_the_audit_trail_and_no_key_is(front: Guarded) -> None:
    folder, vault = front.config.audit_folders

    def trail() -> str:
        return "".join(path.read_text() for path in sorted(folder.rglob("*.jsonl*")))

    await soon(lambda: '"guard.released"' in trail(), 10, "the audit record")
    assert front.key_id not in trail()
    assert verify(folder, vault).whole


@pytest.mark.parametrize("behaviour", ["takes", "fails", "hangs"])
async def test_who_must_be_verified_is_refused_the_webhook_told_and_nobody_waits_for_it(
    tmp_path: Path, behaviour: str
) -> None:
    with Receiver(behaviour) as receiver:
        low = {"strip": 1.0, "throttle": 2.0, "verify": 3.0, "quarantine": 1e6}
        running = Guarded(tmp_path, enforce="verify", webhook=receiver.url, thresholds=low)
        await running.open()
        try:
            plain = {"logprobs": False, "top_logprobs": None}
            for each in harvested(running.key_id, 400, time.time() - 8000):
                running.guard.observe(each)
            await soon(lambda: receiver.messages, 20, "the webhook told")
            assert code(await running.ask(**plain)) == (403, "verification_required")
            (told, *again) = receiver.messages
            assert (told["event"], told["key"], told["level"]) == ("guard.level", running.key_id, "verify")
            assert told["reasons"]
            assert all(message == told for message in again)
            async with running.client(running.friend_key) as friend, asyncio.timeout(5):
                assert (await running.ask(CHAT, friend, **plain)).status_code == 200
        finally:
            await running.close()


async def test_an_open_surface_lets_everything_through_and_says_so(tmp_path: Path) -> None:
    running = Guarded(tmp_path, unsafe_open_surface=True)
    await running.open()
    try:
        assert (await running.ask(**LOGIT_BIAS, bad_words=["x"], cache_salt="mine", seed=3)).status_code == 200
        assert running.last.bad_words == ["x"]
        (request,) = running.engine.core.requests.values()
        assert request.cache_salt == "mine"
        ready = await running.operator("/readyz")
        assert "unsafe_open_surface" in ready["warnings"][0]
        assert (await running.operator())["open_surface"] is True
    finally:
        await running.close()


@pytest.mark.parametrize(("host", "accepted"), [("127.0.0.1", True), ("::1", True), ("0.0.0.0", False), ("::", False)])
async def test_an_open_surface_is_accepted_on_loopback_only(tmp_path: Path, host: str, accepted: bool) -> None:
    raw = config(tmp_path).model_dump()
    raw["gateway"]["guard"]["unsafe_open_surface"] = True
    raw["gateway"]["listen"]["host"] = host
    if accepted:
        Config.model_validate(raw)
        return
    with pytest.raises(ValueError, match="loopback"):
        Config.model_validate(raw)


async def test_what_leaks_waits_for_a_late_redis_and_is_refused_without_one_while_plain_text_goes_on(
    tmp_path: Path, own_redis: RedisServer
) -> None:
    running = Guarded(tmp_path, {"redis": own_redis.url, "timeout_ms": 100})
    await running.open()
    try:
        own_redis.process.send_signal(signal.SIGSTOP)
        asyncio.get_running_loop().call_later(2.5, own_redis.process.send_signal, signal.SIGCONT)
        assert (await running.ask()).status_code == 200
        own_redis.process.kill()
        own_redis.process.wait()
        assert code(await running.ask()) == (503, "leak_budget_unknown")
        assert (await running.ask(logprobs=False, top_logprobs=None)).status_code == 200
        assert any("leak budgets" in warning for warning in (await running.operator("/readyz"))["warnings"])
    finally:
        await running.close()
