"""Served models and the engines under them."""

from typing import Literal

from pydantic import Field, model_validator

from gateway.config.autoscaling import Autoscaling
from gateway.config.types import Accelerator, Bytes, Format, Strict


class Checkpoint(Strict):
    """Weights for one accelerator: `demo:bf16`, `demo:int8`, a local folder or a Hugging Face id."""

    source: str = Field(min_length=1)
    format: Format = "bf16"
    revision: str | None = None


class EngineSettings(Strict):
    """What governs vLLM's continuous batching and memory; None leaves vLLM's own default."""

    max_num_seqs: int = Field(default=64, ge=1)
    max_num_batched_tokens: int | None = Field(default=None, ge=1)
    chunked_prefill: bool = True
    prefix_caching: bool = True
    scheduling_policy: Literal["fcfs", "priority"] = "fcfs"
    kv_cache_memory: Bytes | None = None
    gpu_memory_utilization: float | None = Field(default=None, gt=0, le=1)
    block_size: int | None = Field(default=None, ge=1)
    max_model_len: int | None = Field(default=None, ge=1)
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    enforce_eager: bool = False
    tensor_parallel: int = Field(default=1, ge=1)
    threads: int = Field(default=1, ge=1, description="OpenMP threads of a CPU engine")
    own_cores: bool = Field(
        default=True,
        description="a CPU engine keeps to as many processor cores as it has threads, if the node has them to spare",
    )
    log_stats: bool = Field(
        default=False, description="vLLM's own statistics; on in any case while traces are exported"
    )


class Model(Strict):
    """One served model. The accelerator found at start picks its checkpoint."""

    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9._:/-]+$")
    checkpoints: dict[Accelerator, Checkpoint] = Field(min_length=1)
    replicas: int = Field(default=1, ge=1)
    autoscaling: Autoscaling | None = Field(default=None, description="a range, instead of a number of replicas")
    surge: bool = Field(default=True, description="an update starts new replicas before it stops old ones, given room")
    tool_parser: str | None = None
    reasoning_parser: str | None = None
    trust_remote_code: bool = False
    engine: EngineSettings = EngineSettings()

    @model_validator(mode="after")
    def _has_a_number_or_a_range(self) -> "Model":
        if self.autoscaling is not None and "replicas" in self.model_fields_set:
            raise ValueError("give replicas or autoscaling, not both")
        return self

    @property
    def sleeps(self) -> bool:
        """It may have no engine at all: requests wait until one has started."""
        return self.autoscaling is not None and self.autoscaling.min_replicas == 0
