"""Takes out of a text what should never be in a trace: addresses, telephone and card numbers, keys. Pure.

It errs on the side of taking too much. It knows forms, not meanings: a name or a street stays.
"""

import itertools
import re
from collections.abc import Iterator
from typing import Any, Final

EMAIL: Final = re.compile(r"(?<![\w.!#$%&'*+/=?^`{|}~-])[\w.!#$%&'*+/=?^`{|}~-]+@[\w-]+(?:\.[\w-]+)+")
NAMED: Final = r"(?:[_-]key|api[_-]?key|secret|token|passw(?:or)?d|passphrase|credential)"
KEY: Final = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z ]*PRIVATE KEY(?: BLOCK)?-----|\Z)"
    r"|(?<![\w-])(?=[\w-]++\.[\w-]{8,}+(?:\.|\Z))[\w-]*?\beyJ[\w-]{8,}+\.[\w-]++(?:\.[\w-]*+)?"
    r"|\b(?:sk|pk|rk)[-_][\w-]{16,}"
    r"|\b(?:gh[opsru]_|github_pat_|xox[abprs]-|glpat-|hf_|AKIA|ASIA|AIza|ya29\.)[\w./+-]{12,}"
    r"|(?i:(?<=bearer )[\w.~+/-]{16,}=*)"
    r"|(?i:(?<=basic )[\w+/-]{12,}=*)"
    r"|(?<=://)[^\s/:@]{0,64}:[^\s/@]{1,128}(?=@)"
    rf"|(?i:{NAMED}[\"']?\s*[:=]\s*[\"']?)[^\s\"',;]{{6,}}",
    re.DOTALL,
)
"""A web token's whole run of characters goes, from where it begins: to try it after every hyphen takes quadratic time."""
ENDS_AS_NAMED: Final = re.compile(rf"(?i:{NAMED}\Z)")
BETWEEN: Final = r"[\s._/\-\u00ad\u200b-\u200d\u2010-\u2015\u2060]{0,3}"
"""What people and programs put between the groups of a card's number."""
LONG_RUN: Final = re.compile(rf"\d(?:{BETWEEN}\d){{11,}}")
GROUP: Final = re.compile(r"\d+")
CARD_DIGITS: Final = range(12, 20)
PHONE: Final = re.compile(r"(?<![\w.])\+?\(?\d(?:[ \t\u00a0\u202f\-./()_]{0,2}\d){6,}(?![^\W_])")
"""`_` parts groups and does not continue a word: a text of digits between such would be tried from every one of them."""
PARTED: Final = re.compile(r"\d[^\d]+\d")
MARGIN: Final = 1024
"""No secret of a known form is longer, but for those whose beginning is enough to know them."""
NORTH_AMERICAN: Final = re.compile(r"1?[2-9]\d\d[2-9]\d{6}")


def redacted(text: str) -> str:
    """With `[email]`, `[key]`, `[card]` and `[phone]` where those were. Takes time in proportion to the text."""
    text = KEY.sub("[key]", text)
    text = EMAIL.sub("[email]", text)
    text = LONG_RUN.sub(_without_cards, text)
    return PHONE.sub(_without_phone, text)


def redacted_start(text: str, most: int) -> str:
    """So many characters and an ellipsis, if there are more. A secret across the cut is taken out whole; the time that it takes
    is bounded too.
    """
    cut = len(text) > most + MARGIN
    told = redacted(text[: most + MARGIN])[:-MARGIN] if cut else redacted(text)
    return told[:most] + "…" if cut or len(told) > most else told


def redacted_leaves(value: Any) -> Any:
    """A JSON-like value whose texts and numbers are redacted one by one, before anything has escaped them; all that an object
    keeps under the name of a secret is one, but for whether there is any.
    """
    match value:
        case str():
            return redacted(value)
        case dict():
            return {
                redacted(str(name)): "[key]" if _is_secret(str(name), item) else redacted_leaves(item)
                for name, item in value.items()
            }
        case list() | tuple():
            return [redacted_leaves(item) for item in value]
        case bool() | None:
            return value
        case _:
            told = redacted(str(value))
            return value if told == str(value) else told


def _is_secret(name: str, item: Any) -> bool:
    return item is not None and not isinstance(item, bool) and ENDS_AS_NAMED.search(name) is not None


def _without_cards(found: re.Match[str]) -> str:
    """Every stretch of whole groups that passes a card's check goes, whatever digits stand beside it; where there is no gap for
    longer than a card's number, a stretch may begin and end anywhere.
    """
    text = found[0]
    places = [place for place, character in enumerate(text) if character.isdigit()]
    kept, after = [], 0
    for begin, end in _cards([int(text[place]) for place in places], _edges(text)):
        kept += [text[after : places[begin]], "[card]"]
        after = places[end - 1] + 1
    return "".join([*kept, text[after:]])


def _edges(text: str) -> tuple[set[int], set[int]]:
    """Where a card's number may begin, and end: counted in digits."""
    begins: set[int] = set()
    ends: set[int] = set()
    at = 0
    for group in GROUP.finditer(text):
        size = len(group[0])
        inner = range(size) if size >= CARD_DIGITS.stop else range(1)
        begins.update(at + place for place in inner)
        ends.update(at + size - place for place in inner)
        at += size
    return begins, ends


def _cards(digits: list[int], edges: tuple[set[int], set[int]]) -> Iterator[tuple[int, int]]:
    """Stretches that pass the check, in order; those that overlap are one."""
    begins, ends = edges
    sums = _luhn_sums(digits)
    begun, over = 0, -1
    for begin in sorted(begins):
        for end in range(begin + CARD_DIGITS.stop - 1, begin + CARD_DIGITS.start - 1, -1):
            if end in ends and (sums[end % 2][end] - sums[end % 2][begin]) % 10 == 0:
                if begin > over:
                    if over > 0:
                        yield begun, over
                    begun = begin
                over = max(over, end)
                break
    if over > 0:
        yield begun, over


def _luhn_sums(digits: list[int]) -> tuple[list[int], list[int]]:
    """Running sums in which the digits at even places were doubled, and those at odd ones: a number that ends before an even
    place has its even places doubled.
    """
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits]
    even = [two if place % 2 == 0 else one for place, (one, two) in enumerate(zip(digits, doubled, strict=True))]
    odd = [two if place % 2 else one for place, (one, two) in enumerate(zip(digits, doubled, strict=True))]
    return [*itertools.accumulate(even, initial=0)], [*itertools.accumulate(odd, initial=0)]


def _without_phone(found: re.Match[str]) -> str:
    number = found[0]
    like = number[0] in "+(0" or PARTED.search(number) or NORTH_AMERICAN.fullmatch(number)
    return "[phone]" if like else number


def luhn(digits: list[int]) -> bool:
    """ISO/IEC 7812-1: every second digit from the right doubled, its own digits summed; all of it divisible by ten."""
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
