"""Hands a request to vLLM's own serving layer as a fresh one, and reads its answer's errors back into our vocabulary."""

import asyncio
from typing import Any

import msgspec

from gateway.errors import SluiceError
from gateway.http.asgi import App, Message
from gateway.http.body import ClientGone
from gateway.http.sse_writer import SseWriter
from gateway.http.stall import taken
from gateway.http.vllm_errors import vllm_error, vllm_error_event
from gateway.pool.context import RequestContext

ERROR_CHUNKS = (b'data: {"error"', b"event: error\n")
TOO_LONG = b'"incomplete_details":{"reason":"max_output_tokens"'
"""How the Responses route tells that tokens ended an answer, whoever limited them."""
GONE_S = 0.05
KEPT_HEADERS = (b"content-type", b"content-length")


class Relay:
    """One request's way through vLLM's app. Nothing of the client's own headers goes along.

    The status line waits for the first chunk, and until the request's tokens are reserved (the Responses route speaks before that):
    a stream that begins with an error is still an answer with an error's status.
    """

    def __init__(self, app: App, writer: SseWriter, context: RequestContext) -> None:
        self._app = app
        self._writer = writer
        self._reply = writer.reply
        self._context = context
        self._start: Message = {}
        self._failed: list[bytes] = []
        self._held: list[bytes] = []
        self._stuck: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self, path: str, body: dict[str, Any]) -> None:
        payload = msgspec.json.encode(body)
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(payload)),
            (b"x-request-id", self._reply.request_id.encode()),
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
        unread, gone = [payload], asyncio.Event()

        async def receive() -> Message:
            if unread:
                return {"type": "http.request", "body": unread.pop(), "more_body": False}
            await gone.wait()
            return {"type": "http.disconnect"}

        answering = asyncio.ensure_future(self._app(scope, receive, self._send))
        try:
            await asyncio.wait((answering, self._stuck), return_when=asyncio.FIRST_COMPLETED)
            if self._stuck.done():
                raise ClientGone  # noqa: TRY301  it ends as if it had hung up
            answering.result()
        except (asyncio.CancelledError, ClientGone):
            # A handler of vLLM's may run in a task of its own, which a disconnect ends and a cancellation would leave running;
            # a stream of Starlette's notices nothing but the cancellation.
            gone.set()
            await asyncio.wait([answering], timeout=GONE_S)
            answering.cancel()
            await asyncio.gather(answering, return_exceptions=True)
            raise
        except Exception as exc:
            if self._context.failure is not None:
                raise self._context.failure from exc
            raise

    async def _send(self, message: Message) -> None:
        """To a client that does not read nothing more is sent. vLLM is not told by an error: it must be waiting for tokens, or its
        end, for what it has running to end with it.
        """
        if self._stuck.done():
            return
        try:
            await self._pass_on(message)
        except ClientGone:
            self._stuck.set_result(None)

    async def _pass_on(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            return
        status: int = self._start["status"]
        chunk, more = message.get("body", b""), message.get("more_body", False)
        if status >= 400:
            self._failed.append(chunk)
            if not more:
                await self._fail(vllm_error(status, b"".join(self._failed)))
        elif self._context.failure is not None and not self._reply.status:
            await self._fail(self._context.failure)
        elif chunk.startswith(ERROR_CHUNKS):
            await self._fail(vllm_error_event(chunk))
        elif more and self._context.meter is not None and not self._context.meter.decided:
            self._held.append(chunk)
        elif not self._reply.ended:
            if self._held:
                chunk = b"".join([*self._held, chunk])
                self._held.clear()
            await self._write(status, chunk, more=more)

    async def _write(self, status: int, chunk: bytes, *, more: bool) -> None:
        if not self._writer.begun:
            self._writer.head = status, [each for each in self._start["headers"] if each[0] in KEPT_HEADERS]
        if more:
            self._writer.write(self._told(chunk))
        await self._writer.flushed()
        if more:
            return
        if not self._reply.status:
            await taken(self._reply.start(*self._writer.head))
        await self._reply.end(chunk)

    def _told(self, chunk: bytes) -> bytes:
        """A stream's last event names the limit that ended it; elsewhere a header does."""
        meter = self._context.meter
        if meter is None or meter.reason is None:
            return chunk
        return chunk.replace(TOO_LONG, TOO_LONG + b',"code":"%b"' % meter.reason.encode())

    async def _fail(self, err: SluiceError) -> None:
        self._writer.abandon()
        await self._reply.error(self._context.failure or err)
