"""Fixtures of the suite's tests."""

from collections.abc import Iterator

import pytest

from tests.loadtests.toy_chat import Toy, serving


@pytest.fixture
def toy() -> Iterator[Toy]:
    with serving() as server:
        yield server
