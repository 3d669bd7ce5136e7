"""Leak budgets at work: asked before a request that leaks goes anywhere, settled when it has ended.

Each tenant has a meter of its own, for each version of a model's output layer; a budget is spent by the meters of all tenants
of the account together. So what was given stays given however tenants are linked later.

Only such requests wait for the store, in threads of its own; who asks for text alone never does. A gateway that dies before
it settles leaves the whole reservation spent, and a store that does not answer is a refusal: a budget is never guessed.

A charge has no name by which the store would know it again, so nothing is asked twice: the store is waited for longer instead.
A stalled one costs each such request that one wait and no more, however many there are: what still stands in line for a
thread when a step fails, fails with it, or, where it gives something back, is owed until the store answers again.
"""

import asyncio
import contextlib
import logging
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from concurrent.futures import CancelledError as NeverAsked
from concurrent.futures import Future, ThreadPoolExecutor
from enum import StrEnum
from operator import add
from typing import Any, Final, Literal, NamedTuple

from gateway.guard.accounts import Accounts
from gateway.guard.exclusion import Ask
from gateway.guard.leaks import FREE_SETTINGS, Charge, Shape, given, limits, most, taken
from gateway.guard.store import GuardStore, GuardStoreUnavailable

THREADS: Final = 4

_log: Final = logging.getLogger(__name__)


class Denied(StrEnum):
    """`UNKNOWN`: the store does not answer."""

    SPENT = "leak_budget_spent"
    UNKNOWN = "leak_budget_unknown"


class Held(NamedTuple):
    """A reservation; `settle` it once."""

    meter: str
    charge: Charge
    ask: Ask
    sequences: int
    vocabulary: int


