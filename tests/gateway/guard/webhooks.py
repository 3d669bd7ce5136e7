"""A real receiver of the webhook: takes messages, fails, or hangs, as it is told."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self


class Receiver:
    """`messages`: all that came, taken or not. While it `hangs` nothing is answered until it is closed."""

    def __init__(self, behaviour: Literal["takes", "fails", "hangs"] = "takes") -> None:
        self.behaviour = behaviour
        self.messages: list[dict[str, Any]] = []
        self._closed = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.messages.append(json.loads(body))
                if receiver.behaviour == "hangs":
                    receiver._closed.wait()
                    return
                self.send_response(500 if receiver.behaviour == "fails" else 204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/guard"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
