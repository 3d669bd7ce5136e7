"""The suite's client: one connection, whole exchanges, and what goes wrong as a word in them."""

import json
import socket
import threading
import time
from pathlib import Path

import pytest

from gateway.config import Gateway
from loadtests.suite.client import (
    KEEP_ALIVE_S,
    SPARE_S,
    Address,
    AddressError,
    Connection,
    Leave,
    address,
    queue_s,
    retry_after_s,
)
from loadtests.suite.plan import Plan, chat
from loadtests.suite.verify import read_answer
from tests.gateway.http.test_tls import Authority
from tests.loadtests.toy_chat import Toy, stream
from tests.waiting import eventually

PLAN = Plan(chat("toy", [{"role": "user", "content": "Hi"}], 5, exact=True), max_tokens=5, exact=True)
PAYLOAD = PLAN.payload("x", "sk-key")


@pytest.fixture
def connection(toy: Toy):
    made = Connection(address(toy.url), stall_s=5)
    yield made
    made.close()


def test_a_stream_is_read_whole_with_times_and_the_next_one_takes_the_same_connection(toy: Toy, connection: Connection):
    for _ in range(3):
        exchange = connection.ask(PAYLOAD)
        answer = read_answer(exchange, PLAN)
        assert (exchange.error, answer.problem, answer.text, answer.tokens) == ("", "", "0 1 2 3 .", 5)
        assert len(answer.gaps_s) == 4
        assert answer.first_at is not None
        assert exchange.sent <= answer.first_at <= exchange.ended
    assert toy.connections == 1


def test_a_connection_is_used_as_long_as_the_server_keeps_it_and_not_a_moment_longer(toy: Toy):
    connection = Connection(address(toy.url), 5, keep_alive_s=SPARE_S + 0.2)
    for _ in range(2):
        assert connection.ask(PAYLOAD).error == ""
    assert toy.connections == 1
    time.sleep(0.25)
    assert connection.ask(PAYLOAD).error == ""
    assert (toy.connections, len(toy.asked)) == (2, 3)
    connection.close()


def test_the_gateway_keeps_a_connection_as_long_as_its_client_expects():
    assert Gateway().keep_alive_s == KEEP_ALIVE_S


def test_a_request_that_the_server_drops_on_a_kept_connection_has_failed(toy: Toy, connection: Connection):
    """It may be at work: sent again, it would be done twice, and what was lost would pass for an answer."""
    assert connection.ask(PAYLOAD).error == ""
    toy.drop = 1
    assert connection.ask(PAYLOAD).error == "ConnectionError: closed by the server before an answer"
    assert connection.ask(PAYLOAD).error == ""
    assert (toy.connections, len(toy.asked)) == (2, 3)


def test_a_connection_that_was_closed_before_its_time_fails_the_next_request(toy: Toy, connection: Connection):
    connection.ask(PAYLOAD)
    assert connection._socket is not None
    connection._socket.shutdown(socket.SHUT_RDWR)
    assert connection.ask(PAYLOAD).error != ""
    assert len(toy.asked) == 1


def test_a_server_that_says_nothing_on_a_kept_connection_is_not_asked_twice(toy: Toy, connection: Connection):
    connection.ask(PAYLOAD)
    assert connection._socket is not None
    connection._socket.settimeout(0.1)
    toy.mute = 1
    exchange = connection.ask(PAYLOAD)
    assert ("timed out" in exchange.error, len(toy.asked)) == (True, 2)


@pytest.mark.parametrize("late", [False, True])
def test_the_wait_is_known_from_the_header_or_from_a_comment(toy: Toy, connection: Connection, late: bool):
    toy.late = late
    exchange = connection.ask(PAYLOAD)
    assert queue_s(exchange.headers) == (5.0125 if late else 0.0125)
    assert read_answer(exchange, PLAN).problem == ""


def test_who_leaves_in_mid_stream_is_gone(toy: Toy, connection: Connection):
    toy.pause_s = 0.02
    long = Plan(chat("toy", [], 300, exact=True), max_tokens=300, exact=True)
    exchange = connection.ask(long.payload("x", ""), Leave(events=4))
    assert (exchange.error, len(exchange.events), connection.open) == ("", 4, False)
    assert not connection.ask(long.payload("x", ""), Leave(seconds=0.02)).events
    eventually(lambda: toy.left == 2, 5, "two lost streams")