class LeakBudgets:
    """`shares`: of tenants that have one of their own; an account has the largest of its tenants' shares."""

    def __init__(
        self,
        store: GuardStore,
        accounts: Accounts,
        share: float,
        shares: Mapping[str, float],
        kept: Literal["projection", "width"],
    ) -> None:
        self._store, self._accounts, self._share, self._kept = store, accounts, share, kept
        self._shares: dict[str, float] = {}
        for tenant, own in shares.items():
            account = accounts.of(tenant)
            self._shares[account] = max(own, self._shares.get(account, 0.0))
        self._shapes: dict[str, Shape] = {}
        self._renamed: set[str] = set()
        self._settings: dict[str, frozenset[str]] = {}
        self._threads = ThreadPoolExecutor(THREADS, "guard-leaks")
        self._failures = 0
        self._owed: deque[tuple[str, Charge]] = deque()
        self.problem: str | None = None

    async def reserve(self, tenant: str, shape: Shape, ask: Ask, sequences: int, longest: int) -> Held | Denied | None:
        """None if the request can leak nothing that is counted. `longest`: tokens of one answer at most."""
        charge = most(ask, sequences, longest, shape.vocabulary)
        if not charge:
            return None
        self.know(shape)
        account = self._accounts.of(tenant)
        limit = limits(shape, self._shares.get(account, self._share), self._kept)
        others = [each for each in self._accounts.linked(tenant) if each != tenant]
        held = Held(_meter(shape, tenant), charge, ask, sequences, shape.vocabulary)
        asking = self._threads.submit(self._reserve, shape, [tenant, *others], charge, limit, self._failures)
        try:
            granted = await asyncio.wrap_future(asking)
        except asyncio.CancelledError:
            # The thread may be in mid-step: what it then takes, it gives back.
            with contextlib.suppress(RuntimeError):  # closed meanwhile
                self._threads.submit(self._take_back, asking, held)
            raise
        except GuardStoreUnavailable:
            return Denied.UNKNOWN
        self.problem = None
        return held if granted else Denied.SPENT

    async def familiar(self, tenant: str, shape: Shape, setting: str) -> bool:
        """Whether the setting is among those that the account may use for nothing; the first FREE_SETTINGS are. If the store does
        not answer, the first that this gateway has seen are: this is asked of plain text, which does without the store.
        """
        meter = _meter(shape, self._accounts.of(tenant))
        known = self._settings.get(meter, frozenset())
        if setting in known or len(known) >= FREE_SETTINGS:
            return setting in known
        asking = self._threads.submit(self._ask_settings, meter, setting, self._failures)
        try:
            found = await asyncio.wrap_future(asking)
            self.problem = None
        except GuardStoreUnavailable:
            found = self._settings.get(meter, frozenset())
            found |= {setting} if len(found) < FREE_SETTINGS else set()
        self._settings[meter] = found
        return setting in found

    def settle(self, held: Held, completion: int) -> None:
        """`completion`: tokens that were generated, over all sequences. Returns at once."""
        used = taken(held.ask, held.sequences if completion else 0, completion, held.vocabulary)
        back = Charge(max(0, held.charge.scalars - used.scalars), max(0, held.charge.answers - used.answers))
        if back:
            self._threads.submit(self._give_back, held.meter, back, self._failures)

    async def used(self) -> list[dict[str, Any]]:
        """What each account has been given of each model's output layer, largest first; raises GuardStoreUnavailable."""
        meters = await asyncio.wrap_future(self._threads.submit(self._meters))
        sums: defaultdict[tuple[str, str], Charge] = defaultdict(Charge)
        for meter, used in meters.items():
            version, _, tenant = meter.partition("/")
            if version not in self._renamed:
                one = version, self._accounts.of(tenant)
                sums[one] = Charge(*map(add, sums[one], used))
        rows = []
        for (version, account), used in sums.items():
            shape = self._shapes.get(version)
            share = None if shape is None else given(shape, used)
            limit = None if shape is None else limits(shape, self._shares.get(account, self._share), self._kept)
            rows.append(
                {
                    "account": account,
                    "model": shape.model if shape else None,
                    "version": version,
                    **used._asdict(),
                    "limits": limit._asdict() if limit else None,
                    "share_of_output_layer": share,
                }
            )
        return sorted(rows, key=lambda row: -(row["share_of_output_layer"] or 0.0))

    def know(self, shape: Shape) -> None:
        """A model that is served, so that what was given of it can be told as a share."""
        self._shapes[_version(shape)] = shape

    @property
    def models(self) -> set[str]:
        return {shape.model for shape in self._shapes.values()}

    def close(self) -> None:
        self._threads.shutdown(wait=True)
        self._give_back_what_is_owed()

    def _reserve(self, shape: Shape, tenants: list[str], charge: Charge, limit: Charge, failures: int) -> bool:
        """In a thread, as the next seven. Charges the first tenant. `failures`: of the store, when this was put in line."""
        meter, *others = (_meter(shape, tenant) for tenant in tenants)
        with self._asking(failures):
            self._rename(shape)
            granted = self._store.reserve(meter, charge, limit, others)
            if self._owed:
                self._give_back_what_is_owed()
                granted = granted or self._store.reserve(meter, charge, limit, others)
        return granted

    def _ask_settings(self, meter: str, setting: str, failures: int) -> frozenset[str]:
        with self._asking(failures):
            return self._store.settings(meter, setting, FREE_SETTINGS)

    @contextlib.contextmanager
    def _asking(self, failures: int) -> Iterator[None]:
        """For who stood in line for the store; its failure is theirs who stand there still."""
        if self._failures != failures:
            raise GuardStoreUnavailable("the store failed while this waited for it")
        try:
            yield
        except GuardStoreUnavailable as exc:
            self._failed(exc)
            raise

    def _meters(self) -> dict[str, Charge]:
        for shape in list(self._shapes.values()):
            self._rename(shape)
        return self._store.meters()

    def _rename(self, shape: Shape) -> None:
        """What meters hold under the names that an earlier release gave them, they hold under their present ones."""
        former = _version(shape._replace(version=shape.former))
        if not shape.former or former in self._renamed:
            return
        for meter in self._store.meters():
            version, _, tenant = meter.partition("/")
            if version == former:
                self._store.inherit(_meter(shape, tenant), meter)
        self._renamed.add(former)

    def _give_back(self, meter: str, back: Charge, failures: int) -> None:
        """What the store was never asked for is owed until it answers; what it was asked for, it may have done."""
        if self._failures != failures:
            self._owed.append((meter, back))
            return
        try:
            self._store.give_back(meter, back)
        except GuardStoreUnavailable as exc:
            self._failed(exc)

    def _give_back_what_is_owed(self) -> None:
        failures = self._failures
        with contextlib.suppress(IndexError):
            while self._failures == failures:
                self._give_back(*self._owed.popleft(), failures)

    def _take_back(self, asking: Future[bool], held: Held) -> None:
        """`asking` stood in line before."""
        with contextlib.suppress(NeverAsked, GuardStoreUnavailable):
            if asking.result():
                self._give_back(held.meter, held.charge, self._failures)

    def _failed(self, exc: GuardStoreUnavailable) -> None:
        self._failures += 1
        if self.problem is None:
            _log.error("guard: leak budgets cannot be asked, so what leaks is refused: %s", exc)
        self.problem = f"leak budgets: {exc}"


def _meter(shape: Shape, tenant: str) -> str:
    return f"{_version(shape)}/{tenant}"


def _version(shape: Shape) -> str:
    return f"{shape.version}-{shape.hidden}x{shape.vocabulary}"
