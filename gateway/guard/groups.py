"""Accounts that share a template: the traffic on it, taken out of all of theirs, is looked at as one.

A hydra deals one harvest out to many accounts and hides it in other traffic. The accounts look ordinary; what they share
does not. For each template that three or more unlinked accounts use, a group keeps only the requests on that template:
cover traffic falls away by itself. Of a popular tool's template, too, many accounts make use; but each in its own amount,
for its own subject. So a group is judged by how alike its members are:

    novelty    different texts per request of the group: a harvest deals each question out once
    evenness   1 / (variance over mean of the members' counts): chance alone gives 1, customers' sizes next to 0
    kinship    1 / F, F the variance between members' mean embeddings over what the variance within them explains:
               members who ask about the same things have F near 1 (a many-sample MMD test)
    synchrony  how much better members' hours agree with the group's than with everyone's
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gateway.guard import distinct
from gateway.guard.rff import FEATURES

CANDIDATES: Final = 65_536
GROUPS: Final = 1024
MEMBERS: Final = 256
TRACKED: Final = 48
"""Members of a group whose embeddings are kept; a hydra's are all alike, and these are the first to come."""
LEAST: Final = 3


@dataclass(slots=True)
class Member:
    count: float = 0.0
    instruction: float = 0.0
    reasoning: float = 0.0
    hours: NDArray[np.float32] = field(default_factory=lambda: np.zeros(24, np.float32))
    phi: NDArray[np.float32] | None = None
    squares: float = 0.0


@dataclass(slots=True)
class Group:
    """Members by account (a cluster of hard-linked tenants)."""

    day: int
    members: dict[str, Member] = field(default_factory=dict)
    texts: distinct.Registers = field(default_factory=lambda: distinct.empty(9))
    requests: float = 0.0

    def take(self, owner: str, hour: int, whole: int, phi: NDArray[np.float32], hits: tuple[bool, bool]) -> None:
        self.requests += 1
        distinct.add(self.texts, whole)
        member = self.members.get(owner)
        if member is None:
            if len(self.members) >= MEMBERS:
                return
            member = self.members[owner] = Member()
            if len(self.members) <= TRACKED:
                member.phi = np.zeros(FEATURES, np.float32)
        member.count += 1
        member.hours[hour] += 1
        member.instruction += hits[0]
        member.reasoning += hits[1]
        if member.phi is not None:
            member.phi += phi
            member.squares += float(phi @ phi)


class Kin(NamedTuple):
    """A group's features; all zero while it is too small to tell anything."""

    accounts: float = 0.0
    novelty: float = 0.0
    evenness: float = 0.0
    kinship: float = 0.0
    synchrony: float = 0.0
    instruction: float = 0.0
    reasoning: float = 0.0
    requests: float = 0.0


STRANGERS: Final = Kin()


def kin(group: Group, everyone: NDArray[np.float32]) -> Kin:
    """`everyone`: requests of all accounts by hour. Zeros until a group has a few requests by at least LEAST accounts."""
    active = [member for member in group.members.values() if member.count >= 2]
    total = sum(member.count for member in active)
    if len(active) < LEAST or total < 24:
        return STRANGERS
    counts = np.array([member.count for member in active])
    evenness = 1 / max(1.0, float(counts.var() / counts.mean()))
    novelty = min(1.0, distinct.count(group.texts) / group.requests)
    return Kin(
        accounts=float(len(active)),
        novelty=novelty,
        evenness=evenness,
        kinship=_kinship(active),
        synchrony=_synchrony(active, everyone),
        instruction=sum(member.instruction for member in active) / total,
        reasoning=sum(member.reasoning for member in active) / total,
        requests=total,
    )


def _kinship(active: list[Member]) -> float:
    seen = [(member.count, member.phi, member.squares) for member in active if member.phi is not None]
    if len(seen) < 2:
        return 0.0
    counts = np.array([count for count, _, _ in seen])
    sums = np.stack([phi for _, phi, _ in seen]).astype(np.float64)
    means = sums / counts[:, None]
    total = counts.sum()
    centre = sums.sum(0) / total
    between = float((counts * ((means - centre) ** 2).sum(1)).sum()) / (len(seen) - 1)
    left = sum(squares for _, _, squares in seen) - float((counts * (means**2).sum(1)).sum())
    within = max(left, 1e-9) / max(1.0, total - len(seen))
    return min(1.0, float(within) / max(between, 1e-9))


def _synchrony(active: list[Member], everyone: NDArray[np.float32]) -> float:
    hours = np.stack([member.hours for member in active])
    group = hours.sum(0)
    gains = []
    for own in hours:
        rest = group - own
        gains.append(_cosine(own, rest) - _cosine(own, everyone))
    return max(0.0, float(np.mean(gains)))


def _cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / size if size else 0.0


class Groups:
    """All templates of a day: at first only who used them, and a group once enough accounts did."""

    def __init__(self) -> None:
        self.groups: OrderedDict[int, Group] = OrderedDict()
        self._candidates: OrderedDict[int, tuple[str, ...]] = OrderedDict()

    def of(self, template: int, owner: str, day: int) -> Group | None:
        group = self.groups.get(template)
        if group is not None and group.day == day:
            self.groups.move_to_end(template)
            return group
        owners = self._candidates.pop(template, ())
        if group is not None:
            # A group of the day before needs nobody to find it again.
            owners = tuple(group.members)[:LEAST]
        if owner not in owners:
            owners = (*owners, owner)
        if len(owners) < LEAST:
            self._candidates[template] = owners
            if len(self._candidates) > CANDIDATES:
                self._candidates.popitem(last=False)
            return None
        group = self.groups[template] = Group(day)
        self.groups.move_to_end(template)
        if len(self.groups) > GROUPS:
            self.groups.popitem(last=False)
        return group
