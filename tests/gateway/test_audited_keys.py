"""Keys and their records: neither without the other."""

import json
import sys
from concurrent.futures import Future
from pathlib import Path

import pytest

from gateway import cli
from gateway.audit.log import AuditLog
from gateway.audit.record import AuditError, Event
from gateway.audit.verify import verify
from gateway.audited_keys import AuditedKeys
from gateway.auth.store import KeyStore
from gateway.config import Config, load


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "sluice.yaml"
    file.write_text(
        f"state_dir: {tmp_path}/state\nmodels: [{{name: m, checkpoints: {{cpu: {{source: 'demo:int8'}}}}}}]\n"
    )
    return file


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["sluice", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def records(config: Config) -> list[dict[str, object]]:
    folder, vault = config.audit_folders
    assert verify(folder, vault).whole
    return [json.loads(line) for file in sorted(folder.iterdir()) for line in file.read_text().splitlines()]


def test_the_command_records_what_it_makes_and_revokes(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "keys", "-c", str(path), "create", "--name", "n", "--tenant", "acme", "--tier", "gold") == 0
    config = load(path)
    (key,) = KeyStore(config.keys_file).list()
    plaintext = capsys.readouterr().out.split()[0]
    assert run(monkeypatch, "keys", "-c", str(path), "revoke", key.id) == 0
    told = [(record["event"], record["fields"]) for record in records(config)]
    assert [event for event, _ in told] == ["key.created", "key.revoked"]
    made, revoked = (fields for _, fields in told)
    assert made["key"] == revoked["key"] != key.id
    assert (made["tier"], made["scopes"], made["through"]) == ("gold", ["inference", "models"], "cli")
    text = json.dumps(told)
    assert not [word for word in ("acme", key.id, plaintext) if word in text]


def test_verifying_tells_where_each_chain_ends_for_a_witness_elsewhere(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, "keys", "-c", str(path), "create", "--name", "n")
    capsys.readouterr()
    assert run(monkeypatch, "audit", "-c", str(path), "verify") == 0
    (last,) = [
        json.loads(line) for line in (load(path).audit_folders[0] / "cli-0.000001.jsonl").read_text().splitlines()
    ]
    assert f"cli-0: {last['seq']} {last['hash']}" in capsys.readouterr().out.splitlines()


def test_listing_keys_records_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, "keys", "-c", str(path), "list") == 0
    assert not load(path).audit_folders[0].exists()


def test_without_an_audit_trail_there_is_no_key(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = load(path)
    config.state_dir.mkdir()
    config.audit_folders[0].write_text("in the way")
    assert run(monkeypatch, "keys", "-c", str(path), "create", "--name", "n") == 2
    assert KeyStore(config.keys_file).list() == ()


def test_a_key_whose_record_cannot_be_kept_is_revoked_at_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(_log: AuditLog, _event: Event, **_fields: object) -> Future[int]:
        future: Future[int] = Future()
        future.set_exception(AuditError("no room left"))
        return future

    config = load(path)
    store = KeyStore(config.keys_file)
    with AuditedKeys.open(config, store, "test") as keys:
        monkeypatch.setattr(AuditLog, "submit", lost)
        with pytest.raises(AuditError, match="no room left"):
            keys.create(name="n", tenant="t", tier="standard", scopes=frozenset(), now=1.0, expires=None)
    assert [key.revoked for key in store.list()] == [1.0]
