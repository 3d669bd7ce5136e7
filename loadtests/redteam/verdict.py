"""Whether an attack that failed was stopped, or only broke: an outage is no defence."""

from collections.abc import Collection

THROTTLED = "429 rate_limit_exceeded"
UNKNOWN_FIELD = "400 unknown_parameter"
BEYOND = "400 unsupported_value"
MALFORMED = "400 invalid_request_error"
EXCLUDED = "400 logprobs_with_constraint"
SPENT = "403 leak_budget_spent"
UNVERIFIED = "403 verification_required"
QUARANTINED = "403 quarantined"
OF_A_LEVEL = frozenset({THROTTLED, UNVERIFIED, QUARANTINED})


def unclear(stops: Collection[str], refusals: Collection[str], *, ended: bool) -> str:
    """Why the failure of an attack proves nothing; empty if it does.

    It proves something if every refusal since the attack took its last way is one of `stops` (status and code; a lost connection
    has neither), and if the attack was refused at all or has `ended`: has spent what it meant to, and measured that it failed.
    """
    strange = sorted(reason for reason in refusals if reason not in stops)
    if strange:
        return f"no declared refusal: {', '.join(strange)}"
    return "" if ended or refusals else "neither refused nor at its end"
