"""A run's end: what Sluice still holds is asked for until it holds nothing, or until it is plain that it does."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

from loadtests.launch import free_port
from loadtests.suite.session import settled

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
