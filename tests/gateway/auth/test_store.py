"""The key file: who gets in, how soon a revocation holds, and that nothing is ever lost."""

import json
import logging
import os
import stat
import subprocess
import sys
import timeit
from pathlib import Path

import pytest

from gateway.auth import store as store_module
from gateway.auth.keys import Scope
from gateway.auth.store import INVALID, KeyStore
from gateway.errors import KeyExpired, KeyStoreError, Unauthenticated, UnknownKeyId

NOW = 1_000_000.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "keys.json"


def make(path: Path, name: str = "n") -> tuple[str, str]:
    record, plaintext = KeyStore(path).create(name=name, tenant="acme", now=NOW)
    return record.id, plaintext


def test_a_created_key_authenticates_and_names_its_owner(path: Path) -> None:
    store = KeyStore(path)
    record, plaintext = store.create(
        name="ci", tenant="acme", now=NOW, tier="gold", scopes=["inference"], expires=NOW + 9
    )
    principal = store.authenticate(plaintext, NOW)
    assert (principal.key_id, principal.tenant, principal.tier) == (record.id, "acme", "gold")
    assert principal.scopes == {Scope.INFERENCE}


def test_a_store_reads_back_what_another_wrote(path: Path) -> None:
    record, plaintext = KeyStore(path).create(name="ci", tenant="acme", now=NOW, expires=NOW + 9)
    again = KeyStore(path)
    assert again.list() == (record,)
    assert again.authenticate(plaintext, NOW).key_id == record.id


def test_the_plaintext_is_nowhere_on_disk_and_the_file_is_the_owners_alone(path: Path) -> None:
    _, plaintext = make(path)
    assert all(plaintext[-43:] not in file.read_text() for file in path.parent.iterdir())
    assert [stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()] == [0o600, 0o600]


def test_an_unknown_scope_makes_no_key(path: Path) -> None:
    with pytest.raises(ValueError, match="root"):
        KeyStore(path).create(name="n", tenant="t", now=NOW, scopes=["root"])
    assert not path.exists()


def test_a_taken_id_is_drawn_again(path: Path) -> None:
    draws = iter([b"aaaaa", b"1" * 32, b"aaaaa", b"2" * 32, b"bbbbb", b"3" * 32])
    store = KeyStore(path, entropy=lambda _size: next(draws))
    first, second = (store.create(name="n", tenant="t", now=NOW)[0] for _ in range(2))
    assert first.id != second.id


def test_the_wrong_secret_an_unknown_id_and_nonsense_are_told_the_same(path: Path) -> None:
    _, plaintext = make(path)
    store = KeyStore(path)
    wrong = plaintext[:-43] + "A" * 43
    unknown = "sk-sluice-" + "a" * 8 + plaintext[-44:]
    for presented in (wrong, unknown, "", "x", "é\ud800"):
        with pytest.raises(Unauthenticated) as caught:
            store.authenticate(presented, NOW)
        assert (type(caught.value), caught.value.message) == (Unauthenticated, INVALID)


