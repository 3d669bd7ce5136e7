"""What Sluice still holds after a load is asked for until it holds nothing, or until it is plain that it does."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

from loadtests.launch import free_port
from loadtests.suite.client import address
from loadtests.suite.left_behind import abandoned, settled
from tests.loadtests.toy_chat import Toy
from tests.waiting import eventually

NOTHING = {"models": []}
HELD = {"models": [], "limits": {"open_reservations": 3}}


@contextmanager
def management(*told: dict) -> Iterator[str]:
    """Says one after another, and the last for good; None: the connection is closed instead."""
    left = list(told)

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            status = left.pop(0) if len(left) > 1 else left[0]
            if status:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps(status).encode())

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_gateway_that_is_on_its_way_back_is_waited_for():
    with management({}, HELD, NOTHING) as address:
        assert settled(address, 5.0) == []


def test_what_is_held_for_good_is_named():
    with management(HELD) as address:
        assert settled(address, 0.2) == ["3 reservations not settled"]


def test_a_gateway_that_is_gone_is_a_fault_and_not_the_end_of_the_report():
    (told,) = settled(f"http://127.0.0.1:{free_port()}", 0.2)
    assert told.startswith("nobody knows: the management port gave no answer (URLError")


CORE = "import setproctitle; setproctitle.setproctitle('VLLM::EngineCore'); print(flush=True)\n%s"


@contextmanager
def cores(does: str) -> Iterator[list[int]]:
    """Processes that go by the name of an engine core: so many that together they get half a CPU even of a busy machine."""
    command = [sys.executable, "-c", CORE % does]
    with ExitStack() as last:
        pids = []
        for _ in range(4):
            process = last.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
            last.callback(process.kill)
            assert process.stdout is not None
            process.stdout.readline()
            pids.append(process.pid)
        yield pids


def test_streams_whose_clients_have_left_must_be_forgotten_by_gateway_and_engine(toy: Toy):
    toy.pause_s = 0.01

    def left(told: dict, does: str) -> list[str]:
        with management(told) as status, cores(does) as pids:
            return abandoned(address(toy.url), status, "toy", "sk", 2048, lambda: pids, 0.1)

    assert left(NOTHING, "input()") == []
    eventually(lambda: toy.left == 8, 5, "eight lost streams")
    assert {body["max_tokens"] for body in toy.asked} == {1792}
    held, works = left(HELD, "while True: pass")
    assert held == "0.1 s after its clients left: 3 reservations not settled"
    assert works.startswith("engine cores work (")
