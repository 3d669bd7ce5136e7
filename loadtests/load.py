"""What a load generator process is told, and what it answers."""

import msgspec


class Job(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Closed loop: `streams` connections share one request per prompt, each taking the next one when it is free."""

    host: str
    port: int
    model: str
    prompts: list[str]
    streams: int
    max_tokens: int
    key: str = ""
    timeout_s: float = 120.0


class Load(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`seconds` runs from the first request sent to the last stream's end; `cpu_s` is the generator's own use meanwhile.

    `token_events` below `tokens` means that some events carried several tokens. `texts[i]` answers prompt i.
    """

    seconds: float
    cpu_s: float
    completed: int
    tokens: int
    token_events: int
    ttft_s: list[float]
    gaps_s: list[float]
    texts: list[str]
    problems: list[str]

    @property
    def requests_per_s(self) -> float:
        return self.completed / self.seconds

    @property
    def tokens_per_s(self) -> float:
        return self.tokens / self.seconds
