"""`sluice guard` against a management port, without a Sluice behind it."""

import io
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from rich.console import Console

from deployments import guard_desk
from deployments.guard_desk import guard
from gateway.config import Config

VERDICT = {
    "level": "throttle",
    "applied": "strip",
    "score": 6.2,
    "since": 1.8e9,
    "reasons": [{"feature": "ring", "points": 4.0, "value": 3.0, "usual": 0.1}],
}
ANSWERS: dict[tuple[str, str], dict[str, Any]] = {
    ("GET", "/guard"): {
        "warnings": ["leak budgets: away"],
        "enforce": "strip",
        "seen": 12,
        "dropped": 1,
        "keys_known": 3,
        "flagged": {"abcd2345": VERDICT},
        "leaks": [
            {
                "account": "acme",
                "model": "demo",
                "version": "v",
                "scalars": 7,
                "answers": 2,
                "limits": {"scalars": 100, "answers": 50},
                "share_of_output_layer": 0.0123,
            },
            {"account": "old", "model": None, "version": "gone", "scalars": 1, "answers": 0, "limits": None,
             "share_of_output_layer": None},
        ],
    },
    ("GET", "/other/guard"): {
        "warnings": ["leak budgets: away", "guard: its thread has ended"],
        "enforce": "strip",
        "seen": 7,
        "dropped": 4,
        "keys_known": 2,
        "flagged": {},
        "leaks": [],
    },
    ("GET", "/guard/abcd2345"): {
        "key": "abcd2345",
        "tenant": "acme",
        "verdict": VERDICT,
        "requests_today": 40,
        "carried": 0.5,
        "thresholds": {"strip": 4.0},
        "features": [
            {"feature": "ring", "points": 4.0, "value": 3.0, "usual": 0.1, "rare": 1.0},
            {"feature": "twins", "points": 0.0, "value": 0.0, "usual": 0.0, "rare": 1.0},
        ],
        "acts_with": ["a", "b", "c"],
    },
    ("POST", "/guard/abcd2345/release"): {"key": "abcd2345", "before": "throttle"},
    ("POST", "/other/guard/abcd2345/release"): {"key": "abcd2345", "before": "observe"},
    ("POST", "/guard/account%3Aacme%2Feu%20%3F%23/release"): {"key": "account:acme/eu ?#", "before": "verify"},
}  # fmt: skip


class Desk(BaseHTTPRequestHandler):
    def answer(self) -> None:
        found = ANSWERS.get((self.command, self.path), {"error": {"message": "Nothing has been seen of this key."}})
        body = json.dumps(found).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = answer  # noqa: N815  the names that http.server calls

    def log_message(self, *_: object) -> None:
        pass


class Running:
    def __init__(self, management: str) -> None:
        self.management = [management]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Config]:
    server = HTTPServer(("127.0.0.1", 0), Desk)
    Thread(target=server.serve_forever, daemon=True).start()
    state = Running(f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(guard_desk.RunState, "read", lambda _folder: state)
    model = {"name": "m", "checkpoints": {"cpu": {"source": "demo:int8"}}}
    yield Config.model_validate({"state_dir": str(tmp_path), "models": [model]})
    server.shutdown()
    server.server_close()


def said(config: Config, verb: str, key: str = "") -> tuple[int, str]:
    console = Console(width=300, record=True, file=io.StringIO())
    return guard(config, verb, key, console), console.export_text()


def test_status_tells_who_is_flagged_and_what_was_given(config: Config) -> None:
    code, text = said(config, "status")
    assert code == 0
    for word in ("abcd2345", "throttle", "strip", "ring", "acme", "1.230%", "7 of 100", "leak budgets: away", "gone"):
        assert word in text


def test_explain_names_what_counted_and_nothing_else(config: Config) -> None:
    code, text = said(config, "explain", "abcd2345")
    assert code == 0
    assert "ring" in text
    assert "twins" not in text
    assert "acts like 3 accounts: a, b, c" in text


def test_status_tells_what_is_wrong_at_any_gateway_and_counts_all(config: Config) -> None:
    (only,) = guard_desk.RunState.read(config.state_dir).management
    for order in ([f"{only}/other", only], [only, f"{only}/other"]):
        guard_desk.RunState.read(config.state_dir).management[:] = order
        code, text = said(config, "status")
        assert code == 0
        for word in (
            "leak budgets: away",
            "guard: its thread has ended",
            "19 requests looked at, 5 not",
            "abcd2345",
            "acme",
        ):
            assert word in text
        assert text.count("leak budgets: away") == 1


def test_a_key_that_one_gateway_knows_is_known(config: Config) -> None:
    (only,) = guard_desk.RunState.read(config.state_dir).management
    guard_desk.RunState.read(config.state_dir).management[:] = [f"{only}/third", only]
    assert said(config, "release", "abcd2345") == (0, "released abcd2345, which was at 'throttle'\n")


def test_release_of_a_key_that_nobody_has_seen_is_no_release(config: Config) -> None:
    assert said(config, "release", "typo2345") == (1, "Nothing has been seen of this key.\n")


def test_release_tells_where_the_key_was(config: Config) -> None:
    assert said(config, "release", "abcd2345") == (0, "released abcd2345, which was at 'throttle'\n")


def test_of_several_gateways_the_one_where_the_key_stood_highest_is_told(config: Config) -> None:
    (only,) = guard_desk.RunState.read(config.state_dir).management
    for order in ([f"{only}/other", only], [only, f"{only}/other"]):
        guard_desk.RunState.read(config.state_dir).management[:] = order
        assert said(config, "release", "abcd2345") == (0, "released abcd2345, which was at 'throttle'\n")


def test_a_name_with_characters_of_its_own_reaches_the_gateway_whole(config: Config) -> None:
    name = "account:acme/eu ?#"
    assert said(config, "release", name) == (0, f"released {name}, which was at 'verify'\n")


def test_a_key_that_nobody_has_seen_is_said_to_be_unknown(config: Config) -> None:
    code, text = said(config, "explain", "zzzz2345")
    assert code == 1
    assert "Nothing has been seen" in text


def test_without_a_running_sluice_it_says_so(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard_desk.RunState, "read", lambda _folder: None)
    assert said(config, "status")[0] == 3
