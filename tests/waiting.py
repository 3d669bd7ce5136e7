"""Waiting for an event with a deadline, instead of sleeping for long enough."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(condition: Callable[[], T], within: float, what: str = "", every: float = 0.02) -> T:
    """The first true value of `condition`; AssertionError with the last one after `within` seconds."""
    deadline = time.monotonic() + within
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {within} s: {what or condition} (last: {value!r})"
        time.sleep(every)


async def soon(condition: Callable[[], T], within: float, what: str = "", every: float = 0.01) -> T:
    """The same beside a running event loop."""
    deadline = time.monotonic() + within
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {within} s: {what or condition} (last: {value!r})"
        await asyncio.sleep(every)
