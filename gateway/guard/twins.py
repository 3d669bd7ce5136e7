"""Near-duplicates across accounts: SimHashes in four tables of sixteen bits, of which two texts close to each other share one.

Two texts that differ in at most three of 64 bits agree in at least one quarter (Manku et al. 2007). Each table keeps the
newest places only, so that memory is fixed.
"""

from collections import OrderedDict
from typing import Final

PLACES: Final = 32_768
NEAR: Final = 3
_QUARTERS: Final = (0, 16, 32, 48)


class Twins:
    def __init__(self) -> None:
        self._tables: list[OrderedDict[int, tuple[int, str]]] = [OrderedDict() for _ in _QUARTERS]

    def take(self, simhash: int, owner: str) -> str | None:
        """Another owner whose text was nearly this one, and remembers this one."""
        found = None
        for table, shift in zip(self._tables, _QUARTERS, strict=True):
            quarter = simhash >> shift & 0xFFFF
            known = table.get(quarter)
            if known is not None and known[1] != owner and (known[0] ^ simhash).bit_count() <= NEAR:
                found = known[1]
            table[quarter] = (simhash, owner)
            table.move_to_end(quarter)
            if len(table) > PLACES:
                table.popitem(last=False)
        return found
