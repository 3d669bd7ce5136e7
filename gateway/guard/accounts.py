"""Who acts as one: the operator's links between tenants. Pure.

A tenant is an account; its keys share every budget. Links of the operator's (one payer, one SSO domain, one certificate)
make several tenants one account. What the guard finds by itself (groups.py) raises scores, and never merges budgets: a
popular tool's users are not one customer.

An account with several keys is judged as well as each of them, under a name of its own.
"""

from collections.abc import Iterable
from typing import Final

from gateway.guard.hashing import Hasher

ACCOUNT: Final = "account:"
"""Before an account's name, where a key's would be; no key has a colon in it."""


class Accounts:
    """Union-find over the linked tenants; an account is named for its first tenant in the order of the alphabet."""

    def __init__(self, links: Iterable[Iterable[str]] = ()) -> None:
        self._parents: dict[str, str] = {}
        for linked in links:
            first, *others = linked
            for other in others:
                a, b = sorted((self.of(first), self.of(other)))
                self._parents[b] = a

    def of(self, tenant: str) -> str:
        while (parent := self._parents.get(tenant, tenant)) != tenant:
            tenant = parent
        return tenant

    def linked(self, tenant: str) -> tuple[str, ...]:
        """All tenants of its account, in the order of the alphabet."""
        account = self.of(tenant)
        return tuple(sorted({account, tenant, *(each for each in self._parents if self.of(each) == account)}))


class Families:
    """The keys of each account, as far as they are known."""

    def __init__(self, accounts: Accounts, hasher: Hasher) -> None:
        self._accounts, self._hasher = accounts, hasher
        self._keys: dict[str, dict[str, None]] = {}
        self._idents: dict[str, int] = {}

    def of(self, tenant: str) -> str:
        """The name that its account is judged under."""
        return ACCOUNT + self._accounts.of(tenant)

    def ident(self, tenant: str) -> int:
        """With a template's name this makes that of the template within the account."""
        account = self.of(tenant)
        known = self._idents.get(account)
        if known is None:
            known = self._idents[account] = self._hasher.ident(account.encode())
        return known

    def keys(self, tenant: str) -> tuple[str, ...]:
        return tuple(self._keys.get(self.of(tenant), ()))

    def shared(self, tenant: str) -> bool:
        """Whether the account has more than one key."""
        return len(self._keys.get(self.of(tenant), ())) > 1

    def join(self, key: str, tenant: str) -> None:
        self._keys.setdefault(self.of(tenant), {})[key] = None

    def leave(self, key: str, tenant: str) -> None:
        account = self.of(tenant)
        known = self._keys.get(account, {})
        known.pop(key, None)
        if not known:
            self._keys.pop(account, None)
            self._idents.pop(account, None)
