"""What a request will cost, before anyone can know: learned from those that have ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.admission.ticket import Ticket

FIRST_COMPLETION = 256.0
NEW = 0.1


class Mean:
    """Moving mean of what was seen; `first` counts as one value seen."""

    __slots__ = ("_seen", "value")

    def __init__(self, first: float) -> None:
        self.value = first
        self._seen = 1

    def see(self, value: float) -> None:
        self._seen += 1
        self.value += max(NEW, 1 / self._seen) * (value - self.value)


class Prompts:
    """Exact tokens per guessed one, over all requests of a model."""

    def __init__(self) -> None:
        self._factor = Mean(1.0)

    def expect(self, ticket: Ticket) -> int:
        return max(1, round(ticket.prompt_guess * self._factor.value))

    def see(self, ticket: Ticket, exact: int) -> None:
        if ticket.prompt_guess > 0:
            self._factor.see(min(exact / ticket.prompt_guess, 16.0))


def completion(ticket: Ticket, mean: Mean) -> int:
    """Completion tokens to charge at the start, over all sequences: what this tenant's requests usually take, if allowed to."""
    return max(1, round(min(ticket.max_completion_tokens, mean.value) * ticket.sequences))
