"""Whether each decision and its reasons can be read where operators look: Ray's dashboard, Prometheus, `sluice status`."""

import asyncio
import re
import subprocess
from collections.abc import Sequence
from typing import Any

import httpx
import msgspec
from prometheus_client.parser import text_string_to_metric_families

NODES, LOGS, FILE = "/api/v0/nodes", "/api/v0/logs", "/api/v0/logs/file"
CONTROLLER = "serve/controller*.log"
SAID = re.compile(r"Sluice autoscaling of (\S+): (\d+) -> (\d+) replicas: (.+)")
TRIES, PAUSE_S = 6, 3.0
COUNTER = "sluice_autoscaling_decisions_total"


class Evidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Decisions as (from, to, reasons) in the controller's log by way of Ray's dashboard; counted ones by direction; the line that
    `sluice status` shows.
    """

    logged: list[tuple[int, int, str]]
    counted: dict[str, int]
    status: str

    def missing(self, changes: Sequence[dict[str, Any]]) -> list[str]:
        """What the policy's own record says that cannot be read there."""
        said = {(was, to, reasons) for was, to, reasons in self.logged}
        lost = [
            f"{change['from']} -> {change['to']} is not in the log"
            for change in changes
            if (change["from"], change["to"], "; ".join(change["reasons"])) not in said
        ]
        ups = sum(change["to"] > change["from"] for change in changes)
        if self.counted != {"up": ups, "down": len(changes) - ups}:
            lost.append(f"counted {self.counted}")
        if changes and "; ".join(changes[-1]["reasons"]) not in self.status:
            lost.append("the last reasons are not in `sluice status`")
        return lost


async def gather(
    dashboard: str, token: str, management: str, status: Sequence[str], model: str
) -> tuple[Evidence, list[str]]:
    """And what Ray's dashboard did not tell, in words. `status`: the command."""
    shown = subprocess.run(status, capture_output=True, text=True, check=False).stdout  # noqa: ASYNC221  nothing else runs
    lines = [line.strip() for line in shown.splitlines() if f"{model}:" in line and "wanted" in line]
    headers = {"authorization": f"Bearer {token}"}
    texts, unread = list[str](), list[str]()
    async with httpx.AsyncClient(trust_env=False, timeout=60, headers=headers) as client:
        counted = counts((await client.get(f"{management}/metrics")).text, model)
        try:
            nodes = (await ask(client, dashboard + NODES)).json()
            node = {"node_id": nodes["data"]["result"]["result"][0]["node_id"]}
            listed = (await ask(client, dashboard + LOGS, node | {"glob": CONTROLLER})).json()["data"]["result"]
            for name in (name for names in listed.values() for name in names):
                texts.append((await ask(client, dashboard + FILE, node | {"filename": name, "lines": "-1"})).text)
        except httpx.HTTPError as exc:
            unread.append(f"Ray's dashboard shows no log: {exc}")
    logged = [(int(was), int(to), why.strip()) for text in texts for who, was, to, why in SAID.findall(text)]
    return Evidence(logged, counted, lines[0] if lines else ""), unread


async def ask(client: httpx.AsyncClient, url: str, params: dict[str, str] | None = None) -> httpx.Response:
    """Again if need be: on a busy machine Ray's dashboard gives its agents up early. Raises httpx.HTTPStatusError."""
    for _ in range(TRIES):
        if (reply := await client.get(url, params=params)).status_code == 200:
            return reply
        await asyncio.sleep(PAUSE_S)
    return (await client.get(url, params=params)).raise_for_status()


def counts(exposition: str, model: str) -> dict[str, int]:
    """Of Prometheus' text format, by direction."""
    samples = [sample for family in text_string_to_metric_families(exposition) for sample in family.samples]
    ours = [each for each in samples if each.name == COUNTER and each.labels["model"] == model]
    return {each.labels["direction"]: int(each.value) for each in ours}
