from collections import Counter

from loadtests.chaos.kinds import KINDS, LENGTH, ROUND, TENANTS, once, with_logprobs, work


def test_the_work_is_the_same_for_the_same_seed_and_mixed_as_the_shares_say():
    items = work("m", 3, seed=1)
    assert items == work("m", 3, seed=1)
    assert items != work("m", 3, seed=2)
    assert Counter(item.kind for item in items) == {name: 3 * kind.share for name, kind in KINDS.items()}
    assert [item.number for item in items] == list(range(3 * ROUND))
    assert {item.tenant for item in items} == set(TENANTS)


def test_what_the_model_may_not_end_has_an_exact_length():
    lengths = {item.kind: item.tokens for item in work("m", 1, seed=1)}
    assert lengths["greedy"] == lengths["unseeded"] == LENGTH
    assert lengths["two choices"] == 2 * LENGTH
    assert lengths["stop strings"] is lengths["tools"] is lengths["json schema"] is None


def test_unseeded_answers_and_single_requests_are_compared_with_nothing():
    compared = {item.kind: item.compared for item in work("m", 1, seed=1)}
    assert [kind for kind, is_compared in compared.items() if not is_compared] == [
        kind for kind in compared if kind.startswith("unseeded")
    ]
    assert not once("m", "hi", 4, "ada").compared


def test_asked_again_it_is_the_same_request_but_for_how_it_is_told():
    for item in work("m", 1, seed=1):
        again = with_logprobs(item)
        assert again["top_logprobs"] == 2
        told = {"stream", "stream_options", "logprobs", "top_logprobs"}
        assert {k: v for k, v in again.items() if k not in told} == {
            k: v for k, v in item.body.items() if k not in told
        }
