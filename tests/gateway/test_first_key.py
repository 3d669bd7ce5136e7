"""What is printed once Sluice is ready can be pasted as it is."""

import io
import json
import subprocess
from dataclasses import dataclass, field

import pytest

from gateway.cli import parser
from gateway.config import Config
from gateway.first_key import ShownKey, welcome
from gateway.plain_console import plain_console

CONFIG = Config.model_validate(
    {"models": [{"name": "m", "checkpoints": {"cpu": {"source": "demo:int8", "format": "int8-w8a8"}}}]}
)
AS_IT_IS = "curl() { printf '%s\\n' \"$@\"; }\n"


@dataclass
class Running:
    config: str = "my files/sluice.yaml"
    url: str = "http://127.0.0.1:8080"
    dashboard: str = ""
    management: list[str] = field(default_factory=list)
    haproxy: str = ""


def said(key: ShownKey | None) -> str:
    page = io.StringIO()
    welcome(plain_console(page), CONFIG, Running(), key)
    return page.getvalue()


@pytest.mark.parametrize("key", [ShownKey("abcdefgh", "sk-sluice-one"), ShownKey("abcdefgh", None), None])
def test_the_curl_line_sends_the_key_at_first_and_later_starts(key: ShownKey | None):
    page = said(key)
    line = page[page.index("curl ") :].split("\n\n")[0]
    sent = subprocess.run(
        ["bash", "-c", AS_IT_IS + line],
        env={"SLUICE_API_KEY": "sk-sluice-one"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert "Authorization: Bearer sk-sluice-one" in sent
    assert json.loads(sent[sent.index("-d") + 1])["model"] == "m"


def test_the_hint_at_another_key_is_a_whole_command():
    page = said(ShownKey("abcdefgh", None))
    hint = page.split("`")[1]
    split = subprocess.run(
        ["bash", "-c", f"printf '%s\\n' {hint}"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    asked = parser().parse_args(split[1:])
    assert (asked.command, asked.verb, asked.name, str(asked.config)) == ("keys", "create", "NAME", Running.config)
