"""Are Sluice's greedy answers bare vLLM's answers?"""

from collections.abc import Sequence

from loadtests.bench.results import Equality

EXAMPLES = 3


def compare(where: str, ours: Sequence[str], theirs: Sequence[str]) -> Equality:
    """Both sides answered the same prompts in the same order."""
    different = [(mine, yours) for mine, yours in zip(ours, theirs, strict=True) if mine != yours]
    return Equality(where, len(ours), len(different), different[:EXAMPLES])


def together(where: str, parts: Sequence[Equality]) -> Equality:
    examples = [example for part in parts for example in part.examples]
    compared, different = (sum(getattr(part, name) for part in parts) for name in ("compared", "different"))
    return Equality(where, compared, different, examples[:EXAMPLES])
