"""Tenants that share a template: the traffic on it, taken out of all of theirs, is looked at as one.

A hydra deals one harvest out to many tenants and hides it in other traffic. The tenants look ordinary; what they share
does not. For each template that three or more of them use, a group keeps only the requests on that template:
cover traffic falls away by itself. Of a popular tool's template, too, many accounts make use; but each in its own amount,
for its own subject. So a group is judged by how alike its members are:

    novelty    different texts per request of the group: a harvest deals each question out once
    evenness   1 / (variance over mean of the members' counts): chance alone gives 1, customers' sizes next to 0
    kinship    1 / F, F the variance between members' mean embeddings over what the variance within them explains:
               members who ask about the same things have F near 1 (a many-sample MMD test)
    synchrony  how much better members' hours agree with the group's than with everyone's

Keys of one account are a group of their own for each template. They are alike by nature, a fleet behind a load balancer; so
their likeness counts as far as they ask for instructions or reasoning. Links between tenants take nothing away: linked
tenants are members like any others.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Self

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
TELLING: Final = 12
GROWN: Final = 1.2
TOLD: Final = 32
"""Other gateways hear of a group from so many requests on, whenever it has grown so much, of so many groups at a time."""


@dataclass(slots=True)
class Member:
    """`tracked`: requests whose embeddings are in `phi` and `squares`."""

    count: float = 0.0
    tracked: float = 0.0
    instruction: float = 0.0
    reasoning: float = 0.0
    hours: NDArray[np.float32] = field(default_factory=lambda: np.zeros(24, np.float32))
    phi: NDArray[np.float32] | None = None
    squares: float = 0.0


@dataclass(slots=True)
class Group:
    """Members by tenant, or by key within one account."""

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
            member.tracked += 1
            member.phi += phi
            member.squares += float(phi @ phi)

    def merge(self, other: Self) -> None:
        """What another gateway has seen of the same group on the same day."""
        self.requests += other.requests
        np.maximum(self.texts, other.texts, out=self.texts)
        for owner, theirs in other.members.items():
            ours = self.members.get(owner)
            if ours is None:
                if len(self.members) >= MEMBERS:
                    continue
                ours = self.members[owner] = Member()
            for name in ("count", "tracked", "instruction", "reasoning", "squares"):
                setattr(ours, name, getattr(ours, name) + getattr(theirs, name))
            ours.hours += theirs.hours
            if theirs.phi is not None:
                ours.phi = theirs.phi.copy() if ours.phi is None else ours.phi + theirs.phi


class Kin(NamedTuple):
    """A group's features; all zero while it is too small to tell anything. `weight`: what its members' likeness tells."""

    accounts: float = 0.0
    novelty: float = 0.0
    evenness: float = 0.0
    kinship: float = 0.0
    synchrony: float = 0.0
    instruction: float = 0.0
    reasoning: float = 0.0
    requests: float = 0.0
    weight: float = 1.0


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
    seen = [(member.tracked, member.phi, member.squares) for member in active if member.phi is not None]
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
    rest = hours.sum(0) - hours
    return max(0.0, float(np.mean(_cosines(hours, rest) - _cosines(hours, everyone[None]))))


def _cosines(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Row by row; 0 where either is nothing."""
    sizes = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.asarray((a * b).sum(axis=1) / np.where(sizes > 0, sizes, 1))


class Groups:
    """All templates of a day: at first only who used them, and a group once enough accounts did, here or at another gateway."""

    def __init__(self) -> None:
        self.groups: OrderedDict[int, Group] = OrderedDict()
        self._others: dict[int, dict[str, Group]] = {}
        self._told: dict[int, float] = {}
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
        return self._new(template, day)

    def has(self, template: int, owner: str, day: int) -> bool:
        """Whether the account is in the template's group of that day, here or elsewhere."""
        group = self.groups.get(template)
        if group is None or group.day != day:
            return False
        return owner in group.members or any(owner in other.members for other in self._elsewhere(template))

    def requests(self, template: int) -> float:
        """Of the group, at all gateways."""
        return self.groups[template].requests + sum(other.requests for other in self._elsewhere(template))

    def whole(self, template: int) -> Group:
        """The group as all gateways together have seen it."""
        own, others = self.groups[template], self._elsewhere(template)
        if not others:
            return own
        whole = Group(own.day)
        for part in (own, *others):
            whole.merge(part)
        return whole

    def news(self) -> list[tuple[int, Group]]:
        """The groups of which other gateways should hear: those that have grown, the latest first, and TOLD at most."""
        grown = []
        for template, group in reversed(self.groups.items()):
            if group.requests >= TELLING and group.requests >= GROWN * self._told.get(template, 0.0):
                self._told[template] = group.requests
                grown.append((template, group))
                if len(grown) == TOLD:
                    break
        return grown

    def learn(self, template: int, writer: str, told: Group) -> None:
        """What another gateway has seen; of a day that is over here, nothing."""
        own = self.groups.get(template)
        if own is None or own.day < told.day:
            own = self._new(template, told.day)
        if own.day == told.day:
            self._others.setdefault(template, {})[writer] = told

    def _elsewhere(self, template: int) -> list[Group]:
        others = self._others.get(template)
        day = self.groups[template].day
        return [] if others is None else [other for other in others.values() if other.day == day]

    def _new(self, template: int, day: int) -> Group:
        self._others.pop(template, None)
        self._told.pop(template, None)
        group = self.groups[template] = Group(day)
        self.groups.move_to_end(template)
        if len(self.groups) > GROUPS:
            gone, _ = self.groups.popitem(last=False)
            self._others.pop(gone, None)
            self._told.pop(gone, None)
        return group
