"""A server-sent-events server that counts: as many chunks as a request asks for tokens, cut at odd places."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest


class Toy:
    """`flaw` names what it gets wrong: a status, a lost connection, a missing [DONE], too few tokens, silence."""

    def __init__(self, flaw: str = "") -> None:
        self.flaw = flaw
        self.requests = 0
        self.keys: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head.splitlines()[1:])}
                body = json.loads(await reader.readexactly(int(headers["content-length"])))
                self.requests += 1
                self.keys.append(headers.get("authorization", ""))
                if not await self._answer(body, writer):
                    break
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    async def _answer(self, body: dict, writer: asyncio.StreamWriter) -> bool:
        if self.flaw == "silence":
            await asyncio.sleep(60)
        if self.flaw == "status":
            writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy")
            return True
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        tokens = body["max_tokens"] - (self.flaw == "short")
        prompt = body["messages"][0]["content"]
        events = [{"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]}]
        for number in range(tokens):
            reason = "length" if number == tokens - 1 else None
            events.append(
                {"choices": [{"index": 0, "delta": {"content": f"{len(prompt)}.{number} "}, "finish_reason": reason}]}
            )
        events.append({"choices": [], "usage": {"completion_tokens": tokens}})
        stream = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
        stream += "" if self.flaw == "not done" else "data: [DONE]\n\n"
        wire = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in _cut(stream.encode(), 97)) + b"0\r\n\r\n"
        for part in _cut(wire, 41):
            writer.write(part)
            await writer.drain()
            if self.flaw == "cut":
                return False
        return True


def _cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@asynccontextmanager
async def toy(flaw: str = "") -> AsyncIterator[tuple[Toy, int]]:
    """A running toy and its port."""
    served = Toy(flaw)
    server = await asyncio.start_server(served.serve, "127.0.0.1", 0)
    try:
        yield served, server.sockets[0].getsockname()[1]
    finally:
        server.close()


@pytest.fixture
def serving():
    """`async with serving(flaw) as (toy, port)`."""
    return toy
