"""The mirror of the replicas' caches."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.prefix_index import PrefixIndex

ENGINES = ["a", "b", "c", "d"]


def chain(prompt: int, depth: int) -> list[int]:
    """Blocks of a prompt whose first 3 are shared with all others."""
    return [*range(3), *(prompt * 1000 + block for block in range(3, depth))][:depth]


def held(index: PrefixIndex, blocks: list[int]) -> dict[str, int]:
    """Engine → how many leading blocks; those with none are left out."""
    common, deeper = index.match(blocks)
    known = {engine: deeper.get(engine, common) for engine in ENGINES if engine in index}
    assert known.keys() >= deeper.keys()
    return {engine: depth for engine, depth in known.items() if depth}


prompts = st.builds(chain, st.integers(1, 9), st.integers(0, 12))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("record"), st.sampled_from(ENGINES), prompts),
        st.tuples(st.just("leave"), st.sampled_from(ENGINES), st.none()),
        st.tuples(
            st.just("correct"), st.sampled_from(ENGINES), st.tuples(prompts, st.integers(0, 12), st.integers(0, 12))
        ),
    ),
    max_size=60,
)


def play(history, max_entries: int, capacity: int) -> PrefixIndex:
    index = PrefixIndex(max_entries)
    before = 0
    for what, engine, value in history:
        if what == "leave":
            index.remove(engine)
            continue
        if engine not in index:
            index.add(engine, capacity)
        if what == "record":
            before = index.record(engine, value)
        else:
            index.correct(engine, *value, before)
        assert len(index) <= max_entries
        assert index.capacity(engine) >= 1
    return index


@given(steps, st.integers(1, 40), st.integers(1, 30))
def test_memory_stays_bounded_whatever_happens(history, max_entries, capacity):
    play(history, max_entries, capacity)


@given(steps, prompts)
def test_a_match_is_a_prefix_that_was_sent_there(history, prompt):
    sent = {engine: set() for engine in ENGINES}
    for what, engine, value in history:
        if what == "record":
            sent[engine].update(value)
        elif what == "leave":
            sent[engine] = set()
    for engine, depth in held(play(history, 1000, 1000), prompt).items():
        assert 1 <= depth <= len(prompt)
        assert sent[engine].issuperset(prompt[:depth])


@given(steps, st.integers(1, 40), st.integers(1, 30))
def test_a_block_is_never_held_without_those_before_it(history, max_entries, capacity):
    index = play(history, max_entries, capacity)
    for prompt in range(1, 10):
        whole = chain(prompt, 12)
        depths = held(index, whole)
        for at in range(len(whole)):
            for engine in held(index, whole[at:]):
                assert depths.get(engine, 0) > at


@given(st.lists(prompts, max_size=40), st.integers(1, 30))
def test_without_corrections_it_forgets_just_as_a_cache_of_that_size(history, capacity):
    index = PrefixIndex()
    index.add("a", capacity)
    cache: list[int] = []
    for prompt in history:
        expected = next((depth for depth, block in enumerate(prompt) if block not in cache), len(prompt))
        assert held(index, prompt).get("a", 0) == expected
        index.record("a", prompt)
        cache = ([block for block in cache if block not in prompt] + prompt[::-1])[-capacity:]


def test_each_replica_is_matched_as_far_as_it_goes():
    index = PrefixIndex()
    for engine, depth in zip(ENGINES, [0, 2, 5, 5], strict=True):
        index.add(engine, 100)
        index.record(engine, chain(1, depth))
    assert held(index, chain(1, 9)) == {"b": 2, "c": 5, "d": 5}
    assert held(index, chain(2, 9)) == {"b": 2, "c": 3, "d": 3}
    assert held(index, []) == {}


def test_a_replica_that_died_is_forgotten_at_once_and_its_memory_freed_by_and_by():
    index = PrefixIndex()
    index.add("a", 10_000)
    index.add("b", 10_000)
    for prompt in range(1, 200):
        index.record("a", chain(prompt, 12))
    pairs = len(index)
    index.remove("a")
    index.add("a", 10_000)
    assert held(index, chain(1, 12)) == {}
    for prompt in range(1, 200):
        index.record("b", chain(1000 + prompt, 12))
        index.record("b", chain(1000 + prompt, 12))
    assert held(index, chain(1, 12)) == {"b": 3}
    assert len(index) == pairs


def test_many_generations_of_replicas_share_few_bits():
    index = PrefixIndex()
    index.add("stays", 1000)
    for generation in range(300):
        index.add(f"g{generation}", 1000)
        index.record(f"g{generation}", chain(generation + 1, 12))
        index.remove(f"g{generation}")
        index.record("stays", chain(generation + 1, 12))
    assert max(index._holders.values()) < 2**4


def send(index: PrefixIndex, prompt: list[int], found: int | None = None) -> None:
    """One prompt, and the replica's word about it: as believed, if it is not given."""
    believed = held(index, prompt).get("a", 0)
    before = index.record("a", prompt)
    index.correct("a", prompt, believed, believed if found is None else found, before)


def test_a_miss_shrinks_what_the_replica_is_believed_to_keep_and_a_find_grows_it_again():
    index = PrefixIndex()
    index.add("a", 600)
    for prompt in range(1, 61):
        send(index, chain(prompt, 12))
    send(index, chain(30, 12), found=3)
    assert index.capacity("a") == 525
    assert held(index, chain(7, 12)) == {"a": 3}
    assert held(index, chain(8, 12)) == {"a": 8}
    for _ in range(20):
        index.correct("a", [], 12, 3, before=30)
    assert held(index, chain(29, 12)) == {"a": 3}
    assert held(index, chain(40, 12)) == {"a": 12}
    smaller = index.capacity("a")
    assert smaller < 31 * 9 + 3
    send(index, chain(29, 12), found=12)
    assert index.capacity("a") == smaller + 9
    index.correct("a", [], 0, 10**9, 0)
    assert index.capacity("a") == 600


def test_one_block_less_is_rounding():
    index = PrefixIndex()
    index.add("a", 100)
    send(index, chain(1, 12))
    send(index, chain(1, 12), found=11)
    assert index.capacity("a") == 100


def test_prompts_whose_clients_went_away_before_they_were_computed_teach_nothing():
    index = PrefixIndex()
    index.add("a", 100)
    for _ in range(20):
        index.record("a", chain(1, 12))
    send(index, chain(1, 12), found=0)
    assert index.capacity("a") == 100
    send(index, chain(1, 12), found=0)
    assert index.capacity("a") < 100


@pytest.mark.parametrize("true_size", [50, 400])
def test_it_learns_the_size_of_a_cache_from_the_counts_of_cached_tokens(true_size):
    """Told 2,000 blocks. Zipf-like prompts; after a while what it believes and what is found differ little."""
    rng = random.Random(7)
    index, cache = PrefixIndex(), []
    index.add("a", 2000)
    wrong = []
    for _ in range(3000):
        prompt = chain(int(rng.paretovariate(0.6)) % 300 + 1, 12)
        believed = held(index, prompt).get("a", 0)
        found = next((depth for depth, block in enumerate(prompt) if block not in cache), len(prompt))
        cache = ([block for block in cache if block not in prompt] + prompt[::-1])[-true_size:]
        index.correct("a", prompt, believed, found, index.record("a", prompt))
        wrong.append(abs(believed - found))
    assert sum(wrong[-1000:]) < 0.25 * sum(wrong[:1000]) or sum(wrong[-1000:]) < 1000
