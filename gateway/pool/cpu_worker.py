"""vLLM's CPU worker, without the death that a seeded request brings it when its prompt takes more than one step.

A step that ends inside a prompt samples a token nobody wants; vLLM 0.32 then winds the request's generator back by an offset,
which CPU generators do not have: the core dies of it. Here such a step draws from the common generator instead.
Its own file, since vLLM loads it by name in the core's process (`worker_cls`).
"""

import contextlib
from collections.abc import Iterator, MutableMapping
from typing import Any

import numpy as np
from vllm.v1.worker.cpu_worker import CPUWorker


@contextlib.contextmanager
def withheld(generators: MutableMapping[int, Any], rows: Iterator[int]) -> Iterator[None]:
    """Within: no generator for these rows of the batch."""
    kept = {row: generators.pop(row) for row in rows if row in generators}
    try:
        yield
    finally:
        generators.update(kept)


class SeededCpuWorker(CPUWorker):
    def sample_tokens(self, grammar_output: Any) -> Any:
        runner = self.model_runner
        unwanted = runner.discard_request_mask.np[: runner.input_batch.num_reqs]
        with withheld(runner.input_batch.generators, map(int, np.flatnonzero(unwanted))):
            return super().sample_tokens(grammar_output)
