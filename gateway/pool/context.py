"""What the edge tells the pool about the request at hand, and the pool tells back. Travels in a context variable,
because vLLM's serving layer stands between the two and passes on only what it knows.
"""

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class RequestContext:
    """`cache_salt` separates tenants in the prefix cache. `engine_lost`: the pool ended a stream for want of its engine."""

    cache_salt: str | None = None
    engine_lost: bool = False


current: ContextVar[RequestContext | None] = ContextVar("sluice_request", default=None)
