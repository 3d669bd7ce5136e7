"""Sketches as bytes, for the store and for other gateways: nothing in them but counts, hashes and sums."""

from dataclasses import fields
from typing import Any, Final

import msgspec
import numpy as np

from gateway.guard.groups import Group, Member
from gateway.guard.profile import Profile
from gateway.guard.response import Standing
from gateway.guard.rff import Window
from gateway.guard.templates import Templates, Use
from gateway.guard.verdict import Level

VERSION: Final = 3
_OTHERS: Final = frozenset("tenant day squares templates begun last ring rung lately burst minute rush".split())
_ARRAYS: Final = tuple(field.name for field in fields(Profile) if field.name not in _OTHERS)


class Ledger(msgspec.Struct, array_like=True):
    """What outlives a key's day. `at`: a time of the day that `carried` is of. `cleared`: what was seen before then no longer
    counts. `pace`: see Verdict.
    """

    tenant: str
    level: int
    since: float
    seen: float
    carried: float
    past_n: float
    past_squares: float
    past: bytes
    cleared: float
    at: float
    pace: float = 0.0

    @property
    def standing(self) -> Standing:
        return Standing(Level(self.level), self.since, self.seen)

    @property
    def window(self) -> Window:
        return Window(self.past_n, np.frombuffer(self.past, np.float32).copy(), self.past_squares)


def packed_ledger(ledger: Ledger) -> bytes:
    return msgspec.msgpack.encode(ledger)


def unpacked_ledger(blob: bytes) -> Ledger:
    return msgspec.msgpack.decode(blob, type=Ledger)


def packed(profile: Profile) -> bytes:
    arrays = [getattr(profile, name).tobytes() for name in _ARRAYS]
    uses = [(key, use.count, use.over, use.fresh.tobytes()) for key, use in profile.templates.uses.items()]
    return msgspec.msgpack.encode(
        (
            VERSION,
            profile.tenant,
            profile.day,
            profile.squares,
            profile.begun,
            profile.last,
            profile.burst,
            profile.rush,
            arrays,
            uses,
        )
    )


def unpacked(blob: bytes) -> Profile | None:
    """None for one of another version, or of sketches of other sizes."""
    version, *rest = msgspec.msgpack.decode(blob)
    if version != VERSION:
        return None
    tenant, day, squares, begun, last, burst, rush, arrays, uses = rest
    profile = Profile(tenant, day)
    for name, raw in zip(_ARRAYS, arrays, strict=True):
        fresh: Any = getattr(profile, name)
        read = np.frombuffer(raw, fresh.dtype)
        if len(read) != len(fresh):
            return None
        setattr(profile, name, read.copy())
    profile.squares, profile.begun, profile.last, profile.burst, profile.rush = squares, begun, last, burst, rush
    profile.templates = Templates(
        {key: Use(count, over, np.frombuffer(fresh, np.uint8).copy()) for key, count, over, fresh in uses}
    )
    return profile


def packed_group(group: Group) -> bytes:
    members = [
        (
            owner,
            (member.count, member.tracked, member.instruction, member.reasoning, member.squares),
            member.hours.tobytes(),
            None if member.phi is None else member.phi.astype(np.float16).tobytes(),
        )
        for owner, member in group.members.items()
    ]
    return msgspec.msgpack.encode((VERSION, group.day, group.requests, group.texts.tobytes(), members))


def unpacked_group(blob: bytes) -> Group | None:
    """None for one of another version."""
    version, *rest = msgspec.msgpack.decode(blob)
    if version != VERSION:
        return None
    day, requests, texts, members = rest
    group = Group(day, texts=np.frombuffer(texts, np.uint8).copy(), requests=requests)
    for owner, (count, tracked, instruction, reasoning, squares), hours, phi in members:
        group.members[owner] = Member(
            count,
            tracked,
            instruction,
            reasoning,
            np.frombuffer(hours, np.float32),
            None if phi is None else np.frombuffer(phi, np.float16).astype(np.float32),
            squares,
        )
    return group
