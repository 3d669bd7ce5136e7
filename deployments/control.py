"""`sluice status`, `sluice reload` and `sluice down`: from another terminal, by the state that `sluice up` left."""

import contextlib
import json
import os
import signal
import time
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from deployments.run_state import RunState
from gateway.config import Config, Place

NOT_RUNNING = 3
NO_GATEWAY = "no gateway runs: Sluice is starting or stopping, or has lost all of them"


def status(config: Place, console: Console, *, as_json: bool) -> int:
    """Exit status 0 if every gateway is ready, 1 if one is not, 3 if nothing runs."""
    state = RunState.read(config.state_dir)
    if state is None:
        console.print(
            json.dumps({"running": False}) if as_json else f"Sluice is not running (state: {config.state_dir})"
        )
        return NOT_RUNNING
    gateways = [_ask(url) for url in state.management]
    if as_json:
        told = {"running": True, "url": state.url, "dashboard": state.dashboard, "unhealthy": state.unhealthy}
        console.print_json(json.dumps(told | {"gateways": gateways}))
    else:
        _show(console, state, gateways)
    return 0 if gateways and not any(gateway["problems"] for gateway in gateways) else 1


def _ask(management: str) -> dict[str, Any]:
    try:
        reply = httpx.get(f"{management}/status", headers=authorization(), timeout=5, trust_env=False)
        status: dict[str, Any] = reply.json()
        if "problems" in status:
            return status
        problem = f"{status.get('error', {}).get('message', reply.text)} (a key in SLUICE_API_KEY is sent along)"
    except (httpx.HTTPError, ValueError) as exc:
        problem = f"does not answer: {exc}"
    return {"gateway": management, "problems": [problem], "models": [], "autoscaling": {}, "requests_in_flight": 0}


def authorization() -> dict[str, str]:
    """Off loopback, management asks for a key with the scope `metrics`."""
    key = os.environ.get("SLUICE_API_KEY")
    return {"Authorization": f"Bearer {key}"} if key else {}


def _show(console: Console, state: RunState, gateways: list[dict[str, Any]]) -> None:
    console.print(f"Sluice at {state.url} (pid {state.pid}), dashboard {state.dashboard or 'off'}")
    for name, why in state.unhealthy.items():
        console.print(f"{name} is unhealthy: {why}", markup=False)
    if not gateways:
        console.print(NO_GATEWAY)
    for gateway in gateways:
        health = "; ".join(gateway["problems"]) or "ready"
        console.print(f"gateway {gateway['gateway']}: {health}, {gateway['requests_in_flight']} requests in flight")
        for warning in gateway.get("warnings", ()):
            console.print(f"  warning: {warning}", markup=False)
        if "limits" in gateway:
            console.print(f"  {limits_line(gateway['limits'])}")
        table = Table(
            "model", "engine", "state", "format", "requests", "of them from here", "prompt tokens queued", box=None
        )
        for model in gateway["models"]:
            console.print(f"  {model['name']}: {queue_line(model['admission'], waking=model.get('waking', False))}")
            if (scaling := gateway["autoscaling"].get(model["name"])) is not None:
                console.print(f"  {model['name']}: {scaling_line(scaling)}")
            for engine in model["engines"]:
                cells = [
                    engine[key] for key in ("id", "state", "format", "requests", "requests_from_here", "prefill_tokens")
                ]
                table.add_row(model["name"], *map(str, cells))
            for engine, reason in model["refused"].items():
                table.add_row(model["name"], engine, f"refused: {reason}")
        console.print(table)


def limits_line(limits: dict[str, Any]) -> str:
    """Where one gateway counts, and whether it can, as its status has it."""
    store = f"limits counted in {limits['store']}"
    if limits["problem"]:
        store += f", which does not answer ({'own share meanwhile' if limits['outage'] == 'share' else 'refusing'})"
    by_address = "" if limits["by_address"] == "none" else f"; by address: {limits['by_address']}"
    return f"{store}; {limits['open_reservations']} requests hold tokens{by_address}"


def queue_line(admission: dict[str, Any], *, waking: bool) -> str:
    """One model's waiting queue, as a gateway's status has it. `waking`: an engine is called for, and none has come."""
    running = f"{admission['running_sequences']} sequences running"
    if waking:
        running = "waking, no engine has come yet"
    if not admission["waiting"]:
        return f"{running}, nobody waits"
    by_class = ", ".join(
        f"{each['requests']} {name}" for name, each in admission["by_class"].items() if each["requests"]
    )
    return (
        f"{running}, {admission['waiting']} wait ({by_class}; {admission['waiting_tokens']} tokens of work), "
        f"the oldest for {admission['oldest_s']:.1f} s"
    )


def scaling_line(record: dict[str, Any]) -> str:
    """What the autoscaling policy wants of one model and why, and why it changed its mind last."""
    line = f"{record['ready']} replicas of {record['target']} wanted, {record['needed']:.2f} needed"
    line += f": {'; '.join(record['reasons'])}"
    if not record["changes"]:
        return line
    last = record["changes"][-1]
    when = time.strftime("%H:%M:%S", time.localtime(last["at"]))
    return f"{line}. Last change: {last['from']} -> {last['to']} at {when}: {'; '.join(last['reasons'])}"


def reload(config: Config, timeout_s: float, console: Console) -> int:
    """Ask the supervisor to read its configuration again, and wait until the rolling update is over: one that began after this
    call, since one that runs may have read the file before it was changed.
    """
    state = RunState.read(config.state_dir)
    if state is None:
        console.print(f"Sluice is not running (state: {config.state_dir})")
        return NOT_RUNNING
    before = state.reloads_begun
    os.kill(state.pid, signal.SIGUSR1)
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        now = RunState.read(config.state_dir)
        if now is None:
            console.print("Sluice stopped meanwhile")
            return NOT_RUNNING
        if now.reloads > before:
            console.print(f"not reloaded: {now.reload_error}" if now.reload_error else "reloaded")
            return 1 if now.reload_error else 0
        time.sleep(0.1)
    console.print(f"still reloading after {timeout_s:.0f} s; `sluice status` shows how far it is")
    return 1


def down(config: Place, timeout_s: float, console: Console) -> int:
    """Ask the supervisor to stop, and wait until it has."""
    state = RunState.read(config.state_dir)
    if state is None:
        console.print(f"Sluice is not running (state: {config.state_dir})")
        return 0
    with contextlib.suppress(ProcessLookupError):
        os.kill(state.pid, signal.SIGTERM)
    deadline = time.monotonic() + timeout_s
    while state.alive:
        if time.monotonic() > deadline:
            console.print(
                f"still stopping after {timeout_s:.0f} s (pid {state.pid}); try again with a longer --timeout"
            )
            return 1
        time.sleep(0.1)
    console.print("stopped")
    return 0
