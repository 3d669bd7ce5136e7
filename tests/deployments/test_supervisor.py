"""`sluice up` while it runs: what it says, and what a reload that fails leaves behind. Without Ray."""

import asyncio
import io
from pathlib import Path

import pytest

from deployments.run_state import RunState
from deployments.supervisor import Supervisor
from gateway.config import load
from gateway.plain_console import plain_console

MODELS = "models:\n  - {name: a, checkpoints: {cpu: {source: 'demo:int8', format: int8-w8a8}}}\n"


class Running:
    """A supervisor as it is once it has started, and what it prints."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "sluice.yaml"
        self.head = f"state_dir: {folder / 'state'}\n"
        self.file.write_text(self.head + MODELS)
        self.printed = io.StringIO()
        self.supervisor = Supervisor(load(self.file), self.file, plain_console(self.printed))
        self.state = self.supervisor._state = RunState(1, 0.0, str(self.file), "", "")

    async def reload(self, content: str) -> str:
        """How it went."""
        self.file.write_text(self.head + content)
        before = self.state.reloads
        task = asyncio.create_task(self.supervisor._reload_when_asked())
        self.supervisor._reload.set()
        async with asyncio.timeout(20):
            while self.state.reloads == before:
                assert not task.done(), "it goes on listening"
                await asyncio.sleep(0.01)
        task.cancel()
        return self.state.reload_error


@pytest.fixture
def running(tmp_path: Path) -> Running:
    return Running(tmp_path)


async def test_a_broken_file_is_told_in_its_own_words_and_ends_nothing(running: Running) -> None:
    error = await running.reload(MODELS + "gateway: {drain_s: 4}} # [/x] [type=missing]\n")
    assert "is not YAML" in error
    assert "[/x] [type=missing]" in error
    assert f"not reloaded: {error}" in running.printed.getvalue()
