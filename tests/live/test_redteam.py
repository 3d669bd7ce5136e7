"""The quick attacks: bare vLLM falls to them, the Sluice that all live tests share does not. `make redteam` has the others."""

from urllib.parse import urlsplit

import httpx
import pytest

from deployments.demo_model import BF16
from loadtests.redteam import stage
from loadtests.redteam.attack import Mode, Scene
from loadtests.redteam.suite import ATTACKS
from loadtests.redteam.target import Stopped, Target
from tests.waiting import eventually

QUICK = ("R1", "R2", "R3f", "R3s")
MANY = 30


def attack(name):
    return next(one for one in ATTACKS if one.id == name)


@pytest.fixture(scope="module")
def naked(tmp_path_factory):
    """vLLM's own server with the random victim, and the folder of its weights."""
    scratch = tmp_path_factory.mktemp("bare")
    weights = stage.make(scratch, 1, [stage.VICTIM])
    running = stage.bare(scratch, weights, [stage.VICTIM])
    yield running, weights / stage.VICTIM
    running.close()


@pytest.fixture(scope="module")
def attacker(sluice):
    """The key of a tenant that nobody trusts, once the gateway knows it."""
    made = sluice.key("attacker", "--tenant", "red-team")
    models, headers = f"{sluice.url}/v1/models", {"authorization": f"Bearer {made}"}
    eventually(lambda: httpx.get(models, headers=headers, trust_env=False).status_code == 200, 10, "a known key")
    return made


@pytest.mark.slow
async def test_bare_vllm_gives_away_its_hidden_size_and_output_projection(naked):
    running, weights = naked
    door = running.doors[stage.VICTIM]
    for name in QUICK:
        target = Target(door.port, door.model)
        finding = await attack(name).run(Scene(target, weights, Mode.BARE, 7, {}))
        target.close()
        assert finding.success, f"{name}: {finding.measure}"
        assert not target.books.stopped


@pytest.mark.parametrize("name", [*QUICK, "R3c"])
async def test_sluice_refuses_the_same_attack_before_a_scalar_has_leaked(sluice, attacker, name):
    target = Target(urlsplit(sluice.url).port, "sluice-demo", (attacker,))
    with pytest.raises(Stopped):
        await attack(name).run(Scene(target, BF16, Mode.GUARDED, 7, {}))
    target.close()
    assert target.books.scalars == 0
    assert "400" in target.books.stopped


async def test_no_field_or_route_beyond_the_api_is_accepted(sluice, attacker):
    target = Target(urlsplit(sluice.url).port, "sluice-demo", (attacker,))
    finding = await attack("R13").run(Scene(target, BF16, Mode.GUARDED, 7, {}))
    target.close()
    assert finding.figures["fields tried"] > MANY
    assert finding.figures["fields accepted"] == finding.figures["routes"] == 0, finding.measure
