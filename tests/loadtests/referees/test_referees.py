"""What is made of the clients' words. The clients themselves are run by `python -m loadtests.referees`."""

import pytest

from loadtests.referees.__main__ import BARE, SLUICE, clients, ratios
from loadtests.referees.clients import Race, ours
from loadtests.referees.results import Row
from loadtests.servers import Server
from tests.loadtests.toy_chat import serving


def row(side: str, seed: int, rate: float, client: str = "ours") -> Row:
    return Row(client, side, seed, 10, 0, rate, rate * 64, 1.0, 2.0, 1.0, 2.0)


def test_a_ratio_is_of_two_runs_of_one_round_whichever_came_first():
    rows = [row(BARE, 1, 10.0), row(SLUICE, 1, 9.0), row(SLUICE, 2, 30.0), row(BARE, 2, 20.0)]
    rows += [row(BARE, 1, 4.0, "guidellm"), row(SLUICE, 1, 6.0, "guidellm")]
    found = ratios(rows)
    assert (found["ours"].low, found["ours"].high, found["ours"].count) == (0.9, 1.5, 2)
    assert found["guidellm"].median == 1.5


def test_guidellm_takes_part_if_it_is_there(tmp_path):
    assert len(clients(None)) == 2
    assert len(clients(tmp_path)) == 3


def test_our_own_client_counts_what_it_got(tmp_path):
    with serving() as toy:
        server = Server(None, "toy", {"own": toy.server_address[1]}, "sk")  # type: ignore[arg-type]
        found = ours(Race(BARE, server, "", 12, 4, 1, tmp_path))
    assert (found.completed, found.failed, found.side) == (12, 0, BARE)
    assert found.tokens_per_s == pytest.approx(64 * found.requests_per_s)
