"""Exact match on held-out prompts, both formats, through vLLM; writes the table of the README."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from deployments.demo_model import BF16, INT8
from deployments.demo_model.cases import Case, held_out

README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
_ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "TORCHDYNAMO_DISABLE": "1",
}
_KV_CACHE_BYTES = 64 << 20

Answers = list[str]


def answers(folder: Path, cases: list[Case]) -> Answers:
    """Greedy answers of one checkpoint."""
    os.environ.update(_ENVIRONMENT)
    from vllm import LLM, SamplingParams

    engine = LLM(
        str(folder), dtype="bfloat16", enforce_eager=True, kv_cache_memory_bytes=_KV_CACHE_BYTES, block_size=32,
        max_model_len=2048, max_num_seqs=64, seed=0,
    )  # fmt: skip
    tokenizer = engine.get_tokenizer()
    prompts: list[Any] = [
        {
            "prompt_token_ids": tokenizer.apply_chat_template(
                list(case.messages), tools=list(case.tools) or None, add_generation_prompt=True, return_dict=False
            )
        }
        for case in cases
    ]
    outputs = engine.generate(prompts, SamplingParams(temperature=0.0, max_tokens=400), use_tqdm=False)
    return [output.outputs[0].text for output in outputs]


def is_right(case: Case, answer: str) -> bool:
    """The very text expected; calls are compared as vLLM's Hermes parser reads them."""
    if "<tool_call>" not in case.expected:
        return answer == case.expected
    return "<tool_call>" in answer and _calls(answer) == _calls(case.expected)


def _calls(text: str) -> list[tuple[str, Any]] | None:
    from vllm.tool_parsers.hermes_tool_parser import Hermes2ProToolParser

    parts = Hermes2ProToolParser.tool_call_regex.findall(text)
    try:
        calls = [json.loads(closed or open_) for closed, open_ in parts]
        return [(call["name"], call["arguments"]) for call in calls]
    except (ValueError, KeyError, TypeError):
        return None


def table(cases: list[Case], by_format: dict[str, Answers]) -> str:
    """A Markdown table: per task the number of prompts and the percentage right."""
    totals = Counter(case.task for case in cases)
    lines = ["| task | prompts | " + " | ".join(by_format) + " |", "|---|---:|" + "---:|" * len(by_format)]
    right = {
        name: Counter(case.task for case, answer in zip(cases, given, strict=True) if is_right(case, answer))
        for name, given in by_format.items()
    }
    for task, total in totals.items():
        shares = " | ".join(f"{100 * right[name][task] / total:.1f}" for name in by_format)
        lines.append(f"| {task.replace('_', ' ')} | {total} | {shares} |")
    shares = " | ".join(f"{100 * right[name].total() / len(cases):.1f}" for name in by_format)
    lines.append(f"| **all** | {len(cases)} | {shares} |")
    return "\n".join(lines)


def _in_own_process(folder: Path, seed: int, most: int) -> Answers:
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "answers.json"
        command = [
            sys.executable,
            "-m",
            "deployments.demo_model.evaluate",
            "--folder",
            str(folder),
            "--answers",
            str(target),
        ]
        subprocess.run([*command, "--seed", str(seed), "--most", str(most)], check=True)
        return list(json.loads(target.read_text()))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--bf16", type=Path, default=BF16, help="folder of the bf16 checkpoint")
    parser.add_argument("--int8", type=Path, default=INT8, help="folder of the int8 checkpoint")
    parser.add_argument("--seed", type=int, default=1, help="chooses the held-out prompts")
    parser.add_argument("--most", type=int, default=400, help="prompts per task, at most")
    parser.add_argument("--wrong", type=int, default=0, help="show so many wrong answers per format and task")
    parser.add_argument("--write", action="store_true", help="put the table into the README")
    parser.add_argument("--folder", type=Path, help="answer with this checkpoint only, and write --answers")
    parser.add_argument("--answers", type=Path, help="file for the answers of --folder")
    given = parser.parse_args()
    cases = held_out(given.seed, given.most)
    if given.folder:
        given.answers.write_text(json.dumps(answers(given.folder, cases)))
        return
    folders = {"bf16": given.bf16, "int8 W8A8": given.int8}
    by_format = {name: _in_own_process(folder, given.seed, given.most) for name, folder in folders.items()}
    made = table(cases, by_format)
    print(made)
    for name, found in by_format.items():
        _show_wrong(name, cases, found, given.wrong)
    if given.write:
        before, _, rest = README.read_text().partition(BEGIN)
        README.write_text(f"{before}{BEGIN}\n{made}\n{END}{rest.partition(END)[2]}")


def _show_wrong(name: str, cases: list[Case], found: Answers, most: int) -> None:
    shown: Counter[str] = Counter()
    for case, answer in zip(cases, found, strict=True):
        if shown[case.task] < most and not is_right(case, answer):
            shown[case.task] += 1
            question = case.messages[-1]["content"]
            print(f"{name} {case.task}: {question!r} gave {answer!r}, not {case.expected!r}")


if __name__ == "__main__":
    main()
