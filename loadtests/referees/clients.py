"""Three clients, one form of answer: vLLM's own `bench serve`, GuideLLM, and our generator."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtests.arithmetic import percentile
from loadtests.drive import drive
from loadtests.load import Job
from loadtests.prompts import prompts
from loadtests.referees.results import Row
from loadtests.servers import HOST, Server

PROMPT_TOKENS, OUTPUT_TOKENS = 32, 64
TIMEOUT_S = 300.0
# The CPU build of vLLM has another distribution name than the one that the `vllm` command looks for; this is what it calls.
VLLM_BENCH = (
    "from vllm.benchmarks import serve; from vllm.utils.argparse_utils import FlexibleArgumentParser as P; "
    "p = P(); serve.add_cli_args(p); serve.main(p.parse_args())"
)


class RefereeFailedError(RuntimeError):
    """A client ended without figures; the end of its output is in the message."""


@dataclass(frozen=True)
class Race:
    """What one client is to do: against which server, with so many requests at such a concurrency."""

    side: str
    server: Server
    tokenizer: str
    requests: int
    streams: int
    seed: int
    folder: Path

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.server.ports['own']}"

    def row(self, client: str, figures: Mapping[str, Any]) -> Row:
        return Row(client=client, side=self.side, seed=self.seed, **figures)


def ours(race: Race) -> Row:
    job = Job(
        HOST, race.server.ports["own"], race.server.model, prompts(race.requests, race.seed), race.streams,
        OUTPUT_TOKENS, race.server.key,
    )  # fmt: skip
    load, _, _ = drive(job, lambda: None)
    return race.row(
        "ours",
        {
            "completed": load.completed,
            "failed": len(load.problems),
            "requests_per_s": load.requests_per_s,
            "tokens_per_s": load.tokens_per_s,
            "ttft_p50_ms": 1e3 * percentile(load.ttft_s, 0.5),
            "ttft_p99_ms": 1e3 * percentile(load.ttft_s, 0.99),
            "gap_p50_ms": 1e3 * percentile(load.gaps_s, 0.5),
            "gap_p99_ms": 1e3 * percentile(load.gaps_s, 0.99),
        },
    )


def vllm_bench(race: Race) -> Row:
    arguments = [
        "--backend", "openai-chat", "--base-url", race.url, "--endpoint", "/v1/chat/completions",
        "--model", race.server.model, "--tokenizer", race.tokenizer, "--dataset-name", "random",
        "--random-input-len", PROMPT_TOKENS, "--random-output-len", OUTPUT_TOKENS, "--ignore-eos", "--temperature", "0",
        "--num-prompts", race.requests, "--max-concurrency", race.streams, "--seed", race.seed, "--disable-tqdm",
        "--percentile-metrics", "ttft,itl", "--metric-percentiles", "50,99", "--ready-check-timeout-sec", "0",
        "--save-result", "--result-dir", race.folder, "--result-filename", "vllm-bench.json",
    ]  # fmt: skip
    _run([sys.executable, "-c", VLLM_BENCH, *map(str, arguments)], {"OPENAI_API_KEY": race.server.key or "none"})
    return vllm_row(race, json.loads((race.folder / "vllm-bench.json").read_text()))


def vllm_row(race: Race, told: Mapping[str, Any]) -> Row:
    return race.row(
        "vllm bench serve",
        {
            "completed": told["completed"],
            "failed": race.requests - told["completed"],
            "requests_per_s": told["request_throughput"],
            "tokens_per_s": told["output_throughput"],
            "ttft_p50_ms": told["p50_ttft_ms"],
            "ttft_p99_ms": told["p99_ttft_ms"],
            "gap_p50_ms": told["p50_itl_ms"],
            "gap_p99_ms": told["p99_itl_ms"],
        },
    )


def guidellm(race: Race, program: Path) -> Row:
    """Without its probe of /health, which a gateway does not serve, and without usage in every chunk, which Sluice refuses."""
    out = race.folder / "guidellm.json"
    out.unlink(missing_ok=True)
    backend = {
        "kind": "openai_http",
        "target": race.url,
        "model": race.server.model,
        "api_key": race.server.key or "none",
        "validate_backend": False,
        "http2": False,
        "extras": {"body": {"stream_options": {"continuous_usage_stats": False}, "temperature": 0}},
    }
    arguments = [
        "--backend", json.dumps(backend),
        "--profile", json.dumps({"kind": "concurrent", "streams": [race.streams]}),
        "--constraint", json.dumps({"kind": "max_requests", "count": race.requests}),
        "--tokenizer", json.dumps({"kind": "huggingface_auto", "model": race.tokenizer}),
        "--data", json.dumps({"kind": "synthetic_text", "prompt_tokens": PROMPT_TOKENS, "output_tokens": OUTPUT_TOKENS}),
        "--seed", json.dumps({"kind": "static", "value": race.seed}),
        "--output", json.dumps({"kind": "json", "path": str(out)}), "--disable-console",
    ]  # fmt: skip
    _run([str(program), "run", *arguments], {"HF_HUB_OFFLINE": "1"})
    return guidellm_row(race, json.loads(out.read_text()))


def guidellm_row(race: Race, report: Mapping[str, Any]) -> Row:
    (told,) = report["benchmarks"]
    metrics = told["metrics"]

    def quantile(name: str, share: str) -> float:
        return float(metrics[name]["successful"]["percentiles"][share])

    return race.row(
        "guidellm",
        {
            "completed": metrics["request_totals"]["successful"],
            "failed": metrics["request_totals"]["errored"] + metrics["request_totals"]["incomplete"],
            "requests_per_s": metrics["requests_per_second"]["successful"]["mean"],
            "tokens_per_s": metrics["output_tokens_per_second"]["successful"]["mean"],
            "ttft_p50_ms": quantile("time_to_first_token_ms", "p50"),
            "ttft_p99_ms": quantile("time_to_first_token_ms", "p99"),
            "gap_p50_ms": quantile("inter_token_latency_ms", "p50"),
            "gap_p99_ms": quantile("inter_token_latency_ms", "p99"),
        },
    )


def _run(command: list[str], env: Mapping[str, str]) -> None:
    ended = subprocess.run(
        command, env=os.environ | env, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    if ended.returncode:
        raise RefereeFailedError(f"{command[0]} ended with {ended.returncode}: {(ended.stdout + ended.stderr)[-3000:]}")
