"""`sluice guard status | explain KEY | release KEY`: asks the running gateways at their management ports."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import httpx
from rich.console import Console
from rich.table import Table

from deployments.control import NO_GATEWAY, NOT_RUNNING, authorization
from deployments.run_state import RunState
from gateway.config import Config
from gateway.guard.verdict import Level

UNKNOWN = 1


def guard(config: Config, verb: str, key: str, console: Console) -> int:
    """Exit status 0 if there was an answer, 1 if nothing is known of the key, 3 if nothing runs."""
    state = RunState.read(config.state_dir)
    if state is None:
        console.print(f"Sluice is not running (state: {config.state_dir})")
        return NOT_RUNNING
    name = quote(key, safe="")
    method, path = {
        "status": ("GET", "/guard"),
        "explain": ("GET", f"/guard/{name}"),
        "release": ("POST", f"/guard/{name}/release"),
    }[verb]
    heard = [answer for url in state.management if (answer := _ask(method, url + path, console)) is not None]
    if not state.management:
        console.print(NO_GATEWAY)
    answers = [answer for answer in heard if "error" not in answer]
    if not answers:
        for answer in heard[:1]:
            console.print(answer["error"]["message"], markup=False)
        return UNKNOWN
    # Each gateway has heard of the others' keys; of several, the one that has seen most of a key tells most, and where it stood is
    # where it stood highest.
    match verb:
        case "status":
            _show_status(_together(answers), console)
        case "explain":
            _show_key(max(answers, key=lambda answer: answer["requests_today"]), console)
        case _:
            _show_release(max(answers, key=lambda answer: _level(answer["before"])), console)
    return 0


def _level(label: str) -> Level:
    return Level[label.upper()]


def _together(answers: list[dict[str, Any]]) -> dict[str, Any]:
    """What several gateways say of themselves: each has looked at requests of its own, and fails on its own."""
    flagged: dict[str, Any] = {}
    for key, verdict in (item for answer in answers for item in answer["flagged"].items()):
        flagged[key] = max(flagged.get(key, verdict), verdict, key=lambda one: _level(one["level"]))
    return answers[0] | {
        "warnings": list(dict.fromkeys(warning for answer in answers for warning in answer["warnings"])),
        "seen": sum(answer["seen"] for answer in answers),
        "dropped": sum(answer["dropped"] for answer in answers),
        "keys_known": max(answer["keys_known"] for answer in answers),
        "flagged": flagged,
        "leaks": max((answer["leaks"] for answer in answers), key=len),
    }


def _ask(method: str, url: str, console: Console) -> dict[str, Any] | None:
    try:
        reply = httpx.request(method, url, headers=authorization(), timeout=10, trust_env=False)
        found: dict[str, Any] = reply.json()
    except (httpx.HTTPError, ValueError) as exc:
        console.print(f"{url} does not answer: {exc}", markup=False)
        return None
    return found


def _show_status(found: dict[str, Any], console: Console) -> None:
    for warning in found["warnings"]:
        console.print(warning, markup=False)
    console.print(
        f"applied up to '{found['enforce']}'; {found['seen']} requests looked at, {found['dropped']} not, "
        f"{found['keys_known']} keys known"
    )
    flagged = Table("key", "level", "applied", "score", "since", "why", box=None)
    for key, verdict in found["flagged"].items():
        why = ", ".join(reason["feature"] for reason in verdict["reasons"])
        since = datetime.fromtimestamp(verdict["since"], UTC).strftime("%Y-%m-%d %H:%M")
        flagged.add_row(key, verdict["level"], verdict["applied"], f"{verdict['score']:.1f}", since, why)
    console.print(flagged if found["flagged"] else "no key is flagged")
    leaks = Table(
        "account", "model", "given of its output layer", "logprobs", "biased or constrained answers", box=None
    )
    for row in found["leaks"]:
        share = row["share_of_output_layer"]
        limit = row["limits"] or {"scalars": "?", "answers": "?"}
        leaks.add_row(
            row["account"],
            row["model"] or row["version"],
            "?" if share is None else f"{share:.3%}",
            f"{row['scalars']} of {limit['scalars']}",
            f"{row['answers']} of {limit['answers']}",
        )
    if found["leaks"]:
        console.print(leaks)


def _show_key(found: dict[str, Any], console: Console) -> None:
    verdict = found["verdict"]
    console.print(
        f"key {found['key']} of tenant {found['tenant']}: {verdict['level']} (applied: {verdict['applied']}), "
        f"{found['requests_today']} requests today, {found['carried']:.1f} points carried over from earlier days",
        markup=False,
    )
    table = Table("feature", "points", "value", "usual", "rare", box=None)
    for row in found["features"]:
        if row["points"] > 0:
            table.add_row(*(str(row[name]) for name in ("feature", "points", "value", "usual", "rare")))
    console.print(table)
    console.print("points for " + ", ".join(f"{level}: {value:.1f}" for level, value in found["thresholds"].items()))
    if found["acts_with"]:
        console.print(f"acts like {len(found['acts_with'])} accounts: {', '.join(found['acts_with'])}", markup=False)


def _show_release(found: dict[str, Any], console: Console) -> None:
    console.print(f"released {found['key']}, which was at '{found['before']}'", markup=False)
