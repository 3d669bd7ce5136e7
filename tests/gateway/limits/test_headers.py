"""The headers that OpenAI's clients read."""

import pytest

from gateway.limits.headers import State, duration, limit_headers


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0ms"),
        (0.0171, "18ms"),
        (0.9991, "1s"),
        (1, "1s"),
        (8.64, "8.64s"),
        (60, "1m0s"),
        (359.9999, "6m0s"),
        (90.5, "1m30.5s"),
        (3600, "1h0m0s"),
        (86_400, "24h0m0s"),
    ],
)
def test_durations_are_written_as_openai_writes_them(seconds, text):
    assert duration(seconds) == text


def test_requests_and_tokens_are_told_apart():
    assert dict(limit_headers(State(60, 59, 1.0), State(150_000, 149_984, 0.006))) == {
        b"x-ratelimit-limit-requests": b"60",
        b"x-ratelimit-remaining-requests": b"59",
        b"x-ratelimit-reset-requests": b"1s",
        b"x-ratelimit-limit-tokens": b"150000",
        b"x-ratelimit-remaining-tokens": b"149984",
        b"x-ratelimit-reset-tokens": b"6ms",
    }


def test_what_is_not_limited_is_not_told():
    assert limit_headers(None, None) == []


def test_nothing_is_left_of_what_was_overdrawn_and_a_lifetime_has_no_reset():
    assert dict(limit_headers(None, State(100, -50, None))) == {
        b"x-ratelimit-limit-tokens": b"100",
        b"x-ratelimit-remaining-tokens": b"0",
    }
