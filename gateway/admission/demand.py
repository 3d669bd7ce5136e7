"""How much work came to a queue, and how much of it waits: what autoscaling is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.admission.ledger import Entry


class Demand:
    """Tokens of prompts and of completions, as they were guessed on arrival. `came_*` only grow."""

    __slots__ = ("came_completion", "came_prompt", "waiting_completion", "waiting_prompt")

    def __init__(self) -> None:
        self.came_prompt = self.came_completion = 0.0
        self.waiting_prompt = self.waiting_completion = 0.0

    def came(self, entry: Entry) -> None:
        """Taken in, whether it starts at once or waits."""
        self.came_prompt += entry.prompt
        self.came_completion += entry.work - entry.prompt

    def waits(self, entry: Entry, sign: int = 1) -> None:
        """It begins to wait; with a sign of -1, it waits no more."""
        self.waiting_prompt += sign * entry.prompt
        self.waiting_completion += sign * (entry.work - entry.prompt)
