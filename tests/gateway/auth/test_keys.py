"""Keys: their shape, what they allow, and where a request carries them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.keys import KeyRecord, Principal, Scope, digest_of, key_id_of, mint, presented_key
from gateway.errors import PermissionDenied

KEY = "sk-sluice-abcdefgh-" + "A" * 43


@given(entropy=st.binary(min_size=37, max_size=37))
def test_a_minted_key_carries_its_id_and_nothing_of_the_digest(entropy: bytes) -> None:
    key_id, plaintext = mint(lambda size: entropy[:size] if size == 5 else entropy[5:])
    assert key_id_of(plaintext) == key_id
    assert len(plaintext) == len(KEY)
    assert digest_of(plaintext).hex() not in plaintext


@given(first=st.binary(min_size=32, max_size=32), second=st.binary(min_size=32, max_size=32))
def test_different_secrets_are_different_keys(first: bytes, second: bytes) -> None:
    keys = [mint(lambda size, secret=secret: secret[:size])[1] for secret in (first, second)]  # type: ignore[misc]
    assert (keys[0] == keys[1]) == (first == second)


@pytest.mark.parametrize(
    "presented",
    [
        "",
        "sk-other-abcdefgh-" + "A" * 43,
        KEY[:-1],
        KEY + "A",
        KEY + "\n",
        " " + KEY,
        KEY.upper(),
        "sk-sluice-abcdefg1-" + "A" * 43,
        "sk-sluice-abcdefgh-" + "A" * 42 + "é",
    ],
)
def test_only_the_exact_shape_names_an_id(presented: str) -> None:
    assert key_id_of(presented) is None


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ([(b"authorization", b"Bearer k")], "k"),
        ([(b"authorization", b"bearer  k ")], "k"),
        ([(b"x-api-key", b"k")], "k"),
        ([(b"x-api-key", b"b"), (b"authorization", b"Bearer a")], "a"),
        ([(b"authorization", b"Basic xyz"), (b"x-api-key", b"k")], "k"),
        ([(b"authorization", b"Bearer a"), (b"authorization", b"Bearer b")], "a"),
        ([(b"authorization", b"Bearer ")], None),
        ([(b"authorization", b"Bearer")], None),
        ([(b"authorization", b"k")], None),
        ([(b"host", b"x")], None),
        ([(b"x-api-key", b"\xff")], "\xff"),
        ([], None),
    ],
)
def test_a_key_is_found_where_openai_and_anthropic_clients_put_it(
    headers: list[tuple[bytes, bytes]], key: str | None
) -> None:
    assert presented_key(headers) == key


def test_a_principal_is_held_to_its_scopes() -> None:
    principal = Principal("abcdefgh", "acme", "standard", frozenset({"inference"}))
    principal.require(Scope.INFERENCE)
    with pytest.raises(PermissionDenied, match="'metrics'"):
        principal.require("metrics")


def test_a_records_digest_is_not_printed() -> None:
    record = KeyRecord("abcdefgh", "n", "t", "standard", frozenset(), 0.0, digest="f00d")
    assert "f00d" not in repr(record)
