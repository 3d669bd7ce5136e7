"""What a gateway lets in, by what its engines say that they run and what other gateways have on them."""

import asyncio
import math
import time
from types import SimpleNamespace

import pytest

from gateway.absence import BRIEF_S, Absence
from gateway.admission.admission import Permit
from gateway.admission.ticket import Ticket
from gateway.config import Gateway
from gateway.model_front import ModelFront
from gateway.pool.curve import Peer
from gateway.pool.wire import Load
from tests.gateway.pool.engines import SPEC


def _comes(front: ModelFront, runs: int, others: int = 0) -> None:
    engine = SimpleNamespace(
        up=True, leaving=False, delisted=False, card=SimpleNamespace(max_num_seqs=runs), others=Load(others, 0)
    )
    vars(front.pool.roster)["_channels"] = {"engine": engine}
    front._on_capacity()


@pytest.mark.parametrize(("runs", "gateways", "widest"), [(80, 1, 64), (80, 2, 32), (80, 3, 21), (1, 1, 1), (1, 2, 1)])
async def test_the_widest_request_fits_an_engine_that_other_gateways_keep_full(
    runs: int, gateways: int, widest: int
) -> None:
    peer = Peer()
    front = ModelFront(SPEC, peer, Gateway(replicas=gateways), lambda *_: None)
    _comes(front, runs, others=runs)
    assert front.admission.widest == widest
    permit = await front.admission.admit(Ticket("t", "k", 10, 10, sequences=widest))
    assert isinstance(permit, Permit)
    assert front.admission.status().running_sequences <= math.ceil(runs / gateways)
    permit.release()
    peer.close()


async def test_who_waited_for_the_first_engine_is_not_told_to_have_waited_for_a_second() -> None:
    peer = Peer()
    front = ModelFront(SPEC, peer, Gateway(), lambda *_: None)
    front.absence = Absence(time.monotonic() - 2 * BRIEF_S)
    waiting = [asyncio.create_task(front.admission.admit(Ticket("t", "k", 10, 10))) for _ in range(3)]
    await asyncio.sleep(0.4)
    _comes(front, 1)
    await asyncio.sleep(0.1)
    told, status = front._queue("gateway"), front.admission.status()
    assert (told.requests, status.waiting) == (2, 2)
    assert told.oldest_s < 0.3
    assert status.oldest_s > 0.4
    for task in waiting:
        task.cancel()
    peer.close()
