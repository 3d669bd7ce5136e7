"""A chat server in a thread that streams as vLLM does, and gets wrong what it is asked to get wrong."""

import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

HEAD = {"id": "chat-1", "object": "chat.completion.chunk", "created": 7, "model": "toy"}


def chunk(delta: dict[str, Any], finish: str | None = None, index: int = 0) -> dict[str, Any]:
    return HEAD | {"choices": [{"index": index, "delta": delta, "finish_reason": finish}]}


def usage(prompt: int, completion: int, total: int | None = None) -> dict[str, Any]:
    counts = {"prompt_tokens": prompt, "completion_tokens": completion}
    return HEAD | {"choices": [], "usage": counts | {"total_tokens": prompt + completion if total is None else total}}


def stream(tokens: int) -> list[dict[str, Any]]:
    """The chunks of a right answer."""
    texts = [chunk({"content": f"{number} "}) for number in range(tokens - 1)]
    return [chunk({"role": "assistant", "content": ""}), *texts, chunk({"content": "."}, "length"), usage(9, tokens)]


def call(*arguments: str, name: str = "get_weather", finish: str = "tool_calls") -> list[dict[str, Any]]:
    """The chunks of an answer that calls a tool, its arguments in these pieces."""
    first = {"index": 0, "id": "c", "type": "function", "function": {"name": name, "arguments": ""}}
    pieces = [chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}) for piece in arguments]
    begin = chunk({"role": "assistant", "tool_calls": [first]})
    return [begin, *pieces, chunk({}, finish), usage(9, 1 + len(arguments))]


class Toy(ThreadingHTTPServer):
    """`refuse`: so many requests are answered by 429, with `retry_after`. `mute`: so many get no answer, `drop`: so many get their
    connection closed. `pause_s` between chunks. `late`: the wait is told by a comment. `lossy`: each time something is asked again
    the answer lacks another token. `seats`: so many stream at once, others wait. Whoever brings a tool gets a call of one at once.
    """

    daemon_threads = True
    request_queue_size = 512

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.refuse = self.mute = self.drop = 0
        self.retry_after = 1
        self.pause_s = 0.0
        self.late = False
        self.lossy = False
        self.seats = threading.Semaphore(1000)
        self.asked: list[dict[str, Any]] = []
        self.connections = 0
        self.left = 0
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def secure(self, certificate: Path, key: Path) -> None:
        """Speaks TLS from now on, as localhost."""
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate, key)
        self.socket = tls.wrap_socket(self.socket, server_side=True)
        self.url = f"https://localhost:{self.server_address[1]}"


def _limit(body: dict[str, Any]) -> int:
    return int(body.get("max_completion_tokens") or body["max_tokens"])


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Toy

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def log_message(self, *_: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append(body)
        if self.server.mute > 0:
            self.server.mute -= 1
            self.rfile.read(1)
            self.close_connection = True
        elif self.server.drop > 0:
            self.server.drop -= 1
            self.close_connection = True
        elif self.server.refuse > 0:
            self.server.refuse -= 1
            wait = {"retry-after": str(self.server.retry_after)}
            self._whole(429, {"error": {"message": "later", "type": "rate_limit_error"}}, wait)
        elif not body.get("stream"):
            (text, *_) = (body.get("structured_outputs") or {}).get("choice", ["yes"])
            choice = {"index": 0, "message": {"content": text}, "finish_reason": "stop"}
            counts = {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}
            self._whole(200, {"choices": [choice], "usage": counts}, {})
        else:
            try:
                chunks = call('{"city": ', '"Paris"}') if body.get("tools") else stream(_limit(body))
                lost = 1 + self.server.asked.count(body) if self.server.lossy else len(chunks)
                with self.server.seats:
                    self._stream(chunks[:lost] + chunks[lost + 1 :], "tools" not in body)
            except OSError:
                self.server.left += 1
                self.close_connection = True

    def do_GET(self) -> None:
        self._whole(200, {"status": "live"}, {})

    def _whole(self, status: int, content: dict[str, Any], headers: dict[str, str]) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"content-type": "application/json", "content-length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, chunks: list[dict[str, Any]], slowly: bool) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        if not self.server.late:
            self.send_header("server-timing", "queue;dur=12.5")
        self.end_headers()
        if self.server.late:
            self._piece(b": waiting\n\n")
            self._piece(b": queue;dur=5012.5\n\n")
        for one in chunks:
            time.sleep(self.server.pause_s if slowly else 0)
            self._piece(b"data: " + json.dumps(one).encode() + b"\n\n")
        self._piece(b"data: [DONE]\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def _piece(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))


@contextmanager
def serving() -> Iterator[Toy]:
    with Toy() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()
