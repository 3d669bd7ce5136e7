"""TLS at the gateway's own port: mutual where a client CA is given, and certificates that change while it runs."""

import asyncio
import datetime
import shutil
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.config.listen import Listen, Tls
from gateway.http.asgi import Receive, Scope, Send
from gateway.http.certificates import server_context
from gateway.http.listener import Listener

RELOAD_S = 0.1


class Authority:
    """A certificate authority of one test."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.file = folder / f"{name}.crt"
        certificate = self._builder(self._name, self._key).add_extension(x509.BasicConstraints(True, 0), critical=True)
        self.file.write_bytes(certificate.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )

    def issue(self, name: str) -> tuple[Path, Path]:
        """Certificate and key files; the name is the common name, the host is localhost."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        hosts = x509.SubjectAlternativeName([x509.DNSName("localhost")])
        certificate = self._builder(subject, key).add_extension(hosts, critical=False).sign(self._key, hashes.SHA256())
        files = self._folder / f"{name}.crt", self._folder / f"{name}.pkey"
        files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        files[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return files


async def answer(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "authority")


@pytest.fixture
async def listener(tmp_path: Path, authority: Authority) -> AsyncIterator[Listener]:
    """Serves the pair live.crt and live.pkey, which starts as "first", and asks for client certificates."""
    for made, live in zip(authority.issue("first"), ("live.crt", "live.pkey"), strict=True):
        shutil.copy(made, tmp_path / live)
    tls = Tls(
        certificate=tmp_path / "live.crt", key=tmp_path / "live.pkey", client_ca=authority.file, reload_s=RELOAD_S
    )
    running = Listener(answer, Listen(port=0, tls=tls), keep_alive_s=30)
    await running.start()
    yield running
    await running.stop()


def client_context(authority: Authority, pair: tuple[Path, Path] | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.file))
    if pair is not None:
        context.load_cert_chain(*map(str, pair))
    return context


def client(listener: Listener, authority: Authority, pair: tuple[Path, Path] | None) -> httpx.AsyncClient:
    url = f"https://localhost:{listener.port}"
    return httpx.AsyncClient(base_url=url, verify=client_context(authority, pair), trust_env=False, timeout=5)


async def served_name(listener: Listener, authority: Authority, pair: tuple[Path, Path]) -> str:
    """The common name of the certificate that a new connection is shown."""
    _, writer = await asyncio.open_connection(
        "127.0.0.1", listener.port, ssl=client_context(authority, pair), server_hostname="localhost"
    )
    shown = writer.get_extra_info("peercert")
    writer.close()
    return str(dict(pair[0] for pair in shown["subject"])["commonName"])


async def test_a_client_with_a_certificate_is_served(listener: Listener, authority: Authority):
    async with client(listener, authority, authority.issue("someone")) as known:
        assert (await known.get("/")).text == "ok"
    assert listener.url.startswith("https://")


async def test_a_client_without_a_certificate_is_refused(listener: Listener, authority: Authority):
    async with client(listener, authority, None) as stranger:
        with pytest.raises(httpx.TransportError):
            await stranger.get("/")


async def test_a_client_of_another_authority_is_refused(listener: Listener, authority: Authority, tmp_path: Path):
    (tmp_path / "elsewhere").mkdir()
    foreign = Authority(tmp_path / "elsewhere", "authority").issue("someone")
    async with client(listener, authority, foreign) as stranger:
        with pytest.raises(httpx.TransportError):
            await stranger.get("/")


async def test_plain_http_gets_nothing(listener: Listener):
    async with httpx.AsyncClient(trust_env=False) as plain:
        with pytest.raises(httpx.TransportError):
            await plain.get(f"http://127.0.0.1:{listener.port}/")


async def test_a_new_certificate_is_shown_to_new_connections_and_ends_no_old_one(
    listener: Listener, authority: Authority, tmp_path: Path
):
    mine = authority.issue("someone")
    assert await served_name(listener, authority, mine) == "first"
    async with client(listener, authority, mine) as patient:
        before = await patient.get("/")
        for made, live in zip(authority.issue("second"), ("live.crt", "live.pkey"), strict=True):
            made.replace(tmp_path / live)
        names: list[str] = []

        async def shown() -> None:
            while "second" not in names:
                names.append(await served_name(listener, authority, mine))

        async with asyncio.timeout(RELOAD_S + 5):
            await shown()
        after = await patient.get("/")
    assert set(names) <= {"first", "second"}
    streams = [reply.extensions["network_stream"].get_extra_info("socket") for reply in (before, after)]
    assert streams[0] is streams[1], "the old connection was used again"


