"""The model of an engine."""

import pytest

from loadtests.simulation.mooncake import Arrival
from loadtests.simulation.routing_engine import Engine


def test_a_prompt_waits_for_those_before_it_and_is_computed_but_for_what_is_cached():
    engine = Engine(prefill_rate=512.0, decode_rate=10.0, cache_blocks=None)
    first = engine.serve(Arrival(0, 1024, 20, [1, 2]), 0.0)
    second = engine.serve(Arrival(0, 1536, 20, [1, 2, 3]), 0.5)
    assert first == (0, 1024, 2.0, 4.0)
    assert second == (2, 512, 3.0, 5.0)
    assert engine.work == 1024 + 20 + 512 + 20


def test_a_prompt_that_is_cached_wholly_costs_its_last_token():
    engine = Engine(512.0, 10.0, None)
    engine.serve(Arrival(0, 512, 1, [1]), 0.0)
    assert engine.serve(Arrival(0, 512, 1, [1]), 9.0).uncached == 1


@pytest.mark.parametrize(("blocks", "found"), [(4, 2), (3, 1), (2, 0), (None, 2)])
def test_a_full_cache_drops_what_was_used_longest_ago_tails_first(blocks, found):
    engine = Engine(512.0, 10.0, blocks)
    engine.serve(Arrival(0, 1024, 1, [1, 2]), 0.0)
    engine.serve(Arrival(0, 1024, 1, [3, 4]), 1.0)
    assert engine.serve(Arrival(0, 1024, 1, [1, 2]), 2.0).found_blocks == found
