"""Takes out of a text what should never be in a trace: addresses, telephone and card numbers, keys. Pure.

It errs on the side of taking too much. It knows forms, not meanings: a name or a street stays.
"""

import re
from typing import Final

EMAIL: Final = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]+@[\w-]+(?:\.[\w-]+)+")
KEY: Final = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"
    r"|\b(?:sk|pk|rk)[-_](?:[\w]+[-_])*[\w-]{16,}"
    r"|\b(?:gh[opsru]_|github_pat_|xox[abprs]-|glpat-|hf_|AKIA|ASIA|AIza|ya29\.)[\w./+-]{12,}"
    r"|(?i:(?<=bearer )[\w.~+/-]{16,}=*)"
    r"|(?i:(?:api[_-]?key|secret|token|passw(?:or)?d)[\"']?\s*[:=]\s*[\"']?)[^\s\"',;]{6,}",
    re.DOTALL,
)
DIGITS: Final = re.compile(r"(?<![\w.])\+?\(?\d(?:[ \-./()]{0,2}\d){6,22}(?!\w)")
CARD_DIGITS: Final = range(12, 20)
PHONE_DIGITS: Final = range(7, 16)


def redacted(text: str) -> str:
    """With `[email]`, `[key]`, `[card]` and `[phone]` where those were."""
    text = KEY.sub("[key]", text)
    text = EMAIL.sub("[email]", text)
    return DIGITS.sub(_number, text)


def _number(found: re.Match[str]) -> str:
    digits = [int(character) for character in found[0] if character.isdigit()]
    if len(digits) in CARD_DIGITS and luhn(digits):
        return "[card]"
    if len(digits) in PHONE_DIGITS and (found[0][0] in "+(0" or re.search(r"\d[ \-./()]+\d", found[0])):
        return "[phone]"
    return found[0]


def luhn(digits: list[int]) -> bool:
    """ISO/IEC 7812-1: every second digit from the right doubled, its own digits summed; all of it divisible by ten."""
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
