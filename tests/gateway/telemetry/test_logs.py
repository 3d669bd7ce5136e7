"""Whoever writes, and by whatever means: each line is one JSON object."""

import json
import subprocess
import sys

import pytest

PROGRAM = """
import logging, sys, warnings
logging.basicConfig(stream=sys.stderr)
from gateway.telemetry import logs
logs.configure(process="gateway")
import structlog
structlog.get_logger("gateway.http.door").info("request_failed", path="/v1")
logging.getLogger("gateway.audit.log").error("audit: %d records\\nare lost", 3)
logging.getLogger("uvicorn.error").warning("another's")
warnings.warn("an old thing", DeprecationWarning, stacklevel=1)
try:
    1 / 0
except ZeroDivisionError:
    structlog.get_logger().exception("first")
    logging.getLogger("asyncio").exception("second")
import threading
long = "x" * 20_000
ours = threading.Thread(target=lambda: [structlog.get_logger("ours").info(long) for _ in range(100)])
ours.start()
for _ in range(100):
    logging.getLogger("theirs").error(long)
ours.join()
"""


@pytest.fixture(scope="module")
def written() -> list[str]:
    ended = subprocess.run(
        [sys.executable, "-W", "always", "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60
    )
    assert ended.stderr == ""
    return ended.stdout.splitlines()


@pytest.fixture(scope="module")
def lines(written: list[str]) -> list[dict[str, str]]:
    return [json.loads(line) for line in written[:6]]


def test_every_line_is_json_and_says_of_what_process_it_is(lines: list[dict[str, str]]) -> None:
    assert [line["event"].partition(" ")[0] for line in lines][:3] == ["request_failed", "audit:", "another's"]
    assert all(line["process"] == "gateway" and line["timestamp"].endswith("Z") for line in lines)


def test_the_standard_librarys_lines_keep_level_name_and_text(lines: list[dict[str, str]]) -> None:
    assert (lines[1]["level"], lines[1]["logger"]) == ("error", "gateway.audit.log")
    assert lines[1]["event"] == "audit: 3 records\nare lost"
    assert "an old thing" in lines[3]["event"]


def test_tracebacks_are_part_of_their_line(lines: list[dict[str, str]]) -> None:
    assert all("ZeroDivisionError" in line["exception"] for line in lines[4:])


def test_long_lines_of_two_threads_stay_whole(written: list[str]) -> None:
    assert [len(json.loads(line)["event"]) for line in written[6:]] == [20_000] * 200
