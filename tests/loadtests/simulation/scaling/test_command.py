"""The command: from arguments to a table, a file and pictures."""

import subprocess
import sys
from pathlib import Path

import msgspec

from loadtests.simulation.scaling.__main__ import Results

ROOT = Path(__file__).parents[4]


def test_a_trace_becomes_a_table_a_file_and_a_picture(tmp_path):
    requests = tmp_path / "small.csv"
    lines = [f"{second / 4},{200 + second % 7 * 50},{20 + second % 5}" for second in range(240)]
    requests.write_text("\n".join(["arrival_s,input_tokens,output_tokens", *lines]))
    out = tmp_path / "results.json"
    command = [sys.executable, "-m", "loadtests.simulation.scaling", str(requests), "--startup", "5", "--quick"]
    done = subprocess.run(
        [*command, "--processes", "1", "--out", str(out)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (case,) = msgspec.json.decode(out.read_bytes(), type=Results).cases
    assert [row.policy for row in case.rows][:2] == ["Sluice", "Ray Serve, defaults"]
    assert case.requests == 240
    assert ("MISSED" in done.stdout) is not case.verdict.held
    assert (tmp_path / "scaling-small-5s.png").read_bytes().startswith(b"\x89PNG")
