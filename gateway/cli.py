"""The `sluice` command: up, down, reload, status, keys, audit, guard."""

import argparse
import asyncio
import contextlib
import signal
import sys
import time
from pathlib import Path

from rich.console import Console

from gateway import __version__
from gateway.config import Config, Place, load, load_place
from gateway.errors import ConfigError, SluiceError
from gateway.plain_console import plain_console

DEFAULT_CONFIG = Path("configs/local.yaml")
DEFAULT_WAIT_S = {"down": 120.0, "reload": 600.0}
MOST_DAYS = 36500
INTERRUPTED = 128 + signal.SIGINT
WIDE = 10_000
"""Columns of what is no terminal: whatever reads a pipe wants whole lines."""


def parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(
        prog="sluice", description="An LLM inference gateway: vLLM engines on Ray Serve behind one OpenAI endpoint."
    )
    root.add_argument("--version", action="version", version=f"sluice {__version__}")
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=text, description=text)

    up = command("up", "Start Ray, the engines and the gateway, and stay until Ctrl-C.")
    up.add_argument(
        "config", nargs="?", type=Path, default=DEFAULT_CONFIG, help=f"YAML file (default: {DEFAULT_CONFIG})"
    )
    for name, text in {
        "down": "Stop a running Sluice.",
        "reload": "Take over a changed configuration by a rolling update, without failing a request.",
        "status": "Show models, replicas, queue and health.",
    }.items():
        sub = command(name, text)
        sub.add_argument("-c", "--config", type=Path, default=DEFAULT_CONFIG, help="the file it was started with")
        if name == "status":
            sub.add_argument("--json", action="store_true", help="as JSON")
        else:
            sub.add_argument(
                "--timeout", type=float, default=DEFAULT_WAIT_S[name], help="seconds to wait (default: %(default)s)"
            )
    keys = command("keys", "Make, list and revoke API keys.")
    keys.add_argument(
        "-c", "--config", type=Path, default=DEFAULT_CONFIG, help="names the key file (its auth and state_dir)"
    )
    verbs = keys.add_subparsers(dest="verb", required=True, metavar="VERB")
    create = verbs.add_parser("create", help="make a key; its secret is shown once")
    create.add_argument("--name", required=True, help="what it is for")
    create.add_argument("--tenant", default="default", help="whose it is: limits and prefix cache are per tenant")
    create.add_argument("--tier", default="standard")
    create.add_argument(
        "--scope",
        action="append",
        choices=["inference", "models", "metrics", "admin"],
        help="repeatable; default: inference and models",
    )
    create.add_argument("--days", type=_days, help="days until it expires (default: never)")
    verbs.add_parser("list", help="list keys")
    verbs.add_parser("revoke", help="make a key worthless within two seconds").add_argument("id")
    _config_after(verbs)
    audit = command("audit", "Check the audit trail.")
    audit.add_argument("-c", "--config", type=Path, default=DEFAULT_CONFIG, help="names the state directory")
    verbs = audit.add_subparsers(dest="verb", required=True, metavar="VERB")
    verbs.add_parser("verify", help="find any changed, removed or reordered record; exit status 1 if there is one")
    _config_after(verbs)
    guard = command("guard", "What the guard against model extraction has found, and its undoing.")
    guard.add_argument("-c", "--config", type=Path, default=DEFAULT_CONFIG, help="the file it was started with")
    verbs = guard.add_subparsers(dest="verb", required=True, metavar="VERB")
    verbs.add_parser("status", help="who is flagged, and what has been given of each model")
    verbs.add_parser("explain", help="why a key is at its level").add_argument("key", metavar="KEY")
    verbs.add_parser("release", help="forget what was seen of a key").add_argument("key", metavar="KEY")
    _config_after(verbs)
    return root


