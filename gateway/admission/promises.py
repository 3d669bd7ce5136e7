"""Room promised to refused clients: each was told an instant, and nobody new may take its place before it has had the
time to come.

Without this no Retry-After can be honest: under overload, whatever drains is taken at once by whoever happens to
arrive. A promise is a place in a queue that waits at home. It holds room in the real queue only from shortly before its
instant until shortly after; engines never idle for it. Those who do not come back shall not hold all of it: what is held
is bounded (`most`), and a promise beyond that is kept if there happens to be room.
"""

from __future__ import annotations

import heapq
import math

from gateway.admission.bounds import Amount, Bound

Claim = tuple[str, int, int]
"""Who was promised room, and for what: key, guessed prompt and completion limit, by which the same request is known again."""

LEAD_S = 1.0
GRACE_S = 2.0
GRACE_SHARE = 0.1
MOST = 16_384
UNBOUNDED = Bound(math.inf, math.inf)


class Account:
    """Promises as one bound sees them: all that are outstanding, and those that hold room now."""

    __slots__ = ("due", "promised")

    def __init__(self) -> None:
        self.promised = Amount()
        self.due = Amount()


class _Promise:
    __slots__ = ("accounts", "at", "claim", "due", "holds", "kept", "most", "until", "work")

    def __init__(
        self, claim: Claim, work: float, accounts: tuple[Account, ...], at: float, until: float, most: Bound
    ) -> None:
        self.claim = claim
        self.work = work
        self.accounts = accounts
        self.at = at
        self.until = until
        self.most = most
        self.due = False
        self.holds = False
        self.kept = False


class Promises:
    """All promises of one queue. Call `advance` before reading an account."""

    def __init__(self) -> None:
        self._events: list[tuple[float, int, _Promise]] = []
        self._of_claim: dict[Claim, list[tuple[float, int, _Promise]]] = {}
        self._turn = 0
        self.outstanding = 0

    def make(
        self,
        claim: Claim,
        work: float,
        accounts: tuple[Account, ...],
        now: float,
        after_s: float,
        lead_s: float = LEAD_S,
        most: Bound = UNBOUNDED,
    ) -> bool:
        """Room is held from `lead_s` before the instant, while the last of the accounts holds no more than `most`. False, and no
        promise, once too many are outstanding.
        """
        if self.outstanding >= MOST:
            return False
        at = now + after_s
        promise = _Promise(claim, work, accounts, at, at + GRACE_S + GRACE_SHARE * after_s, most)
        self.outstanding += 1
        for account in accounts:
            account.promised.add(work)
        self._turn += 1
        heapq.heappush(self._events, (at - lead_s, self._turn, promise))
        heapq.heappush(self._of_claim.setdefault(claim, []), (at, self._turn, promise))
        return True

    def redeem(self, claim: Claim, now: float) -> bool:
        """Whether a promise of this claim is due; it is kept by that."""
        mine = self._of_claim.get(claim)
        while mine and mine[0][0] <= now:
            promise = heapq.heappop(mine)[2]
            if not mine:
                del self._of_claim[claim]
            if promise.kept or promise.until < now:
                continue
            self._end(promise)
            return True
        return False

    def earliest(self, claim: Claim) -> float | None:
        """The instant of the claim's next promise, if one is outstanding."""
        mine = self._of_claim.get(claim)
        return mine[0][0] if mine else None

    def advance(self, now: float) -> None:
        while self._events and self._events[0][0] <= now:
            _, turn, promise = heapq.heappop(self._events)
            if promise.kept:
                continue
            if promise.due:
                self._end(promise)
                self._drop_ended(promise.claim)
                continue
            promise.due = True
            promise.holds = promise.most.fits(promise.work, promise.accounts[-1].due)
            for account in promise.accounts if promise.holds else ():
                account.due.add(promise.work)
            heapq.heappush(self._events, (promise.until, turn, promise))

    def _end(self, promise: _Promise) -> None:
        promise.kept = True
        self.outstanding -= 1
        for account in promise.accounts:
            account.promised.remove(promise.work)
            if promise.holds:
                account.due.remove(promise.work)

    def _drop_ended(self, claim: Claim) -> None:
        mine = self._of_claim.get(claim)
        while mine and mine[0][2].kept:
            heapq.heappop(mine)
        if mine is not None and not mine:
            del self._of_claim[claim]