def test_an_unknown_id_is_hashed_and_compared_like_a_wrong_secret(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, plaintext = make(path)
    store = KeyStore(path)
    work: list[tuple[str, int]] = []
    digest, compare = store_module.digest_of, store_module.hmac.compare_digest
    monkeypatch.setattr(store_module, "digest_of", lambda text: work.append(("hash", len(text))) or digest(text))
    monkeypatch.setattr(
        store_module.hmac,
        "compare_digest",
        lambda a, b: work.append(("compare", len(a) + len(b))) or compare(a, b),
    )
    seen = []
    for presented in (plaintext[:-43] + "A" * 43, "sk-sluice-" + "a" * 8 + plaintext[-44:]):
        with pytest.raises(Unauthenticated):
            store.authenticate(presented, NOW)
        seen.append(tuple(work))
        work.clear()
    assert seen[0] == seen[1] == (("hash", len(plaintext)), ("compare", 64))


def test_an_expired_key_is_told_so_but_only_to_the_holder_of_its_secret(path: Path) -> None:
    store = KeyStore(path)
    _, plaintext = store.create(name="n", tenant="t", now=NOW, expires=NOW + 5)
    store.authenticate(plaintext, NOW + 4.9)
    with pytest.raises(KeyExpired):
        store.authenticate(plaintext, NOW + 5)
    with pytest.raises(Unauthenticated) as caught:
        store.authenticate(plaintext[:-43] + "A" * 43, NOW + 5)
    assert type(caught.value) is Unauthenticated


def test_a_revocation_elsewhere_holds_within_two_seconds(path: Path) -> None:
    key_id, plaintext = make(path)
    gateway = KeyStore(path)
    gateway.authenticate(plaintext, NOW)
    KeyStore(path).revoke(key_id, NOW)
    with pytest.raises(Unauthenticated):
        gateway.authenticate(plaintext, NOW + 1.99)


def test_a_store_sees_its_own_writes_at_once(path: Path) -> None:
    store = KeyStore(path)
    record, plaintext = store.create(name="n", tenant="t", now=NOW)
    store.authenticate(plaintext, NOW)
    store.revoke(record.id, NOW)
    with pytest.raises(Unauthenticated):
        store.authenticate(plaintext, NOW)


def test_a_clock_set_back_does_not_stop_the_file_from_being_watched(path: Path) -> None:
    key_id, plaintext = make(path)
    gateway = KeyStore(path)
    gateway.authenticate(plaintext, NOW)
    KeyStore(path).revoke(key_id, NOW)
    with pytest.raises(Unauthenticated):
        gateway.authenticate(plaintext, NOW - 3600)


def test_the_file_is_looked_at_once_a_second_and_read_only_when_it_changed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, plaintext = make(path)
    gateway = KeyStore(path)
    looks: list[str] = []
    for name in ("stat", "open"):
        real = getattr(Path, name)
        monkeypatch.setattr(
            Path, name, lambda self, *args, name=name, real=real: looks.append(name) or real(self, *args)
        )
    for tenths in range(25):
        gateway.authenticate(plaintext, NOW + tenths / 10)
    assert looks == ["stat"] * 3


def test_a_write_is_newer_than_the_last_even_when_the_clock_has_not_moved(path: Path) -> None:
    make(path)
    ahead = path.stat().st_mtime_ns + 3600 * 10**9
    os.utime(path, ns=(ahead, ahead))
    make(path)
    assert path.stat().st_mtime_ns == ahead + 1


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"version": 2, "keys": []}', b'{"version": 1, "keys": [{}]}'])
def test_a_corrupt_file_keeps_the_last_good_set_and_is_logged_once(
    path: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    key_id, plaintext = make(path)
    gateway = KeyStore(path)
    good = path.read_bytes()
    path.write_bytes(damage)
    with caplog.at_level(logging.ERROR):
        for second in range(1, 4):
            assert gateway.authenticate(plaintext, NOW + second).key_id == key_id
    assert len(caplog.records) == 1
    path.write_bytes(good.replace(b'"revoked": null', b'"revoked": 1'))
    with pytest.raises(Unauthenticated):
        gateway.authenticate(plaintext, NOW + 9)


def test_a_vanished_file_keeps_the_last_good_set_and_is_logged_once(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, plaintext = make(path)
    gateway = KeyStore(path)
    path.unlink()
    with caplog.at_level(logging.ERROR):
        for second in range(1, 4):
            gateway.authenticate(plaintext, NOW + second)
    assert len(caplog.records) == 1


def test_a_corrupt_file_stops_the_start_and_is_never_written_over(path: Path) -> None:
    store = KeyStore(path)
    path.parent.mkdir()
    path.write_bytes(b"{")
    with pytest.raises(KeyStoreError):
        KeyStore(path)
    with pytest.raises(KeyStoreError):
        store.create(name="n", tenant="t", now=NOW)
    assert path.read_bytes() == b"{"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("digest", "00"),
        ("scopes", "inference"),
        ("scopes", ["root"]),
        ("expires", "soon"),
        ("tenant", None),
        ("x", 1),
    ],
)
def test_a_record_that_is_not_understood_is_an_error_not_a_guess(path: Path, field: str, value: object) -> None:
    make(path)
    document = json.loads(path.read_bytes())
    document["keys"][0][field] = value
    path.write_text(json.dumps(document))
    with pytest.raises(KeyStoreError):
        KeyStore(path)


