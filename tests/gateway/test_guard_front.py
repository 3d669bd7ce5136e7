"""The guard of a gateway as the configuration says, and of several that share their keys."""

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from gateway.guard_front import GuardFront
from tests.gateway.pool.fronts import config

PACE = 100 / 86_400


@pytest.mark.parametrize("gateways", [1, 2])
async def test_gateways_together_let_a_throttled_key_have_its_share_once(tmp_path: Path, gateways: int) -> None:
    settings = config(tmp_path, replicas=gateways, guard={"throttle": {"share": 0.25}})
    fronts = [GuardFront(settings, str, CollectorRegistry(), lambda *_, **__: None) for _ in range(gateways)]
    throttles = [front.guarding.throttle for front in fronts]
    let_in = 0
    for turn in range(24 * 12):
        throttle = throttles[turn % gateways]
        if throttle.enter("h", turn * 300.0, PACE) is None:
            throttle.leave("h")
            let_in += 1
    for front in fronts:
        await front.close()
    assert 24 <= let_in <= 25 + gateways


async def test_a_guard_that_cannot_keep_what_it_sees_is_told_as_down(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    front = GuardFront(config(tmp_path), str, registry, lambda *_, **__: None)
    assert registry.get_sample_value("sluice_guard_up") == 1
    front._guard._away = "guard: its store does not answer"
    assert registry.get_sample_value("sluice_guard_up") == 0
    await front.close()
