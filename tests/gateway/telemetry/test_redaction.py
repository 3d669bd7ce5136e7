"""What must not be in a trace even when its operator asked for prompts."""

import pytest

from gateway.telemetry.redaction import luhn, redacted


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
        ("password: hunter22!", "[key]"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\nend", "[key]\nend"),
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
        "skill-based matchmaking",
    ],
)
def test_what_is_not_is_left(text: str) -> None:
    assert redacted(text) == text


def test_the_check_digit_decides_what_is_a_card() -> None:
    assert luhn([int(digit) for digit in "4111111111111111"])
    assert not luhn([int(digit) for digit in "4111111111111112"])
    assert redacted("4111111111111112") == "4111111111111112"
