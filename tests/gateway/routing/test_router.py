"""Filters → scorers → picker, from outside."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.prefix_index import PrefixIndex
from gateway.routing.prompt_hash import BLOCK_TOKENS
from gateway.routing.recent_work import RecentWork
from gateway.routing.replica import Replica, Request
from gateway.routing.router import Router
from tests.gateway.routing.replicas import fleets, requests

NOW = 100.0
PROMPT = Request(list(range(16)), 16 * BLOCK_TOKENS, 200.0)


def router_for(replicas: list[Replica], seed: int = 1, kv_tokens: int = 1 << 20) -> Router:
    router = Router(PrefixIndex(), RecentWork(), random.Random(seed))
    for replica in replicas:
        router.joined(replica.engine_id, kv_tokens)
    return router


def idle(count: int) -> list[Replica]:
    return [Replica(f"engine-{i}", reported_at=NOW) for i in range(count)]


def send(router: Router, request: Request, replicas: list[Replica], now: float = NOW):
    choice = router.route(request, replicas, now)
    assert choice is not None
    return choice, router.dispatched(request, choice, now)


@given(fleets(smallest=0), requests)
def test_one_of_those_offered_is_chosen(replicas, request):
    choice = router_for(replicas).route(request, replicas, NOW)
    assert (choice is None) == (not replicas)
    if choice is not None:
        assert choice.engine_id == replicas[choice.index].engine_id


@given(fleets(), requests)
def test_old_statistics_are_used_only_where_there_are_no_recent_ones_and_the_reason_says_so(replicas, request):
    choice = router_for(replicas).route(request, replicas, NOW)
    if choice is not None:
        recent = [r for r in replicas if r.reported_at >= NOW - 3.0]
        assert ("stale" in choice.notes) == (not recent)
        assert not recent or replicas[choice.index] in recent


@given(st.lists(st.tuples(requests, fleets(smallest=4)), max_size=5), st.integers())
def test_the_same_seed_and_history_choose_the_same(steps, seed):
    def play():
        known = [Replica(f"engine-{i}") for i in range(32)]
        router = router_for(known, seed)
        chosen = []
        for request, replicas in steps:
            choice = router.route(request, replicas, NOW)
            chosen.append(choice)
            if choice is not None:
                router.dispatched(request, choice, NOW)
        return chosen

    assert play() == play()


def test_an_engine_that_is_back_is_given_its_share_and_not_everything():
    replicas = idle(3)
    router = router_for(replicas)
    fresh = (Request([], 1000, 100.0) for _ in range(400))
    for request in [next(fresh) for _ in range(300)]:
        send(router, request, replicas[:2])
    given = Counter(send(router, request, replicas)[0].engine_id for request in fresh)
    assert max(given.values()) <= 36


def test_an_engine_that_left_while_it_was_away_is_forgotten():
    replicas = idle(3)
    router = router_for(replicas)
    send(router, PROMPT, replicas[:2])
    router.left("engine-2")
    send(router, PROMPT, replicas[:2])


@pytest.mark.parametrize("count", [2, 8, 32])
def test_idle_replicas_without_prefixes_are_used_evenly(count):
    replicas = idle(count)
    router = router_for(replicas)
    used = Counter()
    for number in range(20 * count):
        choice, _ = send(router, Request([1000 + number], 500, 100.0), replicas, NOW + number)
        used[choice.index] += 1
        for replica in replicas:
            replica.reported_at = NOW + number
    assert max(used.values()) - min(used.values()) <= 2


def test_a_prompt_returns_to_where_its_prefix_is():
    replicas = idle(8)
    router = router_for(replicas)
    first, _ = send(router, PROMPT, replicas)
    again, _ = send(router, PROMPT, replicas)
    assert again.index == first.index
    assert again.hit_tokens == PROMPT.prompt_tokens
    assert again.held_blocks == 16


def test_a_long_queue_outweighs_a_prefix():
    replicas = idle(8)
    router = router_for(replicas)
    first, _ = send(router, PROMPT, replicas)
    replicas[first.index].prefill_tokens = 20 * 4096
    again, _ = send(router, PROMPT, replicas)
    assert again.index != first.index


def test_of_equal_replicas_the_one_with_less_to_do_is_chosen():
    replicas = idle(3)
    replicas[0].prefill_tokens = 900
    replicas[1].prefill_tokens = 800
    replicas[2].decode_tokens = 100 * 16
    assert send(router_for(replicas), PROMPT, replicas)[0].index == 2


def test_a_full_batch_and_a_full_cache_are_avoided():
    replicas = idle(3)
    replicas[0].max_requests, replicas[0].requests = 4, 4
    replicas[1].kv_room = 819.2
    for replica in replicas:
        replica.decode_tokens = 4000
    assert send(router_for(replicas), PROMPT, replicas)[0].index == 2


def test_a_replica_many_times_slower_than_its_peers_is_avoided():
    replicas = idle(2)
    replicas[0].slowness = 20.0
    replicas[1].prefill_tokens = 5000
    assert send(router_for(replicas), PROMPT, replicas)[0].index == 1


def test_a_session_stays_with_its_replica_at_every_gateway():
    replicas = idle(8)
    chosen = set()
    for gateway in range(6):
        router = router_for(replicas, seed=gateway)
        for other in range(gateway):
            send(router, Request([other], 300), replicas)
        choice, _ = send(router, Request([], 2000, 100.0, session=12345), replicas)
        chosen.add(choice.index)
        assert "session" in choice.notes
    assert len(chosen) == 1


@pytest.mark.parametrize("session", range(8))
def test_a_session_stays_where_a_service_has_hardly_begun_to_work(session):
    """Its own first short turn is no overload, though it is all that any replica has been given."""
    replicas = idle(2)
    router = router_for(replicas)
    chosen = {send(router, Request([], 30, 8.0, session=session << 60), replicas)[0].index for _ in range(6)}
    assert len(chosen) == 1


def test_a_session_leaves_a_replica_that_has_had_much_more_than_its_share():
    replicas = idle(2)
    router = router_for(replicas)
    turns = [send(router, Request([], 2000, 100.0, session=12345), replicas)[0].index for _ in range(20)]
    assert len(set(turns)) == 2


def test_what_a_replica_did_not_find_is_not_believed_a_second_time():
    """A cache of 64 blocks is believed to hold 4,096: the replica's counts teach the router otherwise."""
    replicas = idle(1)
    router = router_for(replicas)
    cache: list[int] = []
    for number in range(400):
        request = Request([number % 20 * 10 + i for i in range(10)], 10 * BLOCK_TOKENS)
        _, ticket = send(router, request, replicas)
        found = 10 if request.blocks[0] in cache else 0
        cache = [block for block in cache if block not in request.blocks] + request.blocks
        cache = cache[-64:]
        router.started(ticket, found * BLOCK_TOKENS)
    assert ticket.believed == 0


