"""How much keys, tenants and addresses may ask for; see docs/decisions/0011-limits.md."""

from collections.abc import Hashable, Iterable
from typing import Annotated, Literal
from urllib.parse import urlsplit

from limits import parse_many
from pydantic import AfterValidator, Field, IPvAnyNetwork, SecretStr, field_validator, model_validator

from gateway.config.types import Strict

SCHEMES = ("redis", "rediss", "unix")


def _rate(text: str) -> str:
    try:
        parse_many(text)
    except ValueError as exc:
        raise ValueError("give a rate such as '60/minute', or several: '60/minute; 1000/day'") from exc
    return text


Rate = Annotated[str, AfterValidator(_rate)]


class Requests(Strict):
    """Windows for each key and tenant of a tier."""

    key: tuple[Rate, ...] = ()
    tenant: tuple[Rate, ...] = ()

    @field_validator("key", "tenant")
    @classmethod
    def _each_once(cls, rates: tuple[str, ...]) -> tuple[str, ...]:
        return once(rates)


class TokenBudget(Strict):
    """Tokens of prompt and completion together, for each key or tenant: of one model, or of all together."""

    scope: Literal["key", "tenant"]
    limit: int = Field(ge=1)
    per: Literal["minute", "hour", "day", "lifetime"]
    model: str | None = None


class LimitTier(Strict):
    requests: Requests = Requests()
    tokens: tuple[TokenBudget, ...] = ()

    @field_validator("tokens")
    @classmethod
    def _one_each(cls, budgets: tuple[TokenBudget, ...]) -> tuple[TokenBudget, ...]:
        _unique(
            ((budget.scope, budget.per, budget.model) for budget in budgets), "budgets of the same scope and period"
        )
        return budgets


class Limits(Strict):
    """`tiers` are those of keys; one that is not listed gets `default`. Without `redis` each gateway counts for itself."""

    redis: SecretStr | None = Field(default=None, description="redis://, rediss:// or unix://; null: in this process")
    timeout_ms: int = Field(default=200, ge=1, description="for a step of the shared store")
    outage: Literal["share", "refuse"] = "share"
    share: float | None = Field(
        default=None, gt=0, le=1, description="of every limit, for a gateway by itself; default: 1 / gateway.replicas"
    )
    lease_s: float = Field(default=60.0, gt=0)
    trusted_proxies: tuple[IPvAnyNetwork, ...] = Field(
        default=(), description="whose X-Forwarded-For is believed, as addresses or networks"
    )
    address: tuple[Rate, ...] = Field(
        default=(), description="for each client address, before anything else is looked at"
    )
    default: LimitTier = LimitTier()
    tiers: dict[str, LimitTier] = Field(default_factory=dict)

    @field_validator("redis")
    @classmethod
    def _is_redis(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and urlsplit(url.get_secret_value()).scheme not in SCHEMES:
            raise ValueError(f"give a URL that begins with one of: {', '.join(f'{scheme}://' for scheme in SCHEMES)}")
        return url

    @field_validator("address")
    @classmethod
    def _each_once(cls, rates: tuple[str, ...]) -> tuple[str, ...]:
        return once(rates)

    @model_validator(mode="after")
    def _what_lasts_is_kept(self) -> "Limits":
        """A lifetime that ends with the process would be a promise broken at every restart."""
        for name, tier in self.named.items():
            if self.redis is None and any(budget.per == "lifetime" for budget in tier.tokens):
                raise ValueError(
                    f"{name}.tokens: a budget per lifetime needs 'redis', or each start would begin it anew"
                )
        return self

    @property
    def named(self) -> dict[str, LimitTier]:
        """Every tier there is, by its key in this section."""
        return {"default": self.default} | {f"tiers.{name}": tier for name, tier in self.tiers.items()}

    def check_models(self, served: Iterable[str]) -> None:
        """Raises ValueError if a budget is for a model that is not served."""
        known = set(served)
        for name, tier in self.named.items():
            for budget in tier.tokens:
                if budget.model is not None and budget.model not in known:
                    raise ValueError(f"limits.{name}.tokens: no model '{budget.model}' is served")


def once(rates: tuple[str, ...]) -> tuple[str, ...]:
    """Raises ValueError if two of them have the same period: the looser one could never matter."""
    items = [item for rate in rates for item in parse_many(rate)]
    _unique((item.get_expiry() for item in items), "rates of the same period")
    return rates


def _unique(keys: Iterable[Hashable], what: str) -> None:
    seen: set[Hashable] = set()
    for key in keys:
        if key in seen:
            raise ValueError(f"two {what}")
        seen.add(key)
