"""All attacks, in the order in which they are tried."""

from collections.abc import Mapping
from functools import partial

from loadtests.redteam import (
    bias,
    cache,
    cuts,
    elicitation,
    harvest,
    penalty,
    projection,
    race,
    sampling,
    surface,
    tools,
)
from loadtests.redteam.attack import CONTROL, EXPLOIT, Attack, Expected, Mode
from loadtests.redteam.verdict import BEYOND, EXCLUDED, MALFORMED, OF_A_LEVEL, SPENT, THROTTLED, UNKNOWN_FIELD

OF_THE_LIMITS: Mapping[Mode, Expected] = {**EXPLOIT, Mode.OPEN: Expected.FAILS}
"""Token budgets are no part of the guard: they hold without it."""

UNKNOWN, EXCLUSION, BUDGET = frozenset({UNKNOWN_FIELD}), frozenset({EXCLUDED}), frozenset({SPENT})

ATTACKS = (
    Attack("R1", "hidden size from chosen logprobs", projection.steal_hidden_size, EXPLOIT, UNKNOWN),
    Attack("R2", "output projection from chosen logprobs", projection.steal_projection, EXPLOIT, UNKNOWN),
    Attack("R3", "projection through biased logprobs (control)", bias.steal_by_biased_logprobs, CONTROL, EXCLUSION),
    Attack("R3f", "hidden size from forced tokens' logprobs", bias.steal_by_forced_tokens, EXPLOIT, EXCLUSION),
    Attack("R3c", "hidden size from a strict tool's logprobs", tools.steal_by_strict_tools, EXPLOIT, EXCLUSION),
    Attack("R3s", "hidden size from bans' logprobs", penalty.steal_by_bans, EXPLOIT, EXCLUSION),
    Attack("R3t", "ratios of logits by halving a penalty", penalty.steal_by_penalties, EXPLOIT, BUDGET),
    Attack("R4", "logits by halving a bias", bias.steal_by_halving, EXPLOIT, BUDGET, slow=True),
    Attack("R4m", "logits by halving min_p", cuts.steal_by_cuts, EXPLOIT, BUDGET),
    Attack("R5", "soft labels from samples", sampling.steal_soft_labels, EXPLOIT, BUDGET),
    Attack("R5s", "distances of logits from chosen seeds", cuts.steal_by_seeds, EXPLOIT),
    Attack("R7", "fast template harvest, trained student", harvest.distil, EXPLOIT, OF_A_LEVEL, "library", slow=True),
    Attack("R9a", "probing with edited jailbreaks", elicitation.probe, EXPLOIT, OF_A_LEVEL, "demo"),
    Attack("R9b", "reasoning elicitation", elicitation.elicit, EXPLOIT, OF_A_LEVEL, "demo"),
    Attack("R9c", "histories from elsewhere", elicitation.replay, EXPLOIT, OF_A_LEVEL, "demo"),
    Attack(
        "R9d",
        "R9a in system messages",
        partial(elicitation.probe, place=elicitation.in_system),
        EXPLOIT,
        OF_A_LEVEL,
        "demo",
    ),
    Attack(
        "R9e",
        "R9b in system messages",
        partial(elicitation.elicit, place=elicitation.in_system),
        EXPLOIT,
        OF_A_LEVEL,
        "demo",
    ),
    Attack(
        "R9f", "R9a as token ids", partial(elicitation.probe, place=elicitation.as_ids), EXPLOIT, OF_A_LEVEL, "demo"
    ),
    Attack(
        "R9g", "R9b as token ids", partial(elicitation.elicit, place=elicitation.as_ids), EXPLOIT, OF_A_LEVEL, "demo"
    ),
    Attack("R12", "another tenant's secret in the cache", cache.find_secret, EXPLOIT, model="demo"),
    Attack("R13", "fields and routes beyond the API", surface.fuzz, EXPLOIT, UNKNOWN | {BEYOND, MALFORMED}, "demo"),
    Attack("R14", "racing a token budget", race.overrun, OF_THE_LIMITS, frozenset({THROTTLED}), "demo", tier="race"),
)
PROCESSED = Attack(
    "R3p", "R3 where logprobs are taken after the bias", bias.steal_by_biased_logprobs, {Mode.BARE: Expected.WINS}
)
"""Against vLLM with --logprobs-mode processed_logprobs, which Sluice refuses to start with: R3 must win somewhere."""
