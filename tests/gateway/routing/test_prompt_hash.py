"""Hashes of prompts."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.prefix_index import PrefixIndex
from gateway.routing.prompt_hash import PromptHasher

tokens = st.lists(st.integers(0, 2**18 - 1), max_size=64)
HASHER = PromptHasher(b"secret" * 6, block_tokens=4)


@given(tokens, tokens)
def test_two_prompts_share_exactly_the_hashes_of_their_common_whole_blocks(left, right):
    common = next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))
    ours, theirs = HASHER.blocks("tenant", left), HASHER.blocks("tenant", right)
    assert len(ours) == len(left) // 4
    assert ours[: common // 4] == theirs[: common // 4]
    assert not set(ours[common // 4 :]) & set(theirs)
    assert not set(theirs[common // 4 :]) & set(ours)


@given(tokens.filter(lambda ids: len(ids) >= 4))
def test_another_tenant_finds_nothing_of_the_same_prompt(prompt):
    index = PrefixIndex()
    index.add("engine", 1000)
    index.record("engine", HASHER.blocks("salt of one", prompt))
    assert index.match(HASHER.blocks("salt of one", prompt)) == (len(prompt) // 4, {})
    assert index.match(HASHER.blocks("salt of another", prompt)) == (0, {})


@given(tokens.filter(lambda ids: len(ids) >= 4))
def test_another_secret_makes_other_hashes(prompt):
    other = PromptHasher(b"another secret" * 3, block_tokens=4)
    assert not set(HASHER.blocks("tenant", prompt)) & set(other.blocks("tenant", prompt))


def test_padding_with_token_zero_is_another_prefix():
    hashes = HASHER.blocks("tenant", [0] * 400)
    assert len(set(hashes)) == 100


def test_a_prompt_longer_than_the_keys_grows_them_and_keeps_old_hashes():
    hasher = PromptHasher(b"secret" * 6)
    rng = random.Random(3)
    long = [rng.randrange(150_000) for _ in range(200_000)]
    short = hasher.blocks("tenant", long[:5000])
    assert hasher.blocks("tenant", long)[: len(short)] == short
    assert hasher.blocks("tenant", long[:5000]) == short


@pytest.mark.parametrize("wrong", [[-1] * 4, ["a"] * 4, [2**64] * 4])
def test_what_is_no_token_is_refused(wrong):
    with pytest.raises((OverflowError, TypeError)):
        HASHER.blocks("tenant", wrong)


def test_hashes_look_random_in_every_bit():
    rng = random.Random(5)
    hashes = [h for _ in range(200) for h in HASHER.blocks("tenant", [rng.randrange(100) for _ in range(40)])]
    for bit in range(64):
        share = sum(h >> bit & 1 for h in hashes) / len(hashes)
        assert 0.44 < share < 0.56
