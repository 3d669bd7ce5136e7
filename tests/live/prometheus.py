"""A real Prometheus with the shipped configuration, scraping one Sluice every second."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.live.harness import free_ports
from tests.waiting import eventually

SHIPPED = Path(__file__).resolve().parents[2] / "deployments" / "prometheus"


class Prometheus:
    """`prometheus` must be on the path."""

    def __init__(self, folder: Path, target: str, more: list[dict[str, Any]] | None = None) -> None:
        raw = yaml.safe_load((SHIPPED / "prometheus.yml").read_text())
        raw["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        (job,) = [job for job in raw["scrape_configs"] if job["job_name"] == "sluice"]
        (discovery,) = job["http_sd_configs"]
        discovery |= {"url": f"{target}/targets", "refresh_interval": "1s"}
        raw["scrape_configs"] = [job, *(more or [])]
        folder.mkdir()
        shutil.copy(SHIPPED / "rules.yml", folder)
        (folder / "prometheus.yml").write_text(yaml.safe_dump(raw))
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        self._log = (folder / "log").open("wb")
        self._process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address=127.0.0.1:{port}",
                "--enable-feature=exemplar-storage",
            ],
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        eventually(self._ready, 30, "Prometheus ready", every=0.1)

    def _ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/-/ready", trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    def ask(self, query: str) -> list[dict[str, Any]]:
        """An instant query's result; raises on a query that is refused."""
        reply = httpx.get(f"{self.url}/api/v1/query", params={"query": query}, trust_env=False).json()
        assert reply["status"] == "success", (query, reply)
        found: list[dict[str, Any]] = reply["data"]["result"]
        return found

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(20)
        self._log.close()
