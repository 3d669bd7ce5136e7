"""Order of the whole suite: what needs no server first, then the shared Sluice, then what breaks it."""

import sys
from pathlib import Path

import pytest

# Test modules share their harnesses by name (`tests.live.harness`), however pytest is started.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

LIVE = Path(__file__).parent / "live"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if LIVE in item.path.parents and "sluice" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.live)
    items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    if (destructive := item.get_closest_marker("destructive")) is not None:
        return 2 + int(destructive.kwargs.get("order", 0))
    return 0 if item.get_closest_marker("live") is None else 1
