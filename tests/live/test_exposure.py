"""What the whole process tree of a Sluice shows to others on the machine: no port yields a token, no listing yields a secret."""

import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

import httpx
import psutil
import pytest
import zmq

from gateway.pool import wire
from gateway.pool.curve import KeyPair
from tests.live.harness import MODEL, Sluice

pytestmark = pytest.mark.timeout(200)


class Listening(NamedTuple):
    process: str
    host: str
    port: int


@pytest.fixture(scope="module")
def listening(sluice: Sluice) -> list[Listening]:
    """Every TCP port that any process of the tree listens on."""
    found = set()
    for process in sluice.tree():
        name = process.cmdline()[0] if process.cmdline() else process.name()
        for connection in process.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN:
                found.add(Listening(Path(name).name, connection.laddr.ip, connection.laddr.port))
    assert len(found) > 10
    return sorted(found)


def everywhere(listening: list[Listening], ask: object) -> dict[Listening, object]:
    with ThreadPoolExecutor(64) as pool:
        return dict(zip(listening, pool.map(ask, listening), strict=True))  # type: ignore[arg-type]


def test_every_port_is_on_loopback(listening: list[Listening]) -> None:
    def is_loopback(host: str) -> bool:
        address = ip_address(host)
        return (getattr(address, "ipv4_mapped", None) or address).is_loopback

    assert [one for one in listening if not is_loopback(one.host)] == []


def test_no_port_answers_a_completion_without_a_key(listening: list[Listening]) -> None:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "What is 17 + 25?"}]}

    def ask(one: Listening) -> str:
        said = ""
        for path in ("/v1/chat/completions", "/"):
            try:
                said += httpx.post(f"http://127.0.0.1:{one.port}{path}", json=body, timeout=1.5, trust_env=False).text
            except (httpx.HTTPError, UnicodeDecodeError):
                continue
        return said

    answers = everywhere(listening, ask)
    assert [one for one, said in answers.items() if "choices" in str(said) or "chatcmpl" in str(said)] == []


def test_no_port_welcomes_a_gateway_that_it_was_not_told_of(sluice: Sluice, listening: list[Listening]) -> None:
    """A plain DEALER on every port; on the engines' own ports also one with their public key, which is no secret."""
    context, poller, asked = zmq.Context(), zmq.Poller(), {}
    engines = {engine["address"] for model in sluice.status()["models"] for engine in model["engines"]}
    wrong = KeyPair.generate()
    for address in [*(f"tcp://127.0.0.1:{one.port}" for one in listening), *engines]:
        for server_key in (None, wrong.public) if address in engines else (None,):
            dealer = context.socket(zmq.DEALER)
            dealer.linger = 0
            if server_key is not None:
                keys = KeyPair.generate()
                dealer.curve_secretkey, dealer.curve_publickey, dealer.curve_serverkey = (
                    keys.secret,
                    keys.public,
                    server_key,
                )
            dealer.connect(address)
            dealer.send_multipart([wire.HELLO, b"%d" % wire.PROTOCOL])
            poller.register(dealer, zmq.POLLIN)
            asked[dealer] = address
    answered = {}
    while ready := poller.poll(2000):
        for dealer, _ in ready:
            answered[asked[dealer]] = dealer.recv_multipart()
            poller.unregister(dealer)
    context.destroy(linger=0)
    assert len(engines) == 3
    # Whatever else listens may answer in its own words, which ZeroMQ cuts into frames.
    assert [address for address, frames in answered.items() if frames[0] in (wire.WELCOME, wire.OUTPUTS)] == []


class Payload:
    """Unpickled, it leaves a file: proof that a port runs what a stranger sends."""

    def __init__(self, file: Path) -> None:
        self._file = str(file)

    def __reduce__(self) -> tuple[object, ...]:
        return os.open, (self._file, os.O_CREAT | os.O_WRONLY)


def test_no_port_unpickles_what_a_stranger_sends(listening: list[Listening], tmp_path: Path) -> None:
    import grpc
    from ray.serve.generated import serve_pb2

    def ask(one: Listening) -> None:
        payload = pickle.dumps(Payload(tmp_path / str(one.port)))
        request = serve_pb2.ASGIRequest(pickled_request_metadata=payload).SerializeToString()
        with grpc.insecure_channel(f"127.0.0.1:{one.port}") as channel:
            for method in ("HandleRequest", "HandleRequestStreaming", "HandleRequestWithRejection"):
                try:
                    channel.unary_unary(f"/ray.serve.ASGIService/{method}")(request, timeout=1.5)
                except grpc.RpcError:
                    continue

    everywhere(listening, ask)
    assert [one for one in listening if (tmp_path / str(one.port)).exists()] == []


ASK_GCS = """
import sys
from ray._raylet import GcsClient
print(len(GcsClient(address=sys.argv[1]).get_all_node_info(timeout=10)), "nodes")
"""


def test_ray_itself_asks_for_its_token(sluice: Sluice, listening: list[Listening]) -> None:
    (gcs,) = {one.port for one in listening if one.process == "gcs_server"}
    token = next((sluice.folder / "state").glob("*ray*token*"))
    assert token.stat().st_mode & 0o077 == 0

    def ask(**env: str) -> subprocess.CompletedProcess[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        command = [sys.executable, "-c", ASK_GCS, f"127.0.0.1:{gcs}"]
        return subprocess.run(command, env=clean | env, capture_output=True, text=True, timeout=60, check=False)

    assert "1 nodes" in ask(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH=str(token)).stdout
    assert "nodes" not in ask(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="0" * 64).stdout
    assert "nodes" not in ask(RAY_AUTH_MODE="disabled").stdout


def test_no_secret_is_in_an_environment_a_command_line_or_a_log(sluice: Sluice, key: str) -> None:
    state = sluice.folder / "state"
    secrets = {"key": key.split("-", 3)[3].encode()}
    secrets |= {file.name: file.read_bytes().strip() for file in (*state.glob("*token*"), *state.glob("*salt*"))}
    assert len(secrets) == 3
    shown: dict[str, bytes] = {}
    logs: set[Path] = set()
    for process in sluice.tree():
        shown[f"environment of {process.pid}"] = repr(process.environ()).encode()
        line = process.cmdline()
        shown[f"command line of {process.pid}"] = " ".join(line).encode()
        logs |= {Path(word.partition("=")[2]) for word in line if word.startswith(("--log_dir=", "--log-dir="))}
    assert logs
    for folder in (*logs, state):
        shown |= {str(file): file.read_bytes() for file in folder.rglob("*.log") if file.is_file()}
        shown |= {str(file): file.read_bytes() for file in folder.rglob("*.out") if file.is_file()}
    shown["status"] = repr(sluice.status()).encode()
    shown["metrics"] = httpx.get(f"{sluice.management}/metrics", trust_env=False).content
    leaks = [(where, what) for where, said in shown.items() for what, secret in secrets.items() if secret in said]
    assert leaks == []


def test_no_prompt_is_in_a_log(sluice: Sluice, http: httpx.Client) -> None:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Repeat: xylophonequartz"}], "max_tokens": 4}
    assert http.post("/v1/chat/completions", json=body).is_success
    http.post("/v1/chat/completions", json=body | {"temperature": -3})
    folders = {word.partition("=")[2] for p in sluice.tree() for word in p.cmdline() if word.startswith("--log_dir=")}
    files = [file for folder in (*folders, sluice.folder) for file in Path(folder).rglob("*") if file.is_file()]
    assert len(files) > 10
    assert [str(file) for file in files if b"xylophonequartz" in file.read_bytes()] == []
