"""Who acts as one: the operator's links between tenants. Pure.

A tenant is an account; its keys share every budget. Links of the operator's (one payer, one SSO domain, one certificate)
make several tenants one account. What the guard finds by itself (groups.py) raises scores, and never merges budgets: a
popular tool's users are not one customer.
"""

from collections.abc import Iterable


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