def test_a_refusal_says_when_to_come_again(toy: Toy, connection: Connection):
    toy.refuse = 1
    exchange = connection.ask(PAYLOAD)
    assert (exchange.status, retry_after_s(exchange.headers)) == (429, 1.0)
    assert read_answer(exchange, PLAN).problem.startswith("status 429")
    assert connection.ask(PAYLOAD).status == 200


def answering(*data: bytes, heard: list[bytes] | None = None) -> int:
    """A server that answers one request with these bytes, piece by piece, and closes."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with server, server.accept()[0] as client:
            said = client.recv(65536)
            for piece in data:
                client.sendall(piece)
                time.sleep(0.002)
            if heard is not None:
                heard.append(said)

    threading.Thread(target=serve, daemon=True).start()
    return int(server.getsockname()[1])


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("rest", ["data: {}\n", "garbage", "garbage\n\n", ": comment\n\n"])
def test_whatever_comes_after_the_last_event_is_told(rest: str):
    events = "".join(f"data: {json.dumps(one)}\n\n" for one in stream(5)) + "data: [DONE]\n\n"

    def asked(*pieces: str) -> str:
        chunks = [b"%x\r\n%b\r\n" % (len(piece), piece.encode()) for piece in pieces]
        connection = Connection(Address("127.0.0.1", answering(HEAD, *chunks, b"0\r\n\r\n")), 5)
        problem = read_answer(connection.ask(PAYLOAD), PLAN).problem
        connection.close()
        return problem

    assert [asked(events[:-cut], events[-cut:]) for cut in range(1, 16)] == [""] * 15, "wherever it is cut"
    assert asked(events, rest).startswith("bytes that are no event")
    assert asked(events + rest).startswith("bytes that are no event")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "closed by the server before an answer"),
        (HEAD + b"5\r\ndata:", "closed by the server in mid-answer"),
        (HEAD + b"0\r\n\r\nHTTP/1.1 200 OK", "bytes after the end"),
        (HEAD + b"xyz\r\n", "ValueError"),
        (b"nonsense\r\n\r\n", "IndexError"),
    ],
)
def test_what_goes_wrong_on_the_wire_is_told_not_raised(data: bytes, said: str):
    exchange = Connection(Address("127.0.0.1", answering(data)), 5).ask(PAYLOAD)
    assert said in exchange.error
    assert said in read_answer(exchange, PLAN).problem


def test_a_silent_server_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert "timed out" in Connection(Address("127.0.0.1", server.getsockname()[1]), 0.1).ask(PAYLOAD).error


def test_https_is_spoken_to_a_server_whose_authority_is_known_and_to_no_other(toy: Toy, tmp_path: Path):
    authority = Authority(tmp_path, "authority")
    toy.secure(*authority.issue("toy"))
    connection = Connection(address(toy.url, str(authority.file)), 5)
    for _ in range(2):
        assert read_answer(connection.ask(PAYLOAD), PLAN).problem == ""
    connection.close()
    assert (toy.connections, len(toy.asked)) == (1, 2)
    for known in ("", str(Authority(tmp_path, "another").file)):
        assert "certificate verify failed" in Connection(address(toy.url, known), 5).ask(PAYLOAD).error
    assert len(toy.asked) == 2


def test_nothing_of_an_https_request_is_sent_in_the_clear():
    heard: list[bytes] = []
    port = answering(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", heard=heard)
    assert "SSLError" in Connection(address(f"https://127.0.0.1:{port}"), 5).ask(PAYLOAD).error
    (said,) = eventually(lambda: heard, 5, "what was sent")
    assert said.startswith(b"\x16\x03"), "a TLS handshake"
    assert b"sk-key" not in said


@pytest.mark.parametrize("url", ["ftp://gateway", "gateway:8080", "https://", "unix:/run/gateway"])
def test_what_is_neither_http_nor_https_is_refused(url: str):
    with pytest.raises(AddressError, match="neither http:// nor https://"):
        address(url)
    assert (address("http://[::1]/v1").port, address("https://gateway").port) == (80, 443)


def test_an_authority_that_cannot_be_read_is_named(tmp_path: Path):
    with pytest.raises(AddressError, match="No such file"):
        address("https://gateway", str(tmp_path / "none.pem"))


def test_a_payload_is_one_http_request():
    head, _, body = PAYLOAD.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/chat/completions HTTP/1.1\r\n")
    assert b"Authorization: Bearer sk-key" in head
    assert json.loads(body) == PLAN.body
    assert b"Authorization" not in PLAN.payload("x", "")
