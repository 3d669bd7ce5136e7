"""What may be read in the trail. Whatever is not declared plain here is recorded as a keyed hash of itself.

The same value under the same name always gives the same hash, so that records about one client can be told to belong
together, and an operator, who has the secret and the list of keys, can find a key's records. Nobody else can: the
hashes cannot be looked up without the secret.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Final

from gateway.audit.record import Fields, Word

PLAIN: Final = frozenset(
    """action bytes code config count detector digest engine engines event expires file found gateway hash level limit
    method mode model models previous reason request route schema scopes score status through tier version window
    """.split()
)
MAX_ITEMS: Final = 32
_WORD: Final = re.compile(r"[A-Za-z0-9_.:/@+*=-]{0,96}")


def redacted(key: bytes, fields: Mapping[str, object]) -> Fields:
    """Plain names keep words and numbers; everything else becomes `~` and a hash, and None stays None."""
    return {
        name: [_item(key, name, item) for item in value[:MAX_ITEMS]]
        if isinstance(value, list | tuple)
        else _item(key, name, value)
        for name, value in fields.items()
    }


def pseudonym(key: bytes, name: str, value: str) -> str:
    """The keyed hash that stands for a value of this field; 128 bits."""
    return "~" + hmac.digest(key, f"{name}\0{value}".encode("utf-8", "surrogatepass"), hashlib.sha256).hex()[:32]


def _item(key: bytes, name: str, value: object) -> Word:
    if value is None:
        return None
    if name in PLAIN:
        if isinstance(value, bool | float) or (isinstance(value, int) and -(2**63) <= value < 2**63):
            return value
        # A sentence is no word: text from a request cannot slip in under a plain name.
        if isinstance(value, str) and _WORD.fullmatch(value):
            return str(value)
    return pseudonym(key, name, str(value))
