"""Sums and differences of numbers below 100, and small products."""

from random import Random

from deployments.demo_model.dialogue import Exchange, Split, ask, draw

_SUM = ("What is {} + {}?", "{} + {}", "{}+{}", "{} + {} =", "{}+{}=?", "Calculate {} + {}.", "Compute {}+{}.",
        "What is {} plus {}?", "How much is {} + {}?", "Add {} and {}.", "What is the sum of {} and {}?",
        "{} plus {}?")  # fmt: skip
_DIFFERENCE = ("What is {} - {}?", "{} - {}", "{}-{}", "{} - {} =", "Calculate {} - {}.", "Compute {}-{}.",
               "What is {} minus {}?", "How much is {} - {}?", "{} minus {}?")  # fmt: skip
_PRODUCT = ("What is {} x {}?", "{} x {}", "What is {} times {}?", "{} * {}", "{} times {}?", "Multiply {} by {}.")
_BARE = ("{} Answer with the number only.", "{} Just the number.", "{} Only the number, please.")


def addends(rng: Random, split: Split) -> tuple[int, int]:
    """Two numbers below 100, most of two digits. Held out are pairs in either order."""
    low = 10 if rng.random() < 0.8 else 0

    def pair() -> tuple[str, int, int]:
        small, large = sorted((rng.randint(low, 99), rng.randint(low, 99)))
        return "sum", small, large

    _, small, large = draw(split, pair)
    return (small, large) if rng.random() < 0.5 else (large, small)


def _phrase(rng: Random, forms: tuple[str, ...], sign: str, a: int, b: int, result: int) -> Exchange:
    question = rng.choice(forms).format(a, b)
    if question[-1] in "?." and rng.random() < 0.25:
        return ask(rng.choice(_BARE).format(question), str(result))
    return ask(question, f"{a} {sign} {b} = {result}")


def addition(rng: Random, split: Split) -> Exchange:
    """A sum; `a + b = c`, or the bare number on request."""
    a, b = addends(rng, split)
    return _phrase(rng, _SUM, "+", a, b, a + b)


def subtraction(rng: Random, split: Split) -> Exchange:
    """A difference, one in ten of them negative. Held out are pairs in either order."""
    small, large = addends(rng, split)
    small, large = sorted((small, large))
    a, b = (small, large) if rng.random() < 0.1 else (large, small)
    return _phrase(rng, _DIFFERENCE, "-", a, b, a - b)


def multiplication(rng: Random, split: Split) -> Exchange:
    """A product from the small table. Held out is the wording, for there are too few pairs to spare any."""
    _, form, a, b = draw(
        split, lambda: ("product", rng.randrange(len(_PRODUCT)), rng.randint(1, 10), rng.randint(1, 10))
    )
    return _phrase(rng, (_PRODUCT[int(form)],), "x", int(a), int(b), int(a) * int(b))
