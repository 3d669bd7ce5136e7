"""Routing as the pool does it: what an engine's backlog is charged for a request, and gets back."""

import random
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from gateway.engine_chooser import EngineChooser
from gateway.pool import wire
from gateway.pool.channel import EngineChannel
from gateway.pool.context import RequestContext
from gateway.pool.engine_pool import EnginePool
from gateway.pool.flight import Flight

NOBODY: Any = None
PROMPT = [random.Random(1).randrange(1000) for _ in range(4096)]


def fleet(engines: int) -> tuple[EngineChooser, list[EngineChannel]]:
    chooser = EngineChooser(seed=1)
    pool = EnginePool(NOBODY, NOBODY, chooser, lambda _card: None, wait_s=0.0)
    for number in range(engines):
        card = wire.EngineCard(f"engine-{number}", "m", "", "", wire.PROTOCOL, "", "", 32768, 16, 8, 1 << 20, "bf16", 1)
        channel = EngineChannel(NOBODY, card, pool, stall_s=20.0)
        channel.up = True
        pool.roster.join(channel)
    return chooser, pool.roster.channels


def sent(chooser: EngineChooser, channels: list[EngineChannel], tokens: list[int]) -> tuple[Flight, EngineChannel]:
    request = SimpleNamespace(prompt_token_ids=tokens, sampling_params=SimpleNamespace(max_tokens=16))
    flight = Flight("r", request, len(tokens), RequestContext(cache_salt="tenant"))
    channel = channels[chooser.pick(channels, flight)]
    flight.load(channel)
    return flight, channel


def test_a_backlog_is_what_engines_are_expected_to_compute() -> None:
    """As in loadtests/simulation/routing_replay.py, whose figures would be another router's otherwise."""
    chooser, channels = fleet(1)
    sent(chooser, channels, PROMPT)[0].start()
    _, channel = sent(chooser, channels, PROMPT + PROMPT[:100])
    assert (channel.requests, channel.prompt_tokens, channel.prefill_tokens) == (2, 4196, 100)


def test_what_other_gateways_have_there_is_reckoned_in_whole_prompts_as_engines_report() -> None:
    chooser, channels = fleet(1)
    sent(chooser, channels, PROMPT)[0].start()
    _, channel = sent(chooser, channels, PROMPT)
    channel._note(msgspec.msgpack.encode(wire.Load(2, 4096 + 500)))
    assert channel.others.prefill_tokens == 500


@pytest.mark.parametrize("end", ["start", "unload"])
def test_an_engine_gets_back_what_it_was_charged_whatever_is_learned_meanwhile(end: str) -> None:
    chooser, channels = fleet(2)
    first, _ = sent(chooser, channels, PROMPT)
    flights = [sent(chooser, channels, PROMPT[: 1024 * n])[0] for n in range(1, 5)]
    chooser.began(first, 0)
    for flight in [first, *flights]:
        getattr(flight, end)()
    assert [(channel.prompt_tokens, channel.prefill_tokens) for channel in channels] == [(0, 0)] * 2
