"""What a request's body asks of the channels that leak: read off fields, deterministic, a few dictionary look-ups.

Logprobs tell numbers; a bias, a constraint or a repeated seed chooses what they are told of. Either alone is of use to
honest clients, both together are what algebraic attacks are made of (Carlini et al. 2024): so both together are refused.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

LIMITS: Final = ("max_completion_tokens", "max_tokens", "max_output_tokens")
LOGPROBS_INCLUDED: Final = "message.output_text.logprobs"


class Ask(NamedTuple):
    """`scalars` logprobs at each position; `bias` token ids of a logit bias; `constraint`: the field that holds the answer
    to a choice, grammar, schema or tool; `limit`: the most tokens of one answer, None if the request names none.
    """

    scalars: int = 0
    bias: tuple[int, ...] = ()
    constraint: str | None = None
    seed: bool = False
    limit: int | None = None

    @property
    def leaks(self) -> bool:
        return bool(self.scalars or self.bias or self.constraint)


NOTHING: Final = Ask()


def ask_of(body: Mapping[str, Any]) -> Ask:
    """Of an admitted body, of any route."""
    limit = next((body[name] for name in LIMITS if type(body.get(name)) is int), None)
    bias = body.get("logit_bias") or ()
    return Ask(
        scalars=_scalars(body),
        bias=tuple(int(token) for token in bias),
        constraint=_constraint(body),
        seed=body.get("seed") is not None,
        limit=limit,
    )


def conflict(ask: Ask) -> str | None:
    """The field that may not go with logprobs."""
    if not ask.scalars:
        return None
    if ask.bias:
        return "logit_bias"
    return ask.constraint or ("seed" if ask.seed else None)


def without_logprobs(body: dict[str, Any]) -> None:
    """Takes back what asks for logprobs; an answer without them is what a client gets that asked for none."""
    for name in ("logprobs", "top_logprobs"):
        body.pop(name, None)
    include = body.get("include")
    if isinstance(include, list):
        body["include"] = [item for item in include if item != LOGPROBS_INCLUDED]


def _scalars(body: Mapping[str, Any]) -> int:
    """The chosen token's own, and each alternative's."""
    asked = body.get("logprobs")
    if asked is True or LOGPROBS_INCLUDED in (body.get("include") or ()):
        return 1 + int(body.get("top_logprobs") or 0)
    if type(asked) is int:
        return 1 + asked
    # Without its switch the number has no effect in vLLM; counted, it can never come to have one unseen.
    return int(body.get("top_logprobs") or 0)


def _constraint(body: Mapping[str, Any]) -> str | None:
    if body.get("structured_outputs"):
        return "structured_outputs"
    shape = body.get("response_format")
    if isinstance(shape, Mapping) and shape.get("type") != "text":
        return "response_format"
    text = body.get("text")
    shape = text.get("format") if isinstance(text, Mapping) else None
    if isinstance(shape, Mapping) and shape.get("type") != "text":
        return "text.format"
    output = body.get("output_config")
    if isinstance(output, Mapping) and output.get("format"):
        return "output_config.format"
    choice = body.get("tool_choice")
    kind = choice.get("type") if isinstance(choice, Mapping) else choice
    return "tool_choice" if kind not in (None, "auto", "none") else None
