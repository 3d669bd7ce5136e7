"""What a key looks like, what it proves, and how it is kept: `sk-sluice-<key id>-<secret>`."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from gateway.errors import PermissionDenied

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PREFIX: Final = "sk-sluice-"
_SHAPE: Final = re.compile(r"sk-sluice-([a-z2-7]{8})-[A-Za-z0-9_-]{43}")


class Scope(StrEnum):
    INFERENCE = "inference"
    MODELS = "models"
    METRICS = "metrics"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Principal:
    """Whoever presented a valid key."""

    key_id: str
    tenant: str
    tier: str
    scopes: frozenset[str]

    def require(self, scope: str) -> None:
        """Raises PermissionDenied unless the key has the scope."""
        if scope not in self.scopes:
            raise PermissionDenied(f"This key lacks the scope '{scope}'.")


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What is stored of a key; times are seconds since the epoch."""

    id: str
    name: str
    tenant: str
    tier: str
    scopes: frozenset[str]
    created: float
    expires: float | None = None
    revoked: float | None = None
    digest: str = field(default="", repr=False)

    @property
    def principal(self) -> Principal:
        return Principal(self.id, self.tenant, self.tier, self.scopes)


def mint(entropy: Callable[[int], bytes]) -> tuple[str, str]:
    """A new key as (id, plaintext), from 5 and 32 random bytes."""
    key_id = base64.b32encode(entropy(5)).decode("ascii").lower()
    secret = base64.urlsafe_b64encode(entropy(32)).decode("ascii").rstrip("=")
    return key_id, f"{PREFIX}{key_id}-{secret}"


def key_id_of(presented: str) -> str | None:
    """The id in a well-formed key. The shape is checked in full, so that a key has one spelling only."""
    shape = _SHAPE.fullmatch(presented)
    return None if shape is None else shape[1]


def digest_of(presented: str) -> bytes:
    """SHA-256, unsalted and unstretched: a secret of 256 random bits can neither be guessed nor looked up."""
    return hashlib.sha256(presented.encode("utf-8", "surrogatepass")).digest()


def presented_key(headers: Sequence[tuple[bytes, bytes]]) -> str | None:
    """The key of an ASGI request: a Bearer token, or else Anthropic's `x-api-key`; the first of each counts."""
    bearer: bytes | None = None
    api_key: bytes | None = None
    for name, value in headers:
        if name == b"authorization":
            if bearer is None and value[:7].lower() == b"bearer ":
                bearer = value[7:].strip()
        elif name == b"x-api-key" and api_key is None:
            api_key = value.strip()
    key = bearer or api_key
    return key.decode("latin-1") if key else None
