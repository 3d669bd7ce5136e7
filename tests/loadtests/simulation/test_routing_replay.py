"""The router on a trace, beside simpler policies."""

import msgspec
import pytest

from loadtests.simulation.mooncake import ceiling
from loadtests.simulation.routing_policies import POLICIES
from loadtests.simulation.routing_replay import Outcome, Replay, Setup
from tests.loadtests.simulation.traces import conversations

ARRIVALS = conversations(1200, seed=3, seconds=300)
PLAIN = Setup(replicas=8)


def run(policy: str, setup: Setup = PLAIN) -> Outcome:
    return Replay(ARRIVALS, setup).run(policy, POLICIES[policy])


@pytest.fixture(scope="module")
def plain() -> dict[str, Outcome]:
    return {policy: run(policy) for policy in POLICIES}


def test_our_router_finds_nearly_all_that_can_be_found_and_stays_balanced(plain):
    ours = plain["Sluice"]
    assert ours.hit_rate >= 0.9 * ceiling(ARRIVALS)
    assert ours.max_over_mean_load <= 1.1


def test_it_finds_far_more_than_round_robin_or_least_loaded(plain):
    assert plain["Sluice"].hit_rate > 1.5 * plain["round robin"].hit_rate
    assert plain["Sluice"].hit_rate > 1.5 * plain["least loaded"].hit_rate


def test_the_longest_prefix_alone_sends_everything_to_one_replica(plain):
    assert plain["longest prefix"].hit_rate == pytest.approx(ceiling(ARRIVALS))
    assert plain["longest prefix"].max_over_mean_load == pytest.approx(8.0)


def test_first_tokens_come_sooner_than_with_any_other(plain):
    others = [outcome.ttft_mean_s for policy, outcome in plain.items() if policy != "Sluice"]
    assert plain["Sluice"].ttft_mean_s < min(others)


def test_a_replay_is_the_same_each_time(plain):
    def without_timing(outcome: Outcome) -> Outcome:
        return msgspec.structs.replace(outcome, decision_p50_us=0.0, decision_p99_us=0.0)

    assert without_timing(run("Sluice")) == without_timing(plain["Sluice"])


def test_several_gateways_know_their_own_prompts_only_and_find_fewer_and_still_spread_the_load(plain):
    several = run("Sluice", Setup(replicas=8, gateways=4))
    assert plain["Sluice"].hit_rate > several.hit_rate > plain["round robin"].hit_rate
    assert several.max_over_mean_load < 1.25


def test_with_caches_that_forget_it_still_finds_more_than_round_robin():
    small = Setup(replicas=4, cache_blocks=300)
    assert run("Sluice", small).hit_rate > 1.3 * run("round robin", small).hit_rate
