"""The key of a first start, and what is printed once Sluice is ready."""

import shlex
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console

from gateway.audited_keys import AuditedKeys
from gateway.auth.store import KeyStore
from gateway.config import Config


@dataclass(frozen=True)
class ShownKey:
    """`plaintext` is there only on the start that made the key: nobody keeps it."""

    id: str
    plaintext: str | None


class Running(Protocol):
    config: str
    url: str
    dashboard: str
    management: list[str]
    haproxy: str


def first_key(config: Config, now: float) -> ShownKey | None:
    """Make a key if the store has none that works. None: the config asks for no such key."""
    if not config.auth.first_key:
        return None
    store = KeyStore(config.keys_file)
    usable = [key for key in store.list() if key.revoked is None and (key.expires is None or key.expires > now)]
    if usable:
        return ShownKey(usable[0].id, None)
    with AuditedKeys.open(config, store, through="first-start") as keys:
        record, plaintext = keys.create(
            name="first start",
            tenant="default",
            tier="standard",
            scopes=frozenset(("inference", "models", "metrics", "admin")),
            now=now,
            expires=None,
        )
    return ShownKey(record.id, plaintext)


def welcome(console: Console, config: Config, running: Running, key: ShownKey | None) -> None:
    """Base URL, key, a curl line, a Python snippet and the dashboard's address."""
    model = config.models[0].name
    own_ray = config.ray.address is None
    shown = None if key is None else key.plaintext
    # Double quotes, since a shell leaves a variable in single ones as it is.
    header = f"'Authorization: Bearer {shown}'" if shown else '"Authorization: Bearer $SLUICE_API_KEY"'
    imports, quoted = ("", f'"{shown}"') if shown else ("import os\n", 'os.environ["SLUICE_API_KEY"]')
    lines = [f"base URL   {running.url}/v1"]
    if key is not None:
        again = (
            "(shown once; only its hash is kept)"
            if shown
            else f"was shown once; `sluice keys create --name NAME -c {shlex.quote(running.config)}` makes another"
        )
        lines.append(f"API key    {shown or key.id} {again}")
    if running.haproxy:
        lines.append(f"HAProxy    {running.haproxy}/v1")
    if running.management and config.gateway.management.console:
        lines.append(f"console    {running.management[0]}/console")
    if running.dashboard:
        lines.append(f"dashboard  {running.dashboard}" + (f" (token: {config.ray_token_file})" if own_ray else ""))
    lines.append(f"log        {config.state_dir / 'sluice.log'}")
    console.print("\nSluice is ready", style="bold green")
    console.print("\n".join(lines), markup=False)
    curl = f"""
curl {running.url}/v1/chat/completions \\
  -H {header} -H 'Content-Type: application/json' \\
  -d '{{"model": "{model}", "messages": [{{"role": "user", "content": "What is 17 + 25?"}}], "stream": true}}'

{imports}from openai import OpenAI
client = OpenAI(base_url="{running.url}/v1", api_key={quoted})
answer = client.chat.completions.create(model="{model}", messages=[{{"role": "user", "content": "What is 17 + 25?"}}])
print(answer.choices[0].message.content)
"""
    console.print(curl, markup=False)
    console.print("Ctrl-C stops everything.", style="dim")