def test_a_replica_that_left_is_forgotten_and_one_that_comes_is_used():
    replicas = idle(2)
    router = router_for(replicas)
    first, _ = send(router, PROMPT, replicas)
    gone = replicas.pop(first.index)
    router.left(gone.engine_id)
    router.left(gone.engine_id)
    replicas.append(Replica("engine-new", reported_at=NOW))
    router.joined("engine-new")
    used = {send(router, Request([1000 + i], 500), replicas)[0].engine_id for i in range(8)}
    assert used == {replica.engine_id for replica in replicas}


def test_reports_grow_old_and_new_ones_are_seen_though_the_fleet_stays_the_same():
    replicas = idle(2)
    router = router_for(replicas)
    told = []
    for now in (NOW, NOW + 2, NOW + 4, NOW + 4.5):
        if now == NOW + 4:
            replicas[1].reported_at = now
        choice = router.route(PROMPT, replicas, now)
        assert choice is not None
        told.append((choice.candidates, choice.notes))
    replicas[1].reported_at = replicas[0].reported_at = NOW + 20
    choice = router.route(PROMPT, replicas, NOW + 30)
    assert choice is not None
    assert told == [(2, ()), (2, ()), (1, ()), (1, ())]
    assert choice.notes == ("stale",)


def test_the_reason_fits_in_a_header():
    replicas = idle(2)
    router = router_for(replicas)
    send(router, PROMPT, replicas)
    silent = [Replica(replica.engine_id, prefill_tokens=800) for replica in replicas]
    choice, _ = send(router, PROMPT, silent)
    assert choice.reason == f"engine={choice.engine_id};prefix=1.00;backlog=800;price={choice.price:.2f};of=2;stale"
    assert choice.reason.isascii()


def test_gateways_that_see_the_same_old_report_do_not_all_rush_to_the_same_replica():
    """One replica was just seen idle, by 8 gateways that will not hear anything for the next 80 requests."""
    gateways = []
    for seed in range(8):
        replicas = idle(8)
        for replica in replicas[1:]:
            replica.prefill_tokens = 2000
        gateways.append((router_for(replicas, seed), replicas))
    sent = Counter()
    for number in range(80):
        router, replicas = gateways[number % 8]
        choice, _ = send(router, Request([number], 500, 100.0), replicas)
        replicas[choice.index].prefill_tokens += 500
        replicas[choice.index].requests += 1
        sent[choice.index] += 1
    assert max(sent.values()) <= 3 * 80 / 8
