"""The language of a text as far as its characters tell it: which script most of its letters are of.

Languages that share a script are not told apart here; a change from one to another shows in the embedding.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

CLASSES: Final = (
    "none",
    "symbols",
    "digits",
    "latin",
    "latin_accented",
    "greek",
    "cyrillic",
    "hebrew",
    "arabic",
    "indic",
    "thai",
    "hangul",
    "japanese",
    "han",
    "other",
)
_ID: Final = {name: number for number, name in enumerate(CLASSES)}
_KANA: Final = _ID["japanese"]
# First code point of each range of Unicode blocks, and the class of its characters.
_RANGES: Final = (
    (0x0, "symbols"),
    (0x30, "digits"),
    (0x3A, "symbols"),
    (0x41, "latin"),
    (0x5B, "symbols"),
    (0x61, "latin"),
    (0x7B, "symbols"),
    (0xC0, "latin_accented"),
    (0x250, "other"),
    (0x370, "greek"),
    (0x400, "cyrillic"),
    (0x530, "other"),
    (0x590, "hebrew"),
    (0x600, "arabic"),
    (0x780, "other"),
    (0x8A0, "arabic"),
    (0x900, "indic"),
    (0xE00, "thai"),
    (0xE80, "other"),
    (0x1100, "hangul"),
    (0x1200, "other"),
    (0x1E00, "latin_accented"),
    (0x1F00, "greek"),
    (0x2000, "symbols"),
    (0x3040, "japanese"),
    (0x3100, "other"),
    (0x3130, "hangul"),
    (0x3190, "symbols"),
    (0x3400, "han"),
    (0xA000, "other"),
    (0xAC00, "hangul"),
    (0xD7B0, "symbols"),
    (0xF900, "han"),
    (0xFB00, "other"),
    (0xFB1D, "hebrew"),
    (0xFB50, "arabic"),
    (0xFE00, "symbols"),
    (0xFE70, "arabic"),
    (0xFF00, "symbols"),
    (0x20000, "han"),
    (0x40000, "symbols"),
)
_STARTS: Final = np.array([start for start, _ in _RANGES], dtype=np.uint32)
_KINDS: Final = np.array([_ID[name] for _, name in _RANGES], dtype=np.int64)
ACCENTED: Final = 0.02
"""Share of accented letters from which Latin text counts as that: English has fewer, French, Czech or Vietnamese more."""
KANA: Final = 0.1
"""Share of kana from which text in Han characters is Japanese."""


def script_of(points: NDArray[np.uint32]) -> int:
    """The class, as its place in CLASSES, of a text's code points."""
    if not points.size:
        return _ID["none"]
    counts = np.bincount(_KINDS[np.searchsorted(_STARTS, points, side="right") - 1], minlength=len(CLASSES))
    digits, letters = counts[_ID["digits"]], counts[_ID["latin"] :]
    most = int(letters.sum())
    if digits > most:
        return _ID["digits"]
    if not most:
        return _ID["symbols"]
    latin, accented = counts[_ID["latin"]], counts[_ID["latin_accented"]]
    if latin + accented > most / 2:
        return _ID["latin_accented" if accented >= ACCENTED * most else "latin"]
    if counts[_KANA] >= KANA * most and counts[_KANA] + counts[_ID["han"]] > most / 2:
        return _KANA
    return int(_ID["latin"] + letters.argmax())
