"""What a gateway knows of a model before it meets an engine, and which engines it lets serve that model."""

from dataclasses import dataclass

from gateway.pool import wire


@dataclass(frozen=True)
class FrontSpec:
    """What a gateway must know of a model before it meets an engine: whose tokenizer, which parsers."""

    name: str
    path: str
    revision: str | None = None
    tool_parser: str | None = None
    reasoning_parser: str | None = None
    trust_remote_code: bool = False
    sleeps: bool = False
    """It may have no engine at all: the front end is opened without having met one, and its requests wait for one."""
    max_model_len: int | None = None
    """As configured; None: what vLLM takes from the model's own configuration, here as in the engines."""

    def flags(self, max_model_len: int | None) -> list[str]:
        """`vllm serve` flags of the front end; what an engine works out at start is taken from it."""
        flags = ["--model", self.path, "--served-model-name", self.name]
        if max_model_len is not None:
            flags += ["--max-model-len", str(max_model_len)]
        flags += [
            "--disable-log-stats",
            "--disable-fastapi-docs",
            "--enforce-eager",
            "--kv-cache-memory-bytes",
            "1048576",
        ]
        if self.revision:
            flags += ["--revision", self.revision]
        if self.tool_parser:
            flags += ["--enable-auto-tool-choice", "--tool-call-parser", self.tool_parser]
        if self.reasoning_parser:
            flags += ["--reasoning-parser", self.reasoning_parser]
        if self.trust_remote_code:
            flags.append("--trust-remote-code")
        return flags


@dataclass
class Acceptance:
    """Which engines may serve a model here. The first one settles max_model_len for all."""

    spec: FrontSpec
    fingerprint: str
    vllm_version: str
    max_model_len: int | None = None

    def __call__(self, card: wire.EngineCard) -> str | None:
        """Why the engine is refused; None if it is accepted."""
        if card.protocol != wire.PROTOCOL:
            return f"speaks protocol {card.protocol}, this gateway {wire.PROTOCOL}"
        if card.vllm_version != self.vllm_version:
            return f"runs vLLM {card.vllm_version}, this gateway {self.vllm_version}"
        if card.model != self.spec.name:
            return f"serves {card.model}, not {self.spec.name}"
        if card.fingerprint != self.fingerprint:
            return "has another tokenizer or model configuration than this gateway"
        if self.max_model_len not in (None, card.max_model_len):
            return f"has max_model_len {card.max_model_len}, the first engine had {self.max_model_len}"
        self.max_model_len = card.max_model_len
        return None
