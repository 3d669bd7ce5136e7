"""The console that every command writes to."""

import contextlib
from typing import IO, Any

from rich.console import Console


class LastingConsole(Console):
    """Loses what it cannot print: who has more to do than to tell of it must not be stopped by a reader that is gone."""

    def on_broken_pipe(self) -> None:
        self.quiet = True

    def print(self, *objects: Any, **how: Any) -> None:
        with contextlib.suppress(OSError):
            super().print(*objects, **how)


def plain_console(file: IO[str] | None = None, *, stderr: bool = False, kind: type[Console] = Console) -> Console:
    """Prints brackets and colons as they are: much of what is told (names, paths, errors of others) is not ours."""
    return kind(file=file, stderr=stderr, highlight=False, soft_wrap=True, markup=False, emoji=False)
