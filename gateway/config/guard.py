"""The guard against model extraction: see docs/guard.md."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, field_validator

from gateway.config.types import Strict, UserPath

Level = Literal["observe", "strip", "throttle", "verify", "quarantine"]
Share = Annotated[float, Field(gt=0)]


def _of_two(links: tuple[str, ...]) -> tuple[str, ...]:
    if len(links) < 2:
        raise ValueError("a link names at least two tenants")
    return links


class GuardTenant(Strict):
    """What goes before the general rules for one tenant. A `trusted` one is exempt from exclusion and from levels, and not
    from leak budgets: give it a larger `leak_share` for that.
    """

    trusted: bool = False
    enforce: Level | None = None
    leak_share: Share | None = None


class Throttle(Strict):
    """What a key at level `throttle` may do."""

    share: float = Field(default=0.25, gt=0, le=1, description="of the requests that the key sent before")
    requests_per_minute: float = Field(default=6.0, gt=0, description="at most")
    concurrency: int = Field(default=2, ge=1)


class Guard(Strict):
    """`enforce` is the highest level that is applied; what the evidence says above it is told and not done (shadow mode)."""

    enforce: Level = "strip"
    exclusion: bool = Field(default=True, description="logprobs never go with a bias, constraint or seed")
    leak_share: Share = Field(
        default=0.05, description="of a model's output layer, that one account may be given; 1: all"
    )
    secret: Literal["projection", "width"] = Field(default="projection", description="what of the model is to be kept")
    strip_max_n: int = Field(default=1, ge=1, description="answers per request at level `strip`")
    throttle: Throttle = Throttle()
    thresholds: dict[Level, float] = Field(default_factory=dict, description="in points; default: the calibration's")
    calibration: UserPath | None = Field(default=None, description="a table of one's own; default: the packaged one")
    clean_hours: float = Field(default=24.0, gt=0, description="without evidence, before a level falls by one")
    quarantine_hours: float = Field(default=24.0, gt=0)
    webhook: SecretStr | None = Field(
        default=None, description="told of VERIFY and QUARANTINE; a secret, as receivers often know senders by it"
    )
    tenants: dict[str, GuardTenant] = Field(default_factory=dict)
    links: tuple[Annotated[tuple[str, ...], AfterValidator(_of_two)], ...] = Field(
        default=(), description="tenants that are one customer: they share budgets, and count as one"
    )
    queue: int = Field(
        default=2048, ge=1, description="requests that may wait to be looked at; beyond it they are only counted"
    )
    unsafe_open_surface: bool = Field(
        default=False, description="TURNS THE GUARD OFF, field lists included; only when listening on loopback"
    )

    @field_validator("webhook")
    @classmethod
    def _is_http(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not url.get_secret_value().startswith(("http://", "https://")):
            raise ValueError("give a URL that begins with http:// or https://")
        return url
