"""What must not be in a trace even when its operator asked for prompts."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.telemetry.redaction import MARGIN, luhn, redacted, redacted_leaves, redacted_start

PGP = "PGP PRIVATE KEY BLOCK"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("write to ada.lovelace+test@mail.example.org, please", "write to [email], please"),
        ("card 4111 1111 1111 1111.", "card [card]."),
        ("5500-0000-0000-0004", "[card]"),
        ("378282246310005", "[card]"),
        ("call +49 30 901820 today", "call [phone] today"),
        ("(555) 010-9999", "[phone]"),
        ("0171 1234567", "[phone]"),
        ("sk-sluice-abcdefgh-0123456789abcdefghijklmnopqrstuvwxyzABCDEFG", "[key]"),
        ("sk-proj-0123456789abcdefghij", "[key]"),
        ("ghp_0123456789abcdefghijABCDEFGHIJ012345", "[key]"),
        ("AKIAIOSFODNN7EXAMPLE", "[key]"),
        ("Authorization: Bearer abcdefghijklmnop0123", "Authorization: Bearer [key]"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc_def-ghi", "[key]"),
        ("session-eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc_def-ghi!", "[key]!"),
        ("eyJa-eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc_def-ghi", "[key]"),
        ("0171 1234567_", "[phone]_"),
        ("password: hunter22!", "[key]"),
        ("card 4111 1111 1111 1111 12/27", "card [card] 12/27"),
        ("my card:\n4111111111111111", "my card:\n[card]"),
        ("4111_1111_1111_1111", "[card]"),
        ("4111\u00a01111\u00a01111\u00a01111", "[card]"),
        ("4111\n1111\n1111\n1111", "[card]"),
        (r"card:\n4111111111111111", r"card:\n[card]"),
        ("41111111111111111227", "[card]"),
        ("call 2125550123 or 12125550123", "call [phone] or [phone]"),
        ("555\u00a0010\u00a09999", "[phone]"),
        ("212 555 0123 212 555 0124", "[phone]"),
        ("AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "AWS_SECRET_ACCESS[key]"),
        ("Authorization: Basic dXNlcjpwYXNzd29yZA==", "Authorization: Basic [key]"),
        ("postgres://app:hunter22@db/main", "postgres://[key]@db/main"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\nend", "[key]\nend"),
        (f"-----BEGIN {PGP}-----\nVersion: 1\n\nlQOYBF\n-----END {PGP}-----\nend", "[key]\nend"),
    ],
)
def test_what_is_private_is_taken_out(text: str, left: str) -> None:
    assert redacted(text) == left


@pytest.mark.parametrize(
    "text",
    [
        "What is 1234 plus 5678?",
        "In 1969, 600 million people watched.",
        "4111 1111 1111 1112 is 16 digits long"[19:],
        "version 3.11.4",
        "a@b",
        "1000000",
        "at 1700000000 seconds",
        "the key: bananas and monkeys",
        "skill-based matchmaking",
    ],
)
def test_what_is_not_is_left(text: str) -> None:
    assert redacted(text) == text


def test_the_check_digit_decides_what_is_a_card() -> None:
    assert luhn([int(digit) for digit in "4111111111111111"])
    assert not luhn([int(digit) for digit in "4111111111111112"])
    assert redacted("4111111111111112") == "4111111111111112"


@st.composite
def cards(draw: st.DrawFn) -> str:
    """Of any length, in groups, with the check digit that it must have."""
    digits = draw(st.lists(st.integers(0, 9), min_size=11, max_size=18))
    digits.append(next(check for check in range(10) if luhn([*digits, check])))
    size, between = draw(st.integers(3, 6)), draw(st.sampled_from(["", " ", "-", "_", "\u00a0", "\n", " - ", "."]))
    number = "".join(map(str, digits))
    return between.join(number[place : place + size] for place in range(0, len(number), size))


@given(cards(), *[st.sampled_from(["", "7 ", "12/27 ", "2024-", "n:", "card", "x\n", "1 2 3 4 5 6 7 8 9 0 "])] * 2)
def test_no_digits_beside_a_card_hide_it(card: str, before: str, after: str) -> None:
    after = after[::-1]
    assert card not in redacted(f"{before}{card}{after}")


@settings(max_examples=25)
@given(st.recursive(cards(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.just("text"), inner)))
def test_a_card_in_any_part_of_a_structure_is_taken_out(value: object) -> None:
    def leaves(value: object) -> list[object]:
        match value:
            case dict():
                return [leaf for item in value.values() for leaf in leaves(item)]
            case list():
                return [leaf for item in value for leaf in leaves(item)]
            case _:
                return [value]

    assert set(map(str, leaves(redacted_leaves(value)))) <= {"[card]"}


def test_numbers_and_named_secrets_of_a_structure_are_redacted() -> None:
    value = {"card": 4111111111111111, "n": 5, "on": True, "api_key": "abc", "max_tokens": 100_000, "none": None}
    assert redacted_leaves(value) == value | {"card": "[card]", "api_key": "[key]"}


@pytest.mark.parametrize("secret", [12345678, 0.5, ["abcdefgh1234"], {"value": "abc"}, [[7]]])
def test_what_a_secrets_name_is_given_to_goes_whatever_it_is(secret: object) -> None:
    assert redacted_leaves({"a": [{"password": secret}]}) == {"a": [{"password": "[key]"}]}


@pytest.mark.parametrize("empty", [None, True, False])
def test_whether_there_is_a_secret_is_none(empty: object) -> None:
    assert redacted_leaves({"password": empty}) == {"password": empty}


@pytest.mark.parametrize(
    "secret",
    ["4111 1111 1111 1111", "ada@example.org", "sk-proj-0123456789abcdefghij", f"eyJ{'h' * 20}.{'p' * 9000}.s"],
)
@pytest.mark.parametrize("cards", [0, 160])
def test_no_part_of_a_secret_is_left_where_a_text_is_cut(secret: str, cards: int) -> None:
    """However much shorter the redaction has made the text before it."""
    most = 2000
    for place in range(most + MARGIN - len(secret[:40]), most + MARGIN + 2, 3):
        before = "4111111111111111; " * cards
        told = redacted_start(before + "." * (place - len(before)) + " " + secret + " " + "x" * 99, most)
        assert len(told) <= most + 1
        assert told.endswith("…")
        assert not any(secret[:size] in told for size in (4, len(secret)))


PIECES = (
    "a",
    "1",
    "1 ",
    "1_ ",
    "sk-___ ",
    "a@",
    "x=",
    "-----BEGIN PRIVATE KEY-----",
    "+1 (",
    "://",
    "-eyJaaaaaaaa",
    "-eyJa.",
)


@pytest.mark.parametrize("piece", PIECES)
def test_the_longest_texts_take_time_in_proportion(piece: str) -> None:
    """Each of these took quadratic time in some pattern; a hundred thousand characters are a whole prompt."""
    text = piece * (100_000 // len(piece))
    begun = time.process_time()
    redacted(text)
    assert time.process_time() - begun < 1.5
