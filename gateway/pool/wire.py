"""What travels between a gateway (DEALER) and an engine replica (ROUTER), and the cards by which they meet.

Gateway → engine: HELLO; ADD + id + request frames; ABORT + request ids; PING, to one engine of each model with the Queue.
Engine → gateway: WELCOME + Load; OUTPUTS + EngineCoreOutputs frames, one message per engine step; PONG + Load;
REFUSED + id + reason; LEAVING when the engine takes no new work; FORGOTTEN to who has not said HELLO, or was silent for SILENCE_S
since: it has nothing here any more.
"""

from typing import Any

import msgspec

PROTOCOL = 2

HELLO = b"H"
WELCOME = b"W"
ADD = b"R"
ABORT = b"A"
PING = b"P"
PONG = b"Q"
OUTPUTS = b"O"
REFUSED = b"X"
LEAVING = b"L"
FORGOTTEN = b"F"

HEARTBEAT_S = 1.0
SILENCE_S = 5.0


class Load(msgspec.Struct, frozen=True, array_like=True):
    """An engine's own view of its work, over all gateways: requests in flight, prompt tokens not yet prefilled, share of the
    KV cache that its requests fill (0 to 1), and seconds since its core last gave a sign of life or progress (0 while it does).
    `waiting`: of the requests, those that have no place in its batch. Prefix tokens asked and found are totals of the core's own,
    0 without its statistics. `clock`: its `time.monotonic` when it answered.
    """

    requests: int
    prefill_tokens: int
    kv_use: float = 0.0
    quiet_s: float = 0.0
    waiting: int = 0
    prefix_queries: int = 0
    prefix_hits: int = 0
    clock: float = 0.0


IDLE = Load(0, 0)


class Queue(msgspec.Struct, frozen=True, array_like=True):
    """One gateway's queue of the engine's model, for autoscaling: requests that wait, seconds of the oldest since there is an
    engine, tokens of their prompts and completions as guessed, and of all that ever came. A gateway tells one engine at a time:
    nothing counts twice.
    """

    gateway: str
    requests: int
    oldest_s: float
    prompt: float
    completion: float
    came_prompt: float
    came_completion: float


class EngineCard(msgspec.Struct, frozen=True):
    """What an engine replica publishes through Serve: where it is, who it is, and what it worked out at start.

    `fingerprint` hashes tokenizer and model configuration: a gateway whose own files differ refuses the engine.
    """

    engine_id: str
    model: str
    address: str
    server_key: str
    protocol: int
    vllm_version: str
    fingerprint: str
    max_model_len: int
    block_size: int
    max_num_seqs: int
    kv_tokens: int
    format: str
    pid: int

    def as_metadata(self) -> dict[str, Any]:
        return msgspec.to_builtins(self)  # type: ignore[no-any-return]

    @classmethod
    def from_metadata(cls, metadata: dict[str, Any]) -> "EngineCard":
        """Raises msgspec.ValidationError on a card of another version's shape."""
        return msgspec.convert(metadata, cls)


class GatewayCard(msgspec.Struct, frozen=True):
    """What a gateway replica publishes: the public key that engines may let in, and where its management port is."""

    gateway_id: str
    public_key: str
    management: str

    def as_metadata(self) -> dict[str, Any]:
        return msgspec.to_builtins(self)  # type: ignore[no-any-return]

    @classmethod
    def from_metadata(cls, metadata: dict[str, Any]) -> "GatewayCard":
        return msgspec.convert(metadata, cls)
