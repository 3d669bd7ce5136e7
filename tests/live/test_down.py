"""A second Sluice, of two gateways and two engines: stopped while it starts, started, used, and stopped by `sluice down`."""

import collections
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import yaml

from tests.live.harness import MODEL, Sluice, free_ports, model
from tests.live.harness import sluice as command
from tests.waiting import eventually

LONG, QUARTERS = 1900, 4
"""Tokens, and how many such streams at once."""

pytestmark = [pytest.mark.destructive(order=10), pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sluice]:
    listen, management = free_ports(2)
    folder = tmp_path_factory.mktemp("second")
    config = {
        "state_dir": str(folder / "state"),
        "gateway": {
            "replicas": 2,
            "listen": {"port": listen},
            "management": {"port": management},
            "surface": {"unknown_fields": "drop"},
            "drain_s": 2,
        },
        "models": [model(MODEL, "demo:int8", "int8-w8a8") | {"replicas": 2}],
        "ray": {"dashboard": False},
    }
    running = Sluice(folder, config)
    yield running
    running.stop()


def test_ctrl_c_while_it_starts_lets_nothing_behind(second: Sluice) -> None:
    second.launch()
    eventually(lambda: "Ray is up" in second.log, 60, "the middle of a start")
    assert second.interrupt() == 0
    assert second.survivors() == []
    assert "stopped" in second.log
    assert not (second.folder / "state" / "run.json").exists()


def test_two_gateways_share_a_port_and_both_engines(second: Sluice) -> None:
    second.start()
    headers = {"authorization": f"Bearer {second.key()}"}
    question = {"model": MODEL, "messages": [{"role": "user", "content": "What is 17 + 25?"}], "temperature": 0}
    seen: collections.Counter[str] = collections.Counter()
    for number in range(24):
        reply = httpx.post(
            f"{second.url}/v1/chat/completions",
            json=question | {"seed": number, "color_of_answer": "blue"},
            headers=headers,
            timeout=60,
            trust_env=False,
        )
        assert reply.status_code == 200, reply.text
        assert reply.headers["x-sluice-dropped-fields"] == "color_of_answer", "the config says so"
        seen[reply.json()["choices"][0]["message"]["content"]] += 1
    assert seen == {"17 + 25 = 42": 24}
    shown = yaml.safe_load(command("status", "-c", second.file, "--json").stdout)
    assert len(shown["gateways"]) == 2
    for gateway in shown["gateways"]:
        (served,) = gateway["models"]
        assert [engine["state"] for engine in served["engines"]] == ["up", "up"]


def stream(second: Sluice, key: str, tokens: int) -> str:
    """How it ended: whole, refused, or the code that it was told."""
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": "Tell me a long story."}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": tokens,
        "ignore_eos": True,
    }
    events: list[str] = []
    headers = {"authorization": f"Bearer {key}"}
    try:
        with httpx.stream(
            "POST", f"{second.url}/v1/chat/completions", json=body, headers=headers, timeout=60, trust_env=False
        ) as reply:
            events += (line.removeprefix("data: ") for line in reply.iter_lines() if line.startswith("data: "))
            if reply.status_code != 200:
                return "refused" if reply.status_code == 503 else str(reply.status_code)
    except httpx.HTTPError as exc:
        return f"cut after {len(events)} events: {exc!r}" if events else "refused"
    if events[-1] == "[DONE]" and (usage := json.loads(events[-2]).get("usage")):
        return "whole" if usage["completion_tokens"] == tokens else f"{usage} of {tokens}"
    errors = (said["error"]["code"] for said in map(json.loads, events) if "error" in said)
    return str(next(errors, f"no end after {len(events)} events"))


def test_down_ends_streams_whole_or_says_why_not_and_lets_nothing_behind(second: Sluice) -> None:
    """Streams follow each other until nobody takes them. Short ones end in time; long ones take longer than the drain lasts, and
    as they begin a quarter of their length apart, it meets most of them in the middle.
    """
    assert len(second.tree()) > 5
    key = second.key()
    short: list[str] = []
    long: list[list[str]] = [[] for _ in range(QUARTERS)]

    def one_after_the_other(ends: list[str], first: int, tokens: int) -> None:
        ends.append(stream(second, key, first))
        while ends[-1] == "whole":
            ends.append(stream(second, key, tokens))

    with ThreadPoolExecutor(1 + QUARTERS) as pool:
        running = [
            pool.submit(one_after_the_other, ends, LONG * (number + 1) // QUARTERS, LONG)
            for number, ends in enumerate(long)
        ]
        running.append(pool.submit(one_after_the_other, short, 32, 32))
        eventually(lambda: "whole" in short, 30, "streams run")
        down = command("down", "-c", second.file)
        for each in running:
            each.result(60)
    assert (short[0], short[-1]) == ("whole", "refused"), short
    last = [ends[-1] for ends in long]
    assert "shutting_down" in last, "a stream that is cut says why"
    assert set(last) <= {"shutting_down", "refused"}, last
    assert (down.returncode, down.stdout.strip()) == (0, "stopped")
    assert second.process is not None
    assert second.process.wait(5) == 0
    assert " s  stopped" in second.log
    assert second.survivors() == []
    assert not (second.folder / "state" / "run.json").exists()
