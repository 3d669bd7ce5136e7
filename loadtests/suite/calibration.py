"""How fast this machine is, by fixed work in which Sluice has no part: what two runs measured is compared as multiples of it."""

import json
import time
from collections.abc import Callable

TRIES, PIECES = 100, 200


def calibration_ms(work: Callable[[], object] | None = None, clock: Callable[[], float] = time.perf_counter) -> float:
    """Milliseconds of one thread for the work: the least of many tries, since whatever else runs can only delay one."""
    work = work or _work
    took = []
    for _ in range(TRIES):
        begun = clock()
        work()
        took.append(clock() - begun)
    return 1e3 * min(took)


def _work() -> int:
    """What a front end does with its time: small objects, dictionaries, text in and out."""
    total = 0
    for number in range(PIECES):
        piece = {"id": f"piece-{number}", "choices": [{"index": 0, "delta": {"content": f" {number}"}}]}
        read = json.loads(json.dumps(piece))
        total += sum(len(word) for word in str(read["choices"]).split())
    return total
