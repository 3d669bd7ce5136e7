"""The command that says what the suite's own client costs."""

import re
import subprocess
import sys

from loadtests.drive import ROOT


def test_the_cost_of_a_token_is_measured_against_answers_that_are_right():
    command = [sys.executable, "-m", "loadtests.suite.cost", "--streams", "5", "--seconds", "0.5", "--pace", "1"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert told.returncode == 0, told.stderr
    found = re.search(r"^5 streams, ([\d,]+) tokens/s for .* s: ([\d.]+) µs of CPU", told.stdout)
    assert found is not None, told.stdout
    assert int(found[1].replace(",", "")) > 128
    assert float(found[2]) > 1
