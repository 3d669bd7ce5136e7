"""`python -m loadtests.suite.cost`: the CPU time that the suite's client takes for a streamed token, against canned bytes."""

import argparse
import asyncio
import json
import subprocess
import sys
import time
from functools import cache

import gevent
from gevent import monkey

from loadtests.suite.client import Address, Connection
from loadtests.suite.plan import Plan, chat
from loadtests.suite.verify import read_answer

HOST, TOKENS, STALL_S = "127.0.0.1", 128, 30.0
HEAD = {"id": "chat-1", "object": "chat.completion.chunk", "created": 7, "model": "canned"}
PLAN = Plan(chat("canned", [{"role": "user", "content": "Hi"}], TOKENS, exact=True), max_tokens=TOKENS, exact=True)


@cache
def events(tokens: int) -> list[bytes]:
    """The pieces of one right answer, as they go over the wire."""

    def choice(delta: dict[str, str], finish: str | None = None) -> dict[str, object]:
        return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

    counts = {"prompt_tokens": 9, "completion_tokens": tokens, "total_tokens": 9 + tokens}
    said: list[dict[str, object]] = [
        choice({"role": "assistant", "content": ""}),
        *([choice({"content": " word"})] * (tokens - 1)),
        choice({"content": "."}, "length"),
        {"choices": [], "usage": counts},
    ]
    lines = [f"data: {json.dumps(HEAD | one)}\n\n".encode() for one in said] + [b"data: [DONE]\n\n"]
    return [b"%x\r\n%b\r\n" % (len(line), line) for line in lines] + [b"0\r\n\r\n"]


async def serve(pace_s: float) -> None:
    """Until it is ended; prints its port first."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while asked := await reader.readuntil(b"\r\n\r\n"):
                size = int(asked.lower().partition(b"content-length: ")[2].split()[0])
                body = json.loads(await reader.readexactly(size))
                writer.write(head)
                for piece in events(body["max_tokens"]):
                    writer.write(piece)
                    await asyncio.sleep(pace_s)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(client, HOST, 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m loadtests.suite.cost", description=__doc__)
    parser.add_argument("--streams", type=int, default=300, help="at once (default: 300)")
    parser.add_argument("--seconds", type=float, default=15.0, help="(default: 15)")
    parser.add_argument("--pace", type=float, default=25.0, help="milliseconds from token to token (default: 25)")
    parser.add_argument("--serve", action="store_true", help="only the server: prints its port, for Locust itself")
    arguments = parser.parse_args()
    if arguments.serve:
        asyncio.run(serve(arguments.pace / 1e3))
        return
    monkey.patch_socket()
    command = [sys.executable, "-m", "loadtests.suite.cost", "--serve", "--pace", str(arguments.pace)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            tokens, took, used, problems = load(int(server.stdout.readline()), arguments.streams, arguments.seconds)
        finally:
            server.terminate()
    print(
        f"{arguments.streams} streams, {tokens / took:,.0f} tokens/s for {took:.1f} s: {1e6 * used / tokens:.1f} µs of CPU"
    )
    print(f"for a token (start of requests, reading and checks included), {used / took:.2f} cores")
    sys.exit("\n".join(sorted(problems)) or 0)


def load(port: int, streams: int, seconds: float) -> tuple[int, float, float, set[str]]:
    """Tokens read, seconds they took, CPU seconds of this process, and what was wrong with any answer."""
    payload, begun, before = PLAN.payload(HOST, "sk"), time.perf_counter(), time.process_time()
    problems: set[str] = set()

    def client() -> int:
        tokens, connection = 0, Connection(Address(HOST, port), STALL_S)
        while time.perf_counter() - begun < seconds:
            answer = read_answer(connection.ask(payload), PLAN)
            tokens += answer.tokens
            problems.update([answer.problem] if answer.problem else [])
        connection.close()
        return tokens

    lets = [gevent.spawn(client) for _ in range(streams)]
    gevent.joinall(lets, raise_error=True)
    return sum(let.value for let in lets), time.perf_counter() - begun, time.process_time() - before, problems


if __name__ == "__main__":
    main()
