"""What a request's body asks of the channels that leak: read off fields, deterministic, a few dictionary look-ups.

Logprobs tell numbers; a bias, a constraint or a repeated seed chooses what they are told of. Either alone is of use to
honest clients, both together are what algebraic attacks are made of (Carlini et al. 2024): so both together are refused.

What moves chosen tokens' logits is a bias by whatever name. `stop_token_ids` are masked until `min_tokens` have come: a ban
list. `repetition_penalty` scales the logits of all that the prompt says. `presence_penalty` and `frequency_penalty` reach
only what this answer has already said, which a client steers for about one token of it.

Tools that the model may call or not are text in the prompt. They become a grammar, by which vLLM masks the logits before it
takes logprobs of them, where one of them is strict or only one call may be made; with some parsers always (`bound`).

`min_p` and `top_p` cut off tokens at a probability, and a cut that moves tells logits by halving: `z_i - z_max >= T ln min_p`
decides whether a token is ever seen. The temperature moves it as well, so a coarse grid of one of them would hold nobody up.
What tells is how many different cuts are tried at one place: see `setting`.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

LIMITS: Final = ("max_completion_tokens", "max_tokens", "max_output_tokens")
PENALTIES: Final = ("presence_penalty", "frequency_penalty")
GREEDY: Final = 1e-5
"""Below this temperature vLLM takes the largest logit, whatever else is asked."""
LOGPROBS_INCLUDED: Final = "message.output_text.logprobs"


class Ask(NamedTuple):
    """`scalars` logprobs at each position; `bias` token ids that are pushed or banned; `moved`: the field that does it, or
    that moves the logits of the prompt's tokens; `constraint`: the field that holds the answer to a choice, grammar, schema or
    tool; `penalty`: the one that moves what the answer has said; `setting`: where the client cuts the distribution off, None if
    it does not; `searching`: that this is one cut more than its account may try for nothing; `limit`: the most tokens of one
    answer, None if the request names none.
    """

    scalars: int = 0
    bias: tuple[int, ...] = ()
    moved: str | None = None
    constraint: str | None = None
    penalty: str | None = None
    seed: bool = False
    setting: str | None = None
    searching: bool = False
    limit: int | None = None

    @property
    def leaks(self) -> bool:
        return bool(self.scalars or self.moved or self.constraint or self.penalty or self.searching)


NOTHING: Final = Ask()


def ask_of(body: Mapping[str, Any], *, bound: bool = False, cuts: bool = False) -> Ask:
    """Of an admitted body, of any route. `bound`: the model's parser makes a grammar of whatever tools a request names; `cuts`:
    the model's own defaults cut off, where a request does not say.
    """
    limit = next((body[name] for name in LIMITS if type(body.get(name)) is int), None)
    moved = next((name for name, moves in _MOVES.items() if moves(body)), None)
    banned = body["stop_token_ids"] if _bans(body) else ()
    return Ask(
        scalars=_scalars(body),
        bias=tuple(int(token) for token in (*(body.get("logit_bias") or ()), *banned)),
        moved=moved,
        constraint=_constraint(body) or _held_calls(body, bound),
        penalty=next((name for name in PENALTIES if body.get(name)), None),
        seed=body.get("seed") is not None,
        setting=_setting(body, cuts),
        limit=limit,
    )


def conflict(ask: Ask) -> str | None:
    """The field that may not go with logprobs."""
    if not ask.scalars:
        return None
    return ask.moved or ask.constraint or ask.penalty or ("seed" if ask.seed else None)


def without_logprobs(body: dict[str, Any]) -> None:
    """Takes back what asks for logprobs; an answer without them is what a client gets that asked for none."""
    for name in ("logprobs", "top_logprobs"):
        body.pop(name, None)
    include = body.get("include")
    if isinstance(include, list):
        body["include"] = [item for item in include if item != LOGPROBS_INCLUDED]


def _bans(body: Mapping[str, Any]) -> bool:
    return bool(body.get("min_tokens") and body.get("stop_token_ids"))


_MOVES: Final[Mapping[str, Callable[[Mapping[str, Any]], bool]]] = {
    "logit_bias": lambda body: bool(body.get("logit_bias")),
    "stop_token_ids": _bans,
    "repetition_penalty": lambda body: body.get("repetition_penalty") not in (None, 1),
}


def _scalars(body: Mapping[str, Any]) -> int:
    """The chosen token's own, and each alternative's."""
    asked = body.get("logprobs")
    if asked is True or LOGPROBS_INCLUDED in (body.get("include") or ()):
        return 1 + int(body.get("top_logprobs") or 0)
    if type(asked) is int:
        return 1 + asked
    # Without its switch the number has no effect in vLLM; counted, it can never come to have one unseen.
    return int(body.get("top_logprobs") or 0)


def _setting(body: Mapping[str, Any], cuts: bool) -> str | None:
    """A request that names nothing is cut off where the model says, which tells no client anything."""
    asked = temperature, _, top_p, min_p = [body.get(name) for name in ("temperature", "top_k", "top_p", "min_p")]
    if temperature is not None and temperature < GREEDY:
        return None
    of_its_own = min_p or (top_p is not None and top_p < 1)
    moved = cuts and (top_p is None or min_p is None) and any(value is not None for value in asked)
    return "/".join("" if value is None else repr(float(value)) for value in asked) if of_its_own or moved else None


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
    return None


def _held_calls(body: Mapping[str, Any], bound: bool) -> str | None:
    """The field that makes a grammar of the tools; `tests/contracts/test_tool_grammars.py` holds it against vLLM."""
    choice, tools = body.get("tool_choice"), body.get("tools")
    kind, single = choice, body.get("parallel_tool_calls") is False
    if isinstance(choice, Mapping):
        kind, single = choice.get("type"), bool(choice.get("disable_parallel_tool_use"))
    if kind not in (None, "auto"):
        return None if kind == "none" else "tool_choice"
    if not tools:
        return None
    if bound or any((tool.get("function") or tool).get("strict") for tool in tools):
        return "tools"
    if single:
        return "tool_choice" if isinstance(choice, Mapping) else "parallel_tool_calls"
    return None
