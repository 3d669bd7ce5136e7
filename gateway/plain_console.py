"""The console that every command writes to."""

from typing import IO

from rich.console import Console


def plain_console(file: IO[str] | None = None, *, stderr: bool = False) -> Console:
    """Prints brackets and colons as they are: much of what is told (names, paths, errors of others) is not ours."""
    return Console(file=file, stderr=stderr, highlight=False, soft_wrap=True, markup=False, emoji=False)
