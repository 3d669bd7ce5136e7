"""Keys as clients meet them: wrong, expired, revoked, too weak; and `sluice keys` itself."""

import time

import httpx
import pytest

from tests.live.harness import MODEL, Sluice
from tests.live.harness import sluice as command
from tests.live.test_errors import assert_error
from tests.waiting import eventually

HELLO = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1}


def chat(sluice: Sluice, key: str) -> httpx.Response:
    headers = {"authorization": f"Bearer {key}"}
    return httpx.post(f"{sluice.url}/v1/chat/completions", json=HELLO, headers=headers, timeout=60, trust_env=False)


@pytest.mark.parametrize("broken", ["sk-wrong", "Bearer", "-", "x" * 10_000, "sk-sluice-" + "a" * 8 + "-" + "A" * 43])
def test_a_key_that_nobody_made(sluice: Sluice, broken: str) -> None:
    assert_error(chat(sluice, broken), 401, "authentication_error", "invalid_api_key")


def test_the_right_id_with_another_secret_is_as_wrong_as_any(sluice: Sluice, key: str) -> None:
    forged = key[:-1] + ("A" if key[-1] != "A" else "B")
    wrong = assert_error(chat(sluice, forged), 401, "authentication_error", "invalid_api_key")
    unknown = assert_error(chat(sluice, "sk-nobody"), 401, "authentication_error", "invalid_api_key")
    assert wrong == unknown


def test_a_key_may_come_as_x_api_key(sluice: Sluice, key: str) -> None:
    reply = httpx.get(f"{sluice.url}/v1/models", headers={"x-api-key": key}, trust_env=False)
    assert reply.status_code == 200


def test_an_expired_key_is_told_so(sluice: Sluice) -> None:
    key = sluice.key("short", "--days", 0.00003)
    eventually(lambda: chat(sluice, key).json().get("error", {}).get("code") == "expired_api_key", 10, every=0.2)
    assert_error(chat(sluice, key), 401, "authentication_error", "expired_api_key")


def test_a_new_key_works_and_a_revoked_one_does_not_within_two_seconds(sluice: Sluice) -> None:
    key = sluice.key("short-lived")
    eventually(lambda: chat(sluice, key).status_code == 200, 2, "a new key is known")
    done = command("keys", "-c", sluice.file, "revoke", key.split("-")[2])
    revoked = time.monotonic()
    assert done.returncode == 0, done.stderr
    eventually(lambda: chat(sluice, key).status_code == 401, 2, "a revoked key is refused")
    assert time.monotonic() - revoked < 2
    assert_error(chat(sluice, key), 401, "authentication_error", "invalid_api_key")


def test_a_key_opens_only_what_its_scopes_say(sluice: Sluice) -> None:
    reader, speaker = sluice.key("reader", "--scope", "models"), sluice.key("speaker", "--scope", "inference")
    eventually(lambda: chat(sluice, speaker).status_code == 200, 2)
    assert_error(chat(sluice, reader), 403, "permission_error", "insufficient_scope")
    models = httpx.get(f"{sluice.url}/v1/models", headers={"authorization": f"Bearer {speaker}"}, trust_env=False)
    assert_error(models, 403, "permission_error", "insufficient_scope")
    messages = httpx.post(f"{sluice.url}/v1/messages", json=HELLO, headers={"x-api-key": reader}, trust_env=False)
    assert (messages.status_code, messages.json()["error"]["type"]) == (403, "permission_error")


def test_the_list_shows_every_key_and_no_secret(sluice: Sluice, key: str) -> None:
    listed = command("keys", "-c", sluice.file, "list")
    assert listed.returncode == 0
    assert key.split("-")[2] in listed.stdout
    assert "live tests" in listed.stdout
    assert key.split("-", 3)[3] not in listed.stdout


def test_a_key_that_does_not_exist_cannot_be_revoked(sluice: Sluice) -> None:
    done = command("keys", "-c", sluice.file, "revoke", "nothere2")
    assert (done.returncode, "nothere2" in done.stderr) == (2, True)


def test_only_hashes_are_stored_and_only_for_the_owner_to_read(sluice: Sluice, key: str) -> None:
    file = sluice.folder / "state" / "keys.json"
    assert key.split("-", 3)[3] not in file.read_text()
    assert file.stat().st_mode & 0o077 == 0
    assert (sluice.folder / "state" / "tenant-salt").stat().st_mode & 0o077 == 0
