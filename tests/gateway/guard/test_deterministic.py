"""Exclusion and leak budgets: what a body asks for, what it may cost at most, and what is given back."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.guard.accounts import Accounts
from gateway.guard.exclusion import Ask, ask_of, conflict, without_logprobs
from gateway.guard.leaks import Charge, Shape, limits, most, taken
from gateway.guard.leaks import given as share_given

SHAPE = Shape("m", "v1", 4096, 128_000)


@pytest.mark.parametrize(
    ("body", "scalars"),
    [
        ({}, 0),
        ({"logprobs": False}, 0),
        ({"logprobs": True}, 1),
        ({"logprobs": True, "top_logprobs": 5}, 6),
        ({"top_logprobs": 3}, 3),
        ({"logprobs": 0}, 1),
        ({"logprobs": 2}, 3),
        ({"include": ["message.output_text.logprobs"], "top_logprobs": 2}, 3),
        ({"include": ["message.output_text.logprobs"]}, 1),
    ],
)
def test_scalars_at_each_position(body: dict[str, object], scalars: int) -> None:
    assert ask_of(body).scalars == scalars
    without_logprobs(body)
    assert ask_of(body).scalars == 0


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"logit_bias": {"5": 100}}, "logit_bias"),
        ({"structured_outputs": {"choice": ["a", "b"]}}, "structured_outputs"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"text": {"format": {"type": "json_schema", "schema": {}}}}, "text.format"),
        ({"output_config": {"format": {"type": "json_schema", "schema": {}}}}, "output_config.format"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, "tool_choice"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"seed": 0}, "seed"),
        ({}, None),
        ({"logit_bias": {}}, None),
        ({"response_format": {"type": "text"}}, None),
        ({"text": {"format": {"type": "text"}}}, None),
        ({"tool_choice": "auto"}, None),
        ({"tool_choice": {"type": "none"}}, None),
        ({"temperature": 0, "max_tokens": 1, "n": 8}, None),
    ],
)
def test_what_may_not_go_with_logprobs(more: dict[str, object], field: str | None) -> None:
    assert conflict(ask_of({"logprobs": True, **more})) == field
    assert conflict(ask_of(more)) is None


def test_the_limit_that_counts_is_the_one_that_vllm_reads_first() -> None:
    assert ask_of({"max_tokens": 5, "max_completion_tokens": 9}).limit == 9
    assert ask_of({"max_output_tokens": 7}).limit == 7


asks = st.builds(
    Ask,
    scalars=st.integers(0, 6),
    bias=st.lists(st.integers(0, 99), max_size=3).map(tuple),
    constraint=st.sampled_from([None, "seed", "response_format"]),
    limit=st.none() | st.integers(0, 100),
)


@given(asks, st.integers(1, 16), st.integers(1, 100), st.data())
def test_nothing_takes_more_than_was_reserved(ask: Ask, sequences: int, longest: int, data: st.DataObject) -> None:
    reserved = most(ask, sequences, longest)
    bound = sequences * (longest if ask.limit is None else min(ask.limit, longest))
    used = taken(ask, sequences, data.draw(st.integers(0, bound)))
    assert used.scalars <= reserved.scalars
    assert used.answers <= reserved.answers
    assert bool(reserved) == bool((ask.scalars and bound) or (ask.bias and bound) or (ask.constraint and not ask.bias))


def test_the_budget_is_a_share_of_the_models_own_output_layer() -> None:
    scalars, answers = limits(SHAPE, 0.05, "projection")
    assert scalars == int(0.05 * 4096 * 128_000)
    assert answers == int(0.05 * 4096 * 128_000 * 10 / math.log2(128_000))
    assert limits(SHAPE, 0.05, "width").scalars == int(0.05 * 4096**2)


def test_a_spent_budget_is_its_share_of_the_output_layer() -> None:
    scalars, answers = limits(SHAPE, 0.05, "projection")
    assert share_given(SHAPE, Charge(scalars, 0)) == pytest.approx(0.05, rel=1e-4)
    assert share_given(SHAPE, Charge(0, answers)) == pytest.approx(0.05, rel=1e-4)


def test_linked_tenants_are_one_account_in_whatever_order() -> None:
    accounts = Accounts([("b", "c"), ("d", "a"), ("c", "d")])
    assert {accounts.of(tenant) for tenant in "abcd"} == {"a"}
    assert accounts.of("e") == "e"
