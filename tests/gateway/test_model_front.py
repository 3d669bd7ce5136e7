"""What a gateway lets in, by what its engines say that they run and what other gateways have on them."""

import math
from types import SimpleNamespace

import pytest

from gateway.admission.admission import Permit
from gateway.admission.ticket import Ticket
from gateway.config import Gateway
from gateway.model_front import ModelFront
from gateway.pool.curve import Peer
from gateway.pool.wire import Load
from tests.gateway.pool.engines import SPEC


@pytest.mark.parametrize(("runs", "gateways", "widest"), [(80, 1, 64), (80, 2, 32), (80, 3, 21), (1, 1, 1), (1, 2, 1)])
async def test_the_widest_request_fits_an_engine_that_other_gateways_keep_full(
    runs: int, gateways: int, widest: int
) -> None:
    peer = Peer()
    front = ModelFront(SPEC, peer, Gateway(replicas=gateways), lambda *_: None)
    engine = SimpleNamespace(
        up=True, leaving=False, delisted=False, card=SimpleNamespace(max_num_seqs=runs), others=Load(runs, 0)
    )
    vars(front.pool.roster)["_channels"] = {"engine": engine}
    front._on_capacity()
    assert front.admission.widest == widest
    permit = await front.admission.admit(Ticket("t", "k", 10, 10, sequences=widest))
    assert isinstance(permit, Permit)
    assert front.admission.status().running_sequences <= math.ceil(runs / gateways)
    permit.release()
    peer.close()
