"""What becomes of a client's seed: the same request has the same noise, any other has noise of its own."""

import pytest

pytest.importorskip("vllm")

from typing import Any

from vllm.sampling_params import RequestOutputKind, SamplingParams, StructuredOutputsParams

from gateway.pool import vllm_seam
from gateway.pool.seeds import NOT_OF_THE_CHOICE, with_hidden_seed

PROMPT = [5, 6, 7]


def hidden(prompt: list[int] = PROMPT, secret: str = "s", **asked: Any) -> int:
    seed = with_hidden_seed(SamplingParams(**{"seed": 7, "temperature": 1.0} | asked), prompt, secret).seed
    assert isinstance(seed, int)
    assert 0 <= seed < 2**63
    return seed


@pytest.mark.parametrize(
    "more",
    [
        {"temperature": 1.0001},
        {"top_p": 0.9},
        {"top_k": 3},
        {"min_p": 0.1},
        {"presence_penalty": 0.1},
        {"frequency_penalty": 0.1},
        {"repetition_penalty": 1.1},
        {"logit_bias": {5: 1.0}},
        {"logit_bias": {5: 1.1}},
        {"min_tokens": 1},
        {"stop_token_ids": [9]},
        {"structured_outputs": StructuredOutputsParams(regex="a+")},
        {"structured_outputs": StructuredOutputsParams(regex="b+")},
        {"seed": 8},
        {"seed": -7},
        {"prompt": [5, 6, 8]},
        {"secret": "another tenant's"},
    ],
    ids=str,
)
def test_whatever_moves_a_choice_moves_the_noise(more: dict[str, Any]) -> None:
    assert hidden(**more) != hidden()
    assert hidden(**more) == hidden(**more)


@pytest.mark.parametrize(
    "more",
    [
        {"max_tokens": 99},
        {"n": 4},
        {"stop": ["x"]},
        {"output_kind": RequestOutputKind.DELTA},
        {"skip_special_tokens": False},
    ],
    ids=str,
)
def test_how_an_answer_ends_and_is_told_does_not(more: dict[str, Any]) -> None:
    assert hidden(**more) == hidden() != 7


def test_the_order_in_which_biases_are_named_does_not() -> None:
    assert hidden(logit_bias={5: 1.0, 6: 2.0}) == hidden(logit_bias={6: 2.0, 5: 1.0})


def test_a_field_that_vllm_drops_is_not_kept_here() -> None:
    assert set(SamplingParams.__struct_fields__) >= NOT_OF_THE_CHOICE


def test_each_engine_draws_noise_of_its_own_unless_the_operator_names_a_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    class Args:
        def __init__(self, *, seed: int, **_: Any) -> None:
            seen.append(seed)

        def create_engine_config(self) -> None:
            raise NotImplementedError

    monkeypatch.setattr(vllm_seam, "AsyncEngineArgs", Args)
    for more in ({}, {}, {"seed": 3}):
        with pytest.raises(NotImplementedError):
            vllm_seam.EngineCore({"model": "m"} | more, log_stats=False)
    assert len(set(seen)) == 3
    assert seen[2] == 3


def test_who_names_no_seed_gets_none() -> None:
    params = SamplingParams(temperature=1.0)
    assert with_hidden_seed(params, PROMPT, "s") is params
