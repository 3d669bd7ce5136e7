"""Who waits for the engines, and what happens when one of them is lost."""

from typing import Annotated, Literal

from pydantic import Field

from gateway.config.types import Strict


class Failover(Strict):
    """What happens to requests whose engine dies, hangs or leaves: they go on elsewhere. See gateway/pool/failover.py."""

    park_s: float = Field(default=120.0, ge=0, description="how long such a request waits for an engine to come back")
    stall_s: float = Field(
        default=20.0, gt=0, description="an engine core silent for so long, with work to do, is given up"
    )
    slow_factor: float = Field(
        default=10.0, gt=1, description="times its peers' step time that lose an engine new work"
    )
    retry_reserve: int = Field(default=256, ge=1, description="retries that are granted without any success")
    retry_ratio: float = Field(default=0.2, ge=0, description="retries that each success earns")
    hedge_after_s: float | None = Field(
        default=None, gt=0, description="without a first token, after which a second engine is asked too; null: never"
    )
    hedge_reserve: int = Field(default=16, ge=1, description="hedges that are granted without any success")
    hedge_ratio: float = Field(default=0.05, ge=0, description="hedges that each success earns")


Priority = Literal["interactive", "standard", "batch"]
Weight = Annotated[float, Field(gt=0)]


class Shares(Strict):
    """Weights of the priority classes: what each gets of the engines while all of them have work waiting."""

    interactive: Weight = 16.0
    standard: Weight = 4.0
    batch: Weight = 1.0


class Tier(Strict):
    """What keys of this tier get. `highest` is the best class that their requests may ask for: a better one than others have is
    the operator's to give, for it goes before fair shares.
    """

    weight: Weight = 1.0
    key_concurrency: int | None = Field(default=None, ge=1)
    highest: Priority = "standard"


class Admission(Strict):
    """The waiting queue of each model at each gateway; see docs/decisions/0009-admission.md. Work is counted in tokens."""

    max_requests: int = Field(default=1024, ge=1, description="that may wait")
    max_tokens: int = Field(default=2_000_000, ge=1, description="of work that may wait")
    tenant_share: float = Field(default=0.5, gt=0, le=1, description="of the queue, for one tenant")
    reserve: float = Field(
        default=0.2,
        ge=0,
        lt=0.5,
        description="of the engines, for tenants below their share: sequences that they get on top of max_num_seqs",
    )
    prefill_tokens: int = Field(
        default=16384, ge=1, description="prompt tokens sent to an engine and not yet prefilled"
    )
    shares: Shares = Shares()
    default_priority: Priority = "standard"
    deadline_s: float | None = Field(
        default=60.0, gt=0, description="until which a request must have started; null: none"
    )
    wake_s: float = Field(
        default=600.0,
        ge=0,
        description="at most, for which that does not run while a model that may sleep has no engine",
    )
    key_concurrency: int | None = Field(default=None, ge=1, description="requests of one key that wait or run")
    retry_max_s: int = Field(default=300, ge=1, description="the longest Retry-After that is promised")
    keep_alive_s: float = Field(default=5.0, gt=0, description="between two comments to a stream that waits")
    tiers: dict[str, Tier] = Field(default_factory=dict)
    tenants: dict[str, Weight] = Field(
        default_factory=dict, description="weights that go before those of their keys' tiers"
    )
