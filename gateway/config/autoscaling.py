"""How many replicas a model has: see docs/operations.md and deployments/autoscaling/policy.py."""

from pydantic import Field, model_validator

from gateway.config.types import Strict


class Autoscaling(Strict, allow_inf_nan=False):
    """A range instead of a number of replicas. With `min_replicas: 0` requests wait while the first one starts."""

    min_replicas: int = Field(default=1, ge=0)
    max_replicas: int = Field(ge=1)
    initial_replicas: int | None = Field(default=None, ge=0, description="null: the least")
    goal_s: float = Field(default=2.0, gt=0, description="seconds of backlog that are fine")
    clear_s: float | None = Field(
        default=None, gt=0, description="within which a larger backlog is to be worked off; null: goal_s + start-up"
    )
    warm_spares: int = Field(default=0, ge=0, description="replicas beyond the need, which take a sudden rise")
    use: float = Field(default=1.0, gt=0, le=1, description="share of a full engine that is planned with")
    headroom: float = Field(default=0.1, ge=0, description="standard errors of the forecast that are kept free")
    spare: float = Field(
        default=0.2, ge=0, description="share kept free for rises faster than a start, where starts are long"
    )
    kv_use: float = Field(default=0.9, gt=0, le=1, description="share of the KV cache that is planned with")
    startup_s: float | None = Field(default=None, gt=0, description="until a new replica serves; null: measured")
    stabilization_s: float | None = Field(
        default=None, ge=0, description="whose peak replicas are kept for; null: 30 s + 1.25 times the start-up"
    )
    up_cooldown_s: float = Field(default=0.0, ge=0)
    down_cooldown_s: float = Field(default=15.0, ge=0)
    max_step: int = Field(default=4, ge=1, description="replicas added at once, panic excepted")
    panic_s: float = Field(default=10.0, gt=0, description="seconds of backlog from which steps are not limited")
    panic_hold_s: float = Field(default=60.0, ge=0, description="after a panic, without scaling down")
    idle_s: float = Field(default=300.0, ge=0, description="without any request, before the last replica goes")
    season_s: float | None = Field(
        default=None, gt=0, description="predict from one season ago, a day say (86400); null: off"
    )

    @model_validator(mode="after")
    def _fits_together(self) -> "Autoscaling":
        if self.min_replicas > self.max_replicas:
            raise ValueError("min_replicas must not exceed max_replicas")
        first = self.initial_replicas
        if first is not None and not self.min_replicas <= first <= self.max_replicas:
            raise ValueError("initial_replicas must lie between min_replicas and max_replicas")
        if self.warm_spares >= self.max_replicas:
            raise ValueError("warm_spares must be less than max_replicas: at least one replica works")
        if self.panic_s < self.goal_s:
            raise ValueError("panic_s must not be less than goal_s, the backlog that is fine")
        return self
