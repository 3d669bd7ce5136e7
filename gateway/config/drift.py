"""What is watched for change, and against which reference: see docs/decisions on drift."""

from typing import Self

from pydantic import Field, model_validator

from gateway.config.types import Strict


class Drift(Strict):
    """Requests and answers are compared with a reference of the same time of day, learned once and kept in `state_dir/drift`."""

    enabled: bool = True
    sample_per_s: float = Field(default=10.0, gt=0, description="requests of each model that are looked at, at most")
    window_s: float = Field(default=3600.0, gt=0, description="how far back the present reaches")
    window_samples: int = Field(default=512, ge=32, le=8192, description="and how many requests it holds at most")
    min_samples: int = Field(default=100, ge=32, description="fewer are not judged")
    period_s: float | None = Field(
        default=86400.0, gt=0, description="after which traffic repeats itself; null: it has no such pattern"
    )
    slots: int = Field(default=24, ge=1, le=168, description="parts of the period that have a reference each")
    learn_s: float = Field(default=86400.0, ge=0, description="how long the reference is learned")
    reference_samples: int = Field(default=256, ge=32, le=4096, description="of each slot")
    evaluate_s: float = Field(default=60.0, gt=0, description="between two comparisons")
    confirm: int = Field(default=3, ge=1, description="comparisons in a row that raise an alert, or end it")

    @model_validator(mode="after")
    def _can_be_judged(self) -> Self:
        if self.min_samples > min(self.window_samples, self.reference_samples):
            raise ValueError("min_samples must not exceed window_samples and reference_samples")
        return self
