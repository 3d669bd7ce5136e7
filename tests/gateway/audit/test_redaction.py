"""Nothing that identifies a client, and nothing that a client wrote, can be read in the trail."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.audit.record import Event
from gateway.audit.redaction import MAX_ITEMS, PLAIN, pseudonym, redacted
from tests.gateway.audit.conftest import Trail

KEY = bytes(range(32))


def test_words_and_numbers_under_plain_names_can_be_read():
    fields = {"reason": "unknown_key", "status": 401, "score": 0.5, "limit": None, "model": "org/Model-7B:v1.2"}
    assert redacted(KEY, fields) == fields


@given(st.sampled_from(sorted(PLAIN)), st.text(min_size=1).filter(lambda text: " " in text or not text.isascii()))
def test_prose_is_hashed_under_any_name(name, prose):
    assert redacted(KEY, {name: prose}) == {name: pseudonym(KEY, name, prose)}


@given(st.text().filter(lambda name: name not in PLAIN), st.text(min_size=1) | st.integers() | st.floats())
def test_what_nobody_declared_plain_is_hashed(name, value):
    assert redacted(KEY, {name: value}) == {name: pseudonym(KEY, name, str(value))}


@pytest.mark.parametrize("name", ["key", "tenant", "address", "cluster", "user", "prompt", "body"])
def test_what_identifies_a_client_or_is_its_text_is_never_plain(name):
    assert name not in PLAIN


def test_the_same_client_can_be_recognised_and_fields_cannot_be_compared():
    assert pseudonym(KEY, "key", "k1") == pseudonym(KEY, "key", "k1")
    assert pseudonym(KEY, "key", "k1") != pseudonym(KEY, "tenant", "k1")
    assert pseudonym(KEY, "key", "k1") != pseudonym(bytes(32), "key", "k1")


def test_lists_are_redacted_item_by_item_and_bounded():
    shown = redacted(KEY, {"scopes": ("inference", "two words"), "engines": ["e"] * 1000})
    assert shown["scopes"] == ["inference", pseudonym(KEY, "scopes", "two words")]
    assert len(shown["engines"]) == MAX_ITEMS


def test_numbers_that_json_cannot_carry_are_hashed():
    assert redacted(KEY, {"count": 2**63}) == {"count": pseudonym(KEY, "count", str(2**63))}


def test_no_line_of_the_trail_holds_what_was_redacted(trail: Trail):
    log = trail.open()
    log.submit(Event.AUTH_FAILED, key="abcdefgh", tenant="acme", address="192.0.2.7", reason="tell me a secret").result(
        10
    )
    raw = b"".join(path.read_bytes() for path in trail.files())
    assert not [word for word in (b"abcdefgh", b"acme", b"192.0.2.7", b"secret") if word in raw]
    assert log.pseudonym("tenant", "acme").encode() in raw


@given(
    st.dictionaries(
        st.text(max_size=5), st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.binary()
    )
)
def test_any_fields_make_a_record(fields):
    assert set(redacted(KEY, fields)) == set(fields)
