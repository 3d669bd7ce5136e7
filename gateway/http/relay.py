"""Hands a request to vLLM's own serving layer as a fresh one, and reads its answer's errors back into our vocabulary."""

import asyncio
from typing import Any

import msgspec

from gateway.errors import EngineLost, SluiceError
from gateway.http.asgi import App, Headers, Message
from gateway.http.reply import Reply
from gateway.http.vllm_errors import vllm_error
from gateway.pool.context import RequestContext

ERROR_CHUNKS = (b'data: {"error"', b"event: error\n")
KEPT_HEADERS = (b"content-type", b"content-length")


def engine_lost() -> EngineLost:
    return EngineLost("The engine that served this request was lost. Please send the request again.")


class Relay:
    """One request's way through vLLM's app. Nothing of the client's own headers goes along."""

    def __init__(self, app: App, reply: Reply, context: RequestContext) -> None:
        self._app = app
        self._reply = reply
        self._context = context
        self._status = 0
        self._failed: list[bytes] = []

    async def run(self, path: str, body: dict[str, Any], trace: Headers) -> None:
        payload = msgspec.json.encode(body)
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(payload)),
            (b"x-request-id", self._reply.request_id.encode()),
            *trace,
        ]
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": headers,
            "client": None,
            "server": None,
        }
        unread = [payload]

        async def receive() -> Message:
            if unread:
                return {"type": "http.request", "body": unread.pop(), "more_body": False}
            return await _never()

        await self._app(scope, receive, self._send)

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            if self._status < 400:
                kept = [(name, value) for name, value in message["headers"] if name in KEPT_HEADERS]
                await self._reply.start(self._status, kept)
            return
        chunk, more = message.get("body", b""), message.get("more_body", False)
        if self._status >= 400:
            self._failed.append(chunk)
            if not more:
                await self._reply.error(self._error(self._status, b"".join(self._failed)))
        elif chunk.startswith(ERROR_CHUNKS):
            await self._reply.error(self._error(*_read_error_event(chunk)))
        elif not self._reply.ended:
            await (self._reply.write(chunk) if more else self._reply.end(chunk))

    def _error(self, status: int, body: bytes) -> SluiceError:
        return engine_lost() if self._context.engine_lost else vllm_error(status, body)


def _read_error_event(chunk: bytes) -> tuple[int, bytes]:
    """Status and JSON body of vLLM's error in mid-stream; the status stands in the body's own `error.code`."""
    data = next((line[6:] for line in chunk.split(b"\n") if line.startswith(b"data: ")), b"")
    try:
        code = msgspec.json.decode(data)["error"]["code"]
    except (msgspec.DecodeError, KeyError, TypeError):
        code = None
    return (code if isinstance(code, int) and 400 <= code < 600 else 500), data


async def _never() -> Message:
    """The disconnect is watched for outside (disconnect.py), which cancels all of this."""
    await asyncio.get_running_loop().create_future()
    raise AssertionError
