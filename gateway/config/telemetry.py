"""What the gateway tells its operators: traces and the request log. Metrics are always there."""

from typing import Literal

from pydantic import Field

from gateway.config.types import Strict, UserPath


class Traces(Strict):
    """Where spans go; see docs/decisions/0015-telemetry.md. Off until there is an endpoint."""

    endpoint: str | None = Field(
        default=None, pattern=r"^https?://[^\s/]+", description="of an OTLP receiver, such as http://collector:4317"
    )
    protocol: Literal["grpc", "http"] = "grpc"
    headers: dict[str, UserPath] = Field(
        default_factory=dict, description="sent along, each from a file that holds nothing but its value"
    )
    ratio: float = Field(default=0.01, ge=0, le=1, description="of the requests that nothing else speaks for")
    parent_based: bool = Field(default=True, description="a client's own decision goes before the ratio")
    slow_s: float | None = Field(default=30.0, gt=0, description="a request that takes longer is always kept")
    capture_content: bool = Field(default=False, description="prompt and completion go along, redacted")


class Telemetry(Strict):
    """`request_log`: one line of JSON for each request, in `state_dir/logs/requests.jsonl` or on standard output."""

    service_name: str = Field(default="sluice", min_length=1)
    traces: Traces = Traces()
    request_log: Literal["file", "stdout", "off"] = "file"