def test_two_records_with_one_id_are_an_error(path: Path) -> None:
    make(path)
    document = json.loads(path.read_bytes())
    document["keys"] *= 2
    path.write_text(json.dumps(document))
    with pytest.raises(KeyStoreError, match="same id"):
        KeyStore(path)


def test_a_revoked_key_stays_listed_with_its_first_time_of_revocation(path: Path) -> None:
    key_id, _ = make(path)
    store = KeyStore(path)
    store.revoke(key_id, NOW + 1)
    store.revoke(key_id, NOW + 2)
    assert [record.revoked for record in store.list()] == [NOW + 1]


def test_revoking_an_unknown_key_is_an_error(path: Path) -> None:
    with pytest.raises(UnknownKeyId):
        KeyStore(path).revoke("abcdefgh", NOW)


def test_a_store_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(KeyStoreError):
        KeyStore(tmp_path / "file" / "keys.json").create(name="n", tenant="t", now=NOW)


def test_two_processes_that_create_and_revoke_at_once_lose_nothing(path: Path) -> None:
    key_id, _ = make(path)
    program = (
        "import sys; from gateway.auth.store import KeyStore; store = KeyStore(sys.argv[1])\n"
        "for index in range(20): store.create(name=f'{sys.argv[2]}{index}', tenant='t', now=1.0)\n"
        "store.revoke(sys.argv[3], 2.0)"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", program, str(path), name, key_id], cwd=Path(__file__).parents[3])
        for name in "ab"
    ]
    assert [writer.wait(30) for writer in writers] == [0, 0]
    records = KeyStore(path).list()
    assert {record.name for record in records} == {
        "n",
        *(f"{name}{index}" for name in "ab" for index in range(20)),
    }
    assert records[0].revoked == 2.0


def test_authentication_takes_under_100_microseconds(path: Path) -> None:
    _, plaintext = make(path)
    store = KeyStore(path)
    best = min(timeit.repeat(lambda: store.authenticate(plaintext, NOW), number=500, repeat=5)) / 500
    assert best < 100e-6


def test_what_keeps_the_file_from_counting_is_warned_of_until_it_is_mended(path: Path) -> None:
    key_id, plaintext = make(path)
    gateway = KeyStore(path)
    good = path.read_bytes()
    assert gateway.warnings(NOW) == ()
    path.write_bytes(good.replace(b'"revoked": null', b'"revoked": 1,'))
    for second in (1, 3):
        (warning,) = gateway.warnings(NOW + second)
        assert str(path) in warning
        assert gateway.authenticate(plaintext, NOW + second + 1).key_id == key_id
    path.unlink()
    assert "is gone" in gateway.warnings(NOW + 6)[0]
    path.write_bytes(good.replace(b'"revoked": null', b'"revoked": 1'))
    assert gateway.warnings(NOW + 8) == ()
    with pytest.raises(Unauthenticated):
        gateway.authenticate(plaintext, NOW + 8)


def test_a_file_that_comes_back_as_it_was_is_warned_of_no_more(path: Path) -> None:
    make(path)
    gateway = KeyStore(path)
    away = path.parent.with_name("away")
    path.parent.rename(away)
    path.parent.touch()
    assert "Not a directory" in gateway.warnings(NOW)[0]
    path.parent.unlink()
    away.rename(path.parent)
    assert gateway.warnings(NOW + 2) == ()


def test_asking_for_warnings_puts_off_no_new_key(path: Path) -> None:
    make(path)
    gateway = KeyStore(path)
    gateway.warnings(NOW)
    key_id, plaintext = make(path, "new")
    assert gateway.authenticate(plaintext, NOW + 0.1).key_id == key_id