def _config_after(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The file may be named after the verb, too."""
    for verb in verbs.choices.values():
        verb.add_argument("-c", "--config", type=Path, default=argparse.SUPPRESS, help="the same, in this place")


def _days(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < (days := float(text)) <= MOST_DAYS:
            return days
    raise argparse.ArgumentTypeError(f"{text} is not a number of days above 0 and at most {MOST_DAYS}")


def main() -> None:
    arguments = parser().parse_args()
    console = plain_console()
    try:
        sys.exit(_run(arguments, console))
    except SluiceError as err:
        _complain(str(err))
        sys.exit(2)
    except OSError as err:  # of a file, a port or an address that is not as it must be
        _complain(f"{err.filename}: {err.strerror}" if err.filename else str(err))
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _complain(problem: str) -> None:
    plain_console(stderr=True).print(f"sluice: {problem}", style="red")


def _place(path: Path) -> Place:
    """Of a file that was broken meanwhile, too: what runs can still be looked at and stopped."""
    try:
        return load(path)
    except ConfigError as err:
        place = load_place(path)
        _complain(str(err))
        return place


def _look_or_stop(arguments: argparse.Namespace, place: Place, console: Console) -> int:
    from deployments import control

    if arguments.command == "down":
        return control.down(place, arguments.timeout, console)
    return control.status(place, console, as_json=arguments.json)


def _run(arguments: argparse.Namespace, console: Console) -> int:
    if arguments.command in ("down", "status"):
        return _look_or_stop(arguments, _place(arguments.config), console)
    config = load(arguments.config)
    match arguments.command:
        case "up":
            return _up(config, arguments.config)
        case "reload":
            from deployments.control import reload

            return reload(config, arguments.timeout, console)
        case "audit":
            return _verify(config, console)
        case "guard":
            from deployments.guard_desk import guard

            return guard(config, arguments.verb, getattr(arguments, "key", ""), console)
        case _:
            return _keys(arguments, config, console)


def _up(config: Config, where: Path) -> int:
    from deployments.preflight import alone
    from deployments.run_state import RunState
    from deployments.supervisor import Supervisor
    from deployments.terminal import terminal_for_us
    from gateway.first_key import first_key, welcome

    with alone(config.state_dir), terminal_for_us(config.state_dir / "sluice.log") as console:

        def on_ready(running: RunState) -> None:
            welcome(console, config, running, first_key(config, time.time()))

        asyncio.run(Supervisor(config, where, console).run(on_ready))
    return 0


def _verify(config: Config, console: Console) -> int:
    from gateway.audit.verify import verify

    report = verify(*config.audit_folders)
    for finding in report.findings:
        console.print(str(finding), markup=False)
    for chain, (number, digest) in sorted(report.heads.items()):
        console.print(f"{chain}: {number} {digest}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"{report.records} records in {len(report.heads)} chains: {'whole' if report.whole else 'NOT whole'}")
    return 0 if report.whole else 1


def _keys(arguments: argparse.Namespace, config: Config, console: Console) -> int:
    from gateway.audited_keys import AuditedKeys
    from gateway.auth.store import KeyStore
    from gateway.key_table import key_table

    store, now = KeyStore(config.keys_file), time.time()
    if arguments.verb == "list":
        if not console.is_terminal:
            console.width = WIDE
        console.print(key_table(store.list(), now))
        return 0
    with AuditedKeys.open(config, store, through="cli") as keys:
        if arguments.verb == "revoke":
            keys.revoke(arguments.id, now)
            console.print(f"revoked {arguments.id}")
            return 0
        record, plaintext = keys.create(
            name=arguments.name,
            tenant=arguments.tenant,
            tier=arguments.tier,
            scopes=frozenset(arguments.scope or ("inference", "models")),
            now=now,
            expires=None if arguments.days is None else now + arguments.days * 86400,
        )
    console.print(plaintext, markup=False)
    console.print(f"key {record.id} for tenant {record.tenant}; only its hash is kept, so save it now", style="dim")
    return 0


if __name__ == "__main__":
    main()
