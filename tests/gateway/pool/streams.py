"""Requests at scripted engines, as tests of failover begin and follow them."""

from vllm.sampling_params import SamplingParams

from tests.gateway.pool.scripted import request
from tests.waiting import soon


async def begin(gateway, name="r", context=None, **params):
    """A request of 8 tokens at most; `params` are further sampling parameters."""
    made = request(name)
    if params:
        made.sampling_params = SamplingParams(max_tokens=8, **params)
    await gateway.pool.add(name, made, 4, context)
    return made


async def holder(name, *engines):
    """The engine that has a request of this name, and its peer."""
    await soon(lambda: any(name in engine.core.requests for engine in engines), 5, f"{name} at an engine")
    return sorted(engines, key=lambda engine: name not in engine.core.requests)


async def told(gateway):
    (output,) = (await gateway.output()).outputs
    return output
