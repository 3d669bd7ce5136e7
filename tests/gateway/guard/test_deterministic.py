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
        ({"min_tokens": 2, "stop_token_ids": [5, 7]}, "stop_token_ids"),
        ({"repetition_penalty": 1.2}, "repetition_penalty"),
        ({"presence_penalty": 0.1}, "presence_penalty"),
        ({"frequency_penalty": -2}, "frequency_penalty"),
        ({"tools": [{"type": "function", "function": {"name": "f", "strict": True}}]}, "tools"),
        ({"tools": [{"name": "g"}, {"name": "f", "strict": True}], "tool_choice": {"type": "auto"}}, "tools"),
        ({"tools": [{"name": "f"}], "tool_choice": "auto", "parallel_tool_calls": False}, "parallel_tool_calls"),
        (
            {"tools": [{"name": "f"}], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
            "tool_choice",
        ),
        ({"tools": [{"name": "f", "strict": False}], "parallel_tool_calls": True}, None),
        ({"tools": [{"name": "f"}], "tool_choice": {"type": "auto", "disable_parallel_tool_use": False}}, None),
        ({"tools": [{"name": "f", "strict": True}], "tool_choice": "none"}, None),
        ({"parallel_tool_calls": False}, None),
        ({"min_tokens": 2}, None),
        ({"min_tokens": 0, "stop_token_ids": [5, 7]}, None),
        ({"stop_token_ids": [5, 7]}, None),
        ({"repetition_penalty": 1.0, "presence_penalty": 0, "frequency_penalty": 0.0}, None),
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


def test_where_a_parser_binds_all_tools_none_go_with_logprobs() -> None:
    body = {"logprobs": True, "tools": [{"name": "f"}]}
    assert conflict(ask_of(body, bound=True)) == "tools"
    assert conflict(ask_of(body | {"tool_choice": "none"}, bound=True)) is None
    assert conflict(ask_of({"logprobs": True}, bound=True)) is None


def test_the_limit_that_counts_is_the_one_that_vllm_reads_first() -> None:
    assert ask_of({"max_tokens": 5, "max_completion_tokens": 9}).limit == 9
    assert ask_of({"max_output_tokens": 7}).limit == 7


asks = st.builds(
    Ask,
    scalars=st.integers(0, 6),
    moved=st.sampled_from([None, "logit_bias"]),
    penalty=st.sampled_from([None, "presence_penalty"]),
    constraint=st.sampled_from([None, "seed", "response_format"]),
    searching=st.booleans(),
    limit=st.none() | st.integers(0, 100),
)


@given(asks, st.integers(1, 16), st.integers(1, 100), st.data())
def test_nothing_takes_more_than_was_reserved(ask: Ask, sequences: int, longest: int, data: st.DataObject) -> None:
    reserved = most(ask, sequences, longest, 128_000)
    bound = sequences * (longest if ask.limit is None else min(ask.limit, longest))
    used = taken(ask, sequences, data.draw(st.integers(0, bound)), 128_000)
    assert used.scalars <= reserved.scalars
    assert used.answers <= reserved.answers
    assert bool(reserved) == bool(
        ((ask.scalars or ask.moved) and bound) or ((ask.constraint or ask.penalty or ask.searching) and not ask.moved)
    )


def test_tokens_that_are_pushed_or_banned_are_known_by_their_ids() -> None:
    asked = ask_of({"logit_bias": {"3": 1}, "min_tokens": 4, "stop_token_ids": [5, 7]})
    assert asked.bias == (3, 5, 7)
    assert ask_of({"stop_token_ids": [5, 7]}).bias == ()


@pytest.mark.parametrize(
    ("body", "answers"),
    [
        ({"logit_bias": {"3": 1}}, 2000),
        ({"repetition_penalty": 1.5}, 2000),
        ({"min_tokens": 1, "stop_token_ids": [3]}, 2000),
        ({"structured_outputs": {"regex": "([ab]){1000}"}}, 200),
        ({"response_format": {"type": "json_object"}, "presence_penalty": 1}, 200),
        ({"tools": [{"name": "f", "strict": True}]}, 200),
        ({"tools": [{"name": "f"}]}, 0),
        ({"frequency_penalty": 1}, 2),
        ({"temperature": 0, "min_tokens": 4}, 0),
    ],
)
def test_what_moves_logits_costs_an_answer_a_token_and_what_only_compares_a_bit(
    body: dict[str, object], answers: int
) -> None:
    assert taken(ask_of(body), 2, 2000, 1024) == Charge(0, answers)
    assert most(ask_of(body | {"max_tokens": 1000}), 2, 5000, 1024) == Charge(0, answers)


def test_no_constrained_sequence_is_less_than_an_answer() -> None:
    assert most(ask_of({"structured_outputs": {"choice": ["a", "b"]}, "max_tokens": 1}), 400, 99, 1024).answers == 400


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


@pytest.mark.parametrize(
    ("body", "cuts", "setting"),
    [
        ({}, False, None),
        ({"temperature": 0.3, "top_k": 5}, False, None),
        ({"top_p": 1, "min_p": 0}, False, None),
        ({"temperature": 0, "top_p": 0.9, "min_p": 0.1}, False, None),
        ({"top_p": 0.9}, False, "//0.9/"),
        ({"temperature": 2, "top_k": 5, "top_p": 1, "min_p": 0.1}, False, "2.0/5.0/1.0/0.1"),
        ({}, True, None),
        ({"max_tokens": 3, "seed": 1}, True, None),
        ({"temperature": 0.3}, True, "0.3///"),
        ({"temperature": 0}, True, None),
        ({"temperature": 0.3, "top_p": 1, "min_p": 0}, True, None),
    ],
)
def test_where_a_client_cuts_the_distribution_off(body: dict[str, object], cuts: bool, setting: str | None) -> None:
    """What the model's own defaults cut off counts as soon as the client moves it, and never before."""
    assert ask_of(body, cuts=cuts).setting == setting
    assert not ask_of(body, cuts=cuts).leaks


def test_a_further_step_of_a_search_costs_an_answer_a_sequence() -> None:
    ask = ask_of({"min_p": 0.1, "max_tokens": 50})._replace(searching=True)
    assert ask.leaks
    assert most(ask, 3, 100, 1024) == taken(ask, 3, 150, 1024) == Charge(0, 3)