@pytest.mark.parametrize("half", ["certificate only", "key only", "torn", "gone"])
async def test_a_pair_that_does_not_fit_together_leaves_the_old_one_in_use(
    listener: Listener, authority: Authority, tmp_path: Path, half: str
):
    mine = authority.issue("someone")
    certificate, key = authority.issue("second")
    match half:
        case "certificate only":
            shutil.copy(certificate, tmp_path / "live.crt")
        case "key only":
            shutil.copy(key, tmp_path / "live.pkey")
        case "torn":
            (tmp_path / "live.crt").write_bytes(certificate.read_bytes()[:200])
        case _:
            (tmp_path / "live.crt").unlink()
    await asyncio.sleep(3 * RELOAD_S)
    assert await served_name(listener, authority, mine) == "first"
    shutil.copy(certificate, tmp_path / "live.crt")
    shutil.copy(key, tmp_path / "live.pkey")
    reached: list[str] = []

    async def watch() -> None:
        while reached[-1:] != ["second"]:
            reached.append(await served_name(listener, authority, mine))

    await asyncio.wait_for(watch(), 5)


async def test_a_client_authority_that_is_replaced_lets_its_own_clients_in(
    listener: Listener, authority: Authority, tmp_path: Path
):
    (tmp_path / "next").mkdir()
    following = Authority(tmp_path / "next", "following")
    theirs = following.issue("someone")
    shutil.copy(following.file, authority.file.with_suffix(".next"))
    server_only = ssl.create_default_context(cafile=str(authority.file))
    server_only.load_cert_chain(*map(str, theirs))
    authority.file.with_suffix(".next").replace(authority.file)

    async def let_in() -> bool:
        async with httpx.AsyncClient(verify=server_only, trust_env=False) as known:
            try:
                return (await known.get(f"https://localhost:{listener.port}/")).is_success
            except httpx.TransportError:
                return False

    async with asyncio.timeout(5):
        while not await let_in():
            await asyncio.sleep(0.02)


def let_in(listener: Listener, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> ssl.SSLSession | None:
    """The session with which a client may come back; None if it is refused."""
    try:
        with (
            socket.create_connection(("127.0.0.1", listener.port), timeout=5) as plain,
            context.wrap_socket(plain, server_hostname="localhost", session=session) as secured,
        ):
            secured.sendall(b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n")
            return secured.session if secured.recv(100).startswith(b"HTTP/1.1 200") else None
    except (ssl.SSLError, ConnectionError):
        return None


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_client_authority_that_is_taken_away_lets_nobody_in_who_was_here_before(
    listener: Listener, authority: Authority, tmp_path: Path, version: ssl.TLSVersion
):
    mine = client_context(authority, authority.issue("someone"))
    mine.maximum_version = version
    session = await asyncio.to_thread(let_in, listener, mine)
    assert session is not None
    (tmp_path / "next").mkdir()
    Authority(tmp_path / "next", "following").file.replace(authority.file)
    async with asyncio.timeout(5):
        while await asyncio.to_thread(let_in, listener, mine):
            await asyncio.sleep(0.02)
    assert await asyncio.to_thread(let_in, listener, mine, session) is None


async def test_no_session_of_a_client_is_renewed_beyond_its_certificate(listener: Listener, authority: Authority):
    session = await asyncio.to_thread(let_in, listener, client_context(authority, authority.issue("someone")))
    assert session is not None
    assert not session.has_ticket


async def test_who_connected_last_before_it_stops_is_served_if_it_has_a_certificate(
    listener: Listener, authority: Authority
):
    """The handshake begins when no more connections are taken."""
    connections = [socket.create_connection(("127.0.0.1", listener.port), 5) for _ in range(2)]
    stopping = asyncio.create_task(listener.stop_accepting())

    async def told(connection: socket.socket, pair: tuple[Path, Path] | None) -> bytes:
        reader, writer = await asyncio.open_connection(
            sock=connection, ssl=client_context(authority, pair), server_hostname="localhost"
        )
        writer.write(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        try:
            return await reader.read()
        except (ssl.SSLError, ConnectionError):
            return b""
        finally:
            writer.close()

    assert await told(connections[0], None) == b""
    assert not stopping.done()
    assert (await told(connections[1], authority.issue("known"))).endswith(b"ok")
    await stopping


def test_nobody_is_asked_for_the_passphrase_of_an_encrypted_key(authority: Authority) -> None:
    certificate, file = authority.issue("locked")
    key = serialization.load_pem_private_key(file.read_bytes(), None)
    locked = serialization.BestAvailableEncryption(b"secret")
    file.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked))
    with pytest.raises(OSError, match="the key is encrypted"):
        server_context(Tls(certificate=certificate, key=file))
