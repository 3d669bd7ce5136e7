"""Drift in a whole gateway: requests of every dialect come to it, their words do not stay, and a restart forgets nothing."""

import asyncio
from pathlib import Path
from typing import Any

from tests.gateway.pool.engines import SPEC
from tests.gateway.pool.fronts import Front
from tests.gateway.pool.full_fronts import BODIES
from tests.waiting import soon

DRIFT = {
    "period_s": None,
    "learn_s": 0,
    "sample_per_s": 1e6,
    "min_samples": 32,
    "reference_samples": 32,
    "window_samples": 32,
    "evaluate_s": 0.1,
    "confirm": 1,
}


class Watched(Front):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder, automatic=True, drift=DRIFT)

    async def ask(self, text: str, number: int) -> None:
        for _ in range(number // 4):
            bodies = [dict(body) for body in BODIES.values()]
            for body in bodies:
                body |= {"model": SPEC.name, **_said(body, text)}
                for limit in ("max_tokens", "max_output_tokens"):
                    if limit in body:
                        body[limit] = 2
            replies = await asyncio.gather(
                *(self.http.post(path, json=body) for path, body in zip(BODIES, bodies, strict=True))
            )
            assert [reply.status_code for reply in replies] == [200] * 4

    def told(self) -> Any:
        return self.app.status()["drift"].get(SPEC.name, {"state": "", "versions": []})


def _said(body: dict[str, Any], text: str) -> dict[str, Any]:
    if "messages" in body:
        return {"messages": [{"role": "user", "content": text}]}
    return {"prompt": text} if "prompt" in body else {"input": text}


async def test_a_shift_is_seen_over_all_routes_and_remembered(tmp_path: Path) -> None:
    front = Watched(tmp_path)
    await front.open()
    try:
        await front.ask("What is 17 + 25?", 40)
        await soon(lambda: front.told()["versions"] and front.told()["versions"][0]["signals"], 10, "a comparison")
        (version,) = (await front.http.get(f"{front.management}/status")).json()["drift"][SPEC.name]["versions"]
        assert version["version"].endswith("/int8-w8a8")
        assert version["signals"]["language"]["distance"] < version["signals"]["language"]["threshold"]
        assert version["present"]["output_tokens_p50"] == 2
        await front.ask("Wer wohnt über der großen schönen Brücke und hört am Abend früher auf?", 40)
        await soon(lambda: front.told()["state"] == "drift", 10, "an alert")
        text = (await front.http.get(f"{front.management}/metrics")).text
        assert 'sluice_drift_alert{model="demo",signal="prompt_tokens"} 1.0' in text
        assert 'sluice_drift_alert{model="demo",signal="output_tokens"} 0.0' in text
    finally:
        await front.close()
    (file,) = (tmp_path / "drift").glob("*.npz")
    assert b"schoenen" not in file.read_bytes()
    again = Watched(tmp_path)
    await again.open()
    try:
        await soon(lambda: again.told()["state"] == "drift", 10, "the alert from before")
    finally:
        await again.close()
