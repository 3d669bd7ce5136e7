"""Traffic as it comes to a service: kinds of requests whose mix follows the sun, at simulated times."""

import math
from collections.abc import Callable, Iterator

import numpy as np

from gateway.drift.features import Samples, Seen, sample
from gateway.drift.monitor import Monitor, Reading, Rules
from gateway.drift.reference import Season

DAY, HOUR = 86_400.0, 3_600.0
MIDNIGHT = 20_000 * DAY
SEASON = Season(DAY, 24, 2 * DAY, 256, 100)
RULES = Rules(SEASON, 512, HOUR, 3)
# Words, a typical prompt length in tokens, a typical answer's, and how often it is refused.
KINDS = {
    "office": ("please summarize the meeting notes about our budget and write a short friendly mail", 120, 80, 0.01),
    "code": ("def sort(list): return the python function that reads this file and fixes the bug", 400, 300, 0.0),
    "chat": ("hello how are you what is your name tell me a joke about cats and dogs tonight", 20, 30, 0.05),
    "deutsch": ("bitte übersetze den folgenden Text für unsere größten Kunden über natürliche Wälder", 90, 90, 0.01),
    "русский": ("пожалуйста переведи этот текст и напиши короткий ответ для нашего клиента сегодня", 110, 90, 0.01),
}
Mix = dict[str, float]


def day_and_night(at: float) -> Mix:
    """Offices and programmers by day, chat and another continent's by night."""
    sun = 0.5 - 0.5 * math.cos(2 * math.pi * (at % DAY) / DAY)
    return {"office": 0.1 + 0.4 * sun, "code": 0.1 + 0.3 * sun, "chat": 0.5 - 0.4 * sun, "deutsch": 0.3 - 0.3 * sun}


class Traffic:
    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def one(self, mix: Mix, at: float) -> Samples:
        words, prompt, answer, refused = KINDS[self._rng.choice(list(mix), p=np.array([*mix.values()]))]
        said = " ".join(self._rng.permutation(words.split())[:10])
        text = "I'm sorry, I cannot do that." if self._rng.random() < refused else "Here you are:"
        lengths = self._rng.lognormal(0, 0.5, 2) * (prompt, answer)
        finish = "length" if lengths[1] > 1000 else "stop"
        return sample(Seen(said, text, int(lengths[0]), int(lengths[1]), finish), at)

    def run(
        self, monitor: Monitor, hours: tuple[float, float], mix: Callable[[float], Mix], version: str = "v1"
    ) -> Iterator[tuple[float, Reading]]:
        """A request each 20 seconds and a comparison each 20 minutes, from one hour since the first midnight to another."""
        start, end = (MIDNIGHT + hour * HOUR for hour in hours)
        for step in range(round((end - start) / 20)):
            at = start + 20 * step
            monitor.add(version, self.one(mix(at), at), at)
            if step % 60 == 59:
                yield at, monitor.evaluate(at)[-1]


def monitor(rules: Rules = RULES, seed: int = 1) -> Monitor:
    return Monitor(rules, np.random.default_rng(seed))
