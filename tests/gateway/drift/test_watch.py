"""The watch beside a gateway: what it takes, when it looks, and what is left of it after a restart."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.config.drift import Drift
from gateway.drift.state import StateFile
from gateway.drift.watch import MOST_WAITING, DriftWatch, rules_of

PROMPTS = {"a": "please tell me about the weather ", "b": "пожалуйста расскажи мне о погоде "}


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def settings(**changes: Any) -> Drift:
    known: dict[str, Any] = {"period_s": None, "learn_s": 0, "sample_per_s": 10, "evaluate_s": 10, "confirm": 1}
    return Drift(**known | changes)


def decode(tokens: Any) -> str:
    return "".join(chr(token) for token in tokens)


class Running(DriftWatch):
    """Turned by hand."""

    def __init__(self, folder: Path, clock: Clock, **changes: Any) -> None:
        self.clock = clock
        super().__init__(settings(**changes), folder, {"demo": decode}, clock, seed=1)

    def ask(self, kind: str, number: int, version: str = "v1") -> None:
        """So many requests that are looked at, ten in a second."""
        for _ in range(number):
            self.clock.now += 0.1
            prompt = [ord(letter) for letter in PROMPTS[kind]]
            self.take("demo", version, prompt, [52, 50], "stop", self.clock.now)
            if self._waiting.qsize() > MOST_WAITING / 2:
                self.turn()
        self.clock.now += 10
        self.turn()

    @property
    def told(self) -> dict[str, Any]:
        return self.status()["demo"]  # type: ignore[no-any-return]


def test_a_shift_is_told_with_its_distances(tmp_path: Path) -> None:
    watch = Running(tmp_path, Clock())
    watch.ask("a", 300)
    assert watch.told["state"] == "ok"
    watch.ask("b", 400)
    assert watch.told["state"] == "drift"
    (version,) = watch.told["versions"]
    assert {"language", "prompts"} <= set(version["alerts"])
    assert version["signals"]["language"]["distance"] > version["signals"]["language"]["threshold"]
    watch.close()


def test_who_asks_during_a_comparison_is_told_of_the_last_one_at_once(tmp_path: Path) -> None:
    """It is the event loop that asks."""
    watch = Running(tmp_path, Clock())
    watch.ask("a", 300)
    before = watch.told
    with ThreadPoolExecutor(1) as thread, watch._lock:
        assert thread.submit(lambda: watch.told).result(5) == before
    assert watch.relearn("demo")
    assert watch.told["reference"]["samples"] == 0
    watch.close()


def test_a_restart_goes_on_where_the_last_gateway_stopped(tmp_path: Path) -> None:
    clock = Clock()
    first = Running(tmp_path, clock)
    first.ask("a", 300)
    first.close()
    second = Running(tmp_path, clock)
    second.ask("b", 400)
    assert second.told["state"] == "drift"
    second.close()
    third = Running(tmp_path, clock)
    assert third.told["reference"]["samples"] == 256
    clock.now += 10
    third.turn()
    assert third.told["versions"][0]["alerts"], "an alert is not forgotten either"
    third.close()


def test_a_gateway_that_starts_beside_another_takes_its_state_and_a_file_of_its_own(tmp_path: Path) -> None:
    clock = Clock()
    first = Running(tmp_path, clock)
    first.ask("a", 300)
    first._save()
    second = Running(tmp_path, clock)
    assert second.told["reference"]["samples"] == 256
    second.close()
    first.close()
    assert sorted(path.name for path in tmp_path.glob("*.npz")) == ["0.npz", "1.npz"]


def test_a_gateway_without_traffic_that_stops_last_loses_no_others_reference(tmp_path: Path) -> None:
    clock = Clock()
    busy, idle = Running(tmp_path, clock), Running(tmp_path, clock)
    busy.ask("a", 300)
    busy.close()
    idle.ask("b", 3)
    idle.close()
    third = Running(tmp_path, clock)
    assert third.told["reference"]["samples"] == 256
    third.close()


def test_what_was_forgotten_at_an_operators_wish_comes_not_back_from_another_file(tmp_path: Path) -> None:
    clock = Clock()
    first, second = Running(tmp_path, clock), Running(tmp_path, clock)
    for watch in (first, second):
        watch.ask("a", 300)
    assert second.relearn("demo")
    second.ask("b", 20)
    second.close()
    first.close()
    third = Running(tmp_path, clock)
    assert third.told["reference"]["samples"] == 20
    third.close()


def test_one_file_that_cannot_be_read_leaves_the_others(tmp_path: Path) -> None:
    clock = Clock()
    first = Running(tmp_path, clock)
    first.ask("a", 300)
    first.close()
    (tmp_path / "1.npz").write_bytes(b"PK\x03\x04 half")
    second = Running(tmp_path, clock)
    assert second.told["reference"]["samples"] == 256
    second.close()


def test_other_settings_of_the_season_learn_anew(tmp_path: Path) -> None:
    clock = Clock()
    first = Running(tmp_path, clock)
    first.ask("a", 300)
    first.close()
    second = Running(tmp_path, clock, reference_samples=128)
    assert second.status() == {}
    second.close()


@pytest.mark.parametrize("damage", [b"", b"not a zip", b"PK\x03\x04 half"])
def test_a_file_that_cannot_be_read_is_no_state(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "0.npz").write_bytes(damage)
    watch = Running(tmp_path, Clock())
    watch.ask("a", 20)
    watch.close()


def test_a_file_damaged_anywhere_stops_no_gateway(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A zip's directory, a compressed array's header and its rows each fail in their own way."""
    watch = Running(tmp_path, Clock())
    watch.ask("a", 60)
    watch.close()
    file, rng = tmp_path / "0.npz", np.random.default_rng(1)
    whole = file.read_bytes()
    reader = StateFile(tmp_path)
    for place in range(0, len(whole), 7):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        reader.load(rules_of(settings()), rng)
    reader.close()
    assert "drift_state_unreadable" in capsys.readouterr().out


def test_nothing_of_a_prompt_is_written(tmp_path: Path) -> None:
    watch = Running(tmp_path, Clock())
    watch.ask("a", 150)
    watch.close()
    (file,) = tmp_path.glob("*.npz")
    with np.load(file) as arrays:
        assert not any(b"weather" in arrays[name].tobytes() for name in arrays)


def test_however_many_requests_end_few_are_looked_at(tmp_path: Path) -> None:
    clock = Clock()
    watch = Running(tmp_path, clock)
    wanted = sum(watch.wants("demo", clock.now + number / 1000) for number in range(20_000))
    assert 140 < wanted < 270, "ten a second, of a thousand, for twenty seconds"
    watch.close()


def test_what_waits_for_the_thread_is_bounded(tmp_path: Path) -> None:
    clock = Clock()
    watch = Running(tmp_path, clock)
    for number in range(2 * MOST_WAITING):
        if watch.wants("demo", clock.now + number):
            watch.take("demo", "v1", [65] * 9, [65], "stop", clock.now)
    assert watch._waiting.qsize() == MOST_WAITING
    watch.close()


def test_alerts_begin_and_end_in_the_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    watch = Running(tmp_path, Clock())
    watch.ask("a", 300)
    watch.ask("b", 600)
    watch.ask("a", 600)
    watch.close()
    text = capsys.readouterr().out
    assert text.index("language") < text.index("drift_ended")


def test_no_more_gateways_than_files_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.drift.state.SLOTS", 1)
    first, second = StateFile(tmp_path), StateFile(tmp_path)
    second.save({})
    assert not list(tmp_path.glob("*.npz"))
    first.close()
    second.close()
