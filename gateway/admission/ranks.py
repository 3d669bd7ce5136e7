"""Things by rank, the least first, whose ranks change."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

SCAN = 8
STALE = 64
NOWHERE: tuple[tuple[float, ...], int] = ((), 0)

T = TypeVar("T")


class Ranks(Generic[T]):
    """Of equal rank, the one that came to it first. Every operation is O(log n), amortized over lazily dropped places."""

    def __init__(self) -> None:
        self._places: list[tuple[tuple[float, ...], int, T]] = []
        self._valid: dict[T, tuple[tuple[float, ...], int]] = {}
        self._turn = 0

    def __len__(self) -> int:
        return len(self._valid)

    def __contains__(self, thing: T) -> bool:
        return thing in self._valid

    def place(self, thing: T, *rank: float) -> None:
        if self._valid.get(thing, NOWHERE)[0] == rank:
            return
        self._turn += 1
        self._valid[thing] = rank, self._turn
        heapq.heappush(self._places, (rank, self._turn, thing))
        if len(self._places) > STALE + 2 * len(self._valid):
            self._places = [place for place in self._places if self._is_valid(place)]
            heapq.heapify(self._places)

    def drop(self, thing: T) -> None:
        del self._valid[thing]

    def first(self) -> T | None:
        while self._places:
            if self._is_valid(self._places[0]):
                return self._places[0][2]
            heapq.heappop(self._places)
        return None

    def first_that(self, suits: Callable[[T], bool]) -> T | None:
        """The first that suits, looked for among the first SCAN."""
        aside: list[tuple[tuple[float, ...], int, T]] = []
        found = None
        while len(aside) < SCAN and (thing := self.first()) is not None:
            if suits(thing):
                found = thing
                break
            aside.append(heapq.heappop(self._places))
        for place in aside:
            heapq.heappush(self._places, place)
        return found

    def all(self) -> list[T]:
        """In their order. O(n log n): for few, or for a report."""
        return [place[2] for place in sorted(self._places) if self._is_valid(place)]

    def _is_valid(self, place: tuple[tuple[float, ...], int, T]) -> bool:
        return self._valid.get(place[2], NOWHERE)[1] == place[1]
