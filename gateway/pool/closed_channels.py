"""Engine settings that would reopen a channel which the gateway's surface closes: a model that has one is not served."""

from typing import Any, Final

from gateway.errors import ConfigError

MOST_LOGPROBS: Final = 20


def check_closed(model: str, model_config: Any, *, prompt_token_details: bool = False) -> None:
    """`model_config` is vLLM's. Raises ConfigError, which stops the start."""
    reasons = []
    if not str(model_config.logprobs_mode).startswith("raw_"):
        reasons.append(f"logprobs_mode {model_config.logprobs_mode}: logprobs must not show what a logit bias does")
    if not 0 <= model_config.max_logprobs <= MOST_LOGPROBS:
        reasons.append(f"max_logprobs {model_config.max_logprobs}: at most {MOST_LOGPROBS}, and never all of them")
    if prompt_token_details:
        reasons.append("enable_prompt_tokens_details: it tells what other requests left in the prefix cache")
    if reasons:
        raise ConfigError(None, f"models.{model}", "refused, it would leak: " + "; ".join(reasons))
