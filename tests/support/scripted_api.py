"""An API that does whatever a test says on a real socket, and a clock whose time passes by waiting only."""

from __future__ import annotations

import json
import random
import socket
import ssl
import struct
import subprocess
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Self
from urllib.parse import parse_qsl, urlsplit

import pytest

from exporter.vast.client import Attempt, Client, Options
from exporter.vast.endpoints import Endpoint
from exporter.vast.errors import Stopped
from exporter.vast.network import Network
from exporter.vast.pace import Paces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from exporter.vast.endpoints import Host

    #: How the server plays a reply: bytes that are sent, or what is done with the socket before it is closed.
    Play = bytes | Callable[[socket.socket], None]

#: Seconds in which anything that is waited for has happened, on however busy a machine.
PATIENCE = 60.0
KEY = "a-key-that-nobody-may-see"
#: The host that the certificate of `tls` is for, besides this machine's addresses.
HOST = "vast.test"


@dataclass(frozen=True)
class Asked:
    """A request as it came, and the number of the connection on which it did."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    connection: int

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def params(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, strict_parsing=True, keep_blank_values=True))


class Api:
    """Answers each request with the next of `replies`, then with `otherwise` for ever.

    Attributes:
        answer: decides on each request, in place of both.
        asked: the requests, in order.
        connections: how many there have been.
        cut: how many connections the other side ended, in the middle of a reply.

    """

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.answer: Callable[[Asked], Play] = self._next
        self.replies: deque[Play] = deque()
        self.otherwise: Play = self.reply({})
        #: Played as soon as a connection is there, in place of all else.
        self.greeting: Play | None = None
        self.asked: list[Asked] = []
        self.connections = 0
        self.cut = 0
        self._context = context
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self.port}"
        self._start(self._accept)

    def reply(self, content: object, status: int = 200, **headers: str) -> bytes:
        """A whole reply with JSON in it, or with bytes as they are."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        return self.head(status, **{"Content-Length": str(len(body)), **headers}) + body

    def head(self, status: int = 200, /, **headers: str) -> bytes:
        """The beginning of a reply; header names may be written with underscores."""
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        return "\r\n".join([f"HTTP/1.1 {status} Words", *lines, "", ""]).encode()

    def hang(self, before: bytes = b"") -> Callable[[socket.socket], None]:
        """Says `before`, and nothing more."""

        def play(connection: socket.socket) -> None:
            connection.sendall(before)
            while connection.recv(1024):
                pass
            self.cut += 1

        return play

    def drip(self, before: bytes = b"", drop: bytes = b" ") -> Play:
        """Says `before`, and then `drop` again and again, never long after the last."""

        def play(connection: socket.socket) -> None:
            try:
                connection.sendall(before)
                while not self._closing.wait(0.02):
                    connection.sendall(drop)
            except OSError:
                self.cut += 1

        return play

    def flood(self, before: bytes, wave: bytes) -> Play:
        """Says `before`, and then `wave` for as long as anybody listens."""

        def play(connection: socket.socket) -> None:
            try:
                connection.sendall(before)
                while not self._closing.is_set():
                    connection.sendall(wave)
            except OSError:
                self.cut += 1

        return play

    def reset(self, before: bytes = b"") -> Play:
        """Says `before`, and resets the connection."""

        def play(connection: socket.socket) -> None:
            connection.sendall(before)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        return play

    def break_off(self, before: bytes = b"") -> Play:
        """Says `before`, and closes the connection."""
        return lambda connection: connection.sendall(before)

    def settle(self) -> None:
        """Return when every connection so far has come to its end; it is an error where one does not."""
        for thread in self._threads[1:]:  # without the one that accepts
            thread.join(PATIENCE)
            assert not thread.is_alive()

    def close(self) -> None:
        self._closing.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    # The plain socket's: there may be a thread in the middle of TLS.
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                self._open.append(connection)
            self._start(self._serve, connection, self.connections)

    def _serve(self, plain: socket.socket, number: int) -> None:
        connection = plain
        try:
            if self.greeting is not None:
                self._play(connection, self.greeting)
                return
            if self._context is not None:
                plain.getpeername()  # TLS leaves the socket open where the client is gone already
                connection = self._context.wrap_socket(plain, server_side=True)
                with self._lock:
                    self._open.append(connection)
            with connection.makefile("rb") as file:
                while (asked := _request(file, number)) is not None:
                    self.asked.append(asked)
                    if not self._play(connection, self.answer(asked)):
                        return
        except OSError:
            pass  # the client is gone
        finally:
            connection.close()
            with self._lock:
                self._open[:] = [each for each in self._open if each is not connection and each is not plain]

    def _next(self, _asked: Asked) -> Play:
        return self.replies.popleft() if self.replies else self.otherwise

    def _play(self, connection: socket.socket, play: Play) -> bool:
        """Return whether the connection goes on."""
        if isinstance(play, bytes):
            connection.sendall(play)
            return True
        play(connection)
        return False


def _request(file: IO[bytes], number: int) -> Asked | None:
    first = file.readline().decode("latin-1").split()
    if not first:
        return None
    headers: dict[str, str] = {}
    while line := file.readline().strip().decode("latin-1"):
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    body = file.read(int(headers.get("content-length", "0")))
    return Asked(first[0], first[1], headers, body, number)


class Proxy:
    """A proxy for CONNECT, which leads every tunnel to one API whatever it is asked for.

    Attributes:
        asked: the host and port of each CONNECT.
        words: all that came before the tunnels.
        answer: what it says to CONNECT; anything but 200 ends the connection.

    """

    def __init__(self, target: Api) -> None:
        self.asked: list[str] = []
        self.words = b""
        self.answer: Play = b"HTTP/1.1 200 Connection established\r\n\r\n"
        self._target = target
        self._front = Api()
        self._front.greeting = self._tunnel
        self.url = self._front.url

    def settle(self) -> None:
        """Return when every connection so far has come to its end."""
        self._front.settle()

    def close(self) -> None:
        self._front.close()

    def _tunnel(self, connection: socket.socket) -> None:
        words = b""
        while b"\r\n\r\n" not in words:
            words += connection.recv(4096)
        self.words += words
        self.asked.append(words.split()[1].decode())
        if not isinstance(self.answer, bytes):
            self.answer(connection)
            return
        connection.sendall(self.answer)
        if b" 200 " not in self.answer:
            return
        with socket.create_connection(("127.0.0.1", self._target.port)) as there:
            back = threading.Thread(target=_pump, args=(there, connection), daemon=True)
            back.start()
            _pump(connection, there)
            back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            sink.sendall(piece)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


class VirtualTime:
    """A clock that goes on by waiting only.

    Attributes:
        now: seconds.
        waits: every wait, in order.
        most: how many waits there may be; the next one raises `Stopped`.

    """

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now
        self.waits: list[float] = []
        self.most = 1000

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        if len(self.waits) >= self.most:
            raise Stopped
        self.waits.append(seconds)
        self.now += seconds

    def event(self) -> threading.Event:
        """An event whose wait passes this time, and which is set after `most` waits."""
        return _VirtualEvent(self)


class _VirtualEvent(threading.Event):
    def __init__(self, time: VirtualTime) -> None:
        super().__init__()
        self._time = time

    def wait(self, timeout: float | None = None) -> bool:
        if not self.is_set() and timeout is not None:
            try:
                self._time.wait(timeout)
            except Stopped:
                self.set()
        return self.is_set()


@dataclass(kw_only=True)
class ClientSetup:
    """What a client is given, which a test may set.

    Attributes:
        url: where the host `api` is.
        run_url: where the host `run` is, or "" where it is not known.

    """

    url: str
    run_url: str = ""
    time: VirtualTime
    timeout: float = 30.0
    key: str = KEY
    min_interval: float | None = None
    wall_clock: float = 1_700_000_000.0
    jitter: float = 0.0
    attempts: list[Attempt] = field(default_factory=list)

    def options(self) -> Options:
        urls: dict[Host, str] = {"api": self.url}
        if self.run_url:
            urls["run"] = self.run_url
        return Options(
            urls=urls,
            timeout=self.timeout,
            user_agent="vastai-exporter/0",
            network=Network(),
            paces=Paces(clock=self.time, min_interval=self.min_interval),
            clock=self.time,
            wall_clock=lambda: self.wall_clock,
            jitter=lambda: self.jitter,
        )

    def client(self) -> Client:
        return Client(self.options(), key=lambda: self.key, wait=self.time.wait, observe=self.attempts.append)


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def api() -> Iterator[Api]:
    with Api() as served:
        yield served


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate that vouches for itself, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    paths = folder / "certificate.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    command += [
        "-nodes",
        "-days",
        "2",
        "-subj",
        f"/CN={HOST}",
        "-out",
        str(paths[0]),
        "-keyout",
        str(paths[1]),
    ]
    command += ["-addext", f"subjectAltName=DNS:{HOST},IP:127.0.0.1"]
    subprocess.run(command, check=True, capture_output=True)
    return paths


@pytest.fixture
def tls(certificate: tuple[Path, Path]) -> Iterator[Api]:
    """The API behind TLS; it is trusted where REQUESTS_CA_BUNDLE names the certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with Api(context) as served:
        yield served


@pytest.fixture
def trusted_tls(tls: Api, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Api:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[0]))
    return tls


@pytest.fixture
def proxy(trusted_tls: Api, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """The way to `trusted_tls`, for all that is not on this machine."""
    made = Proxy(trusted_tls)
    monkeypatch.setenv("HTTPS_PROXY", made.url)
    yield made
    made.close()


@pytest.fixture
def time() -> VirtualTime:
    return VirtualTime()


@pytest.fixture
def setup(api: Api, time: VirtualTime) -> ClientSetup:
    return ClientSetup(url=api.url, time=time)


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint("/api/v1/things/", 1.0)


@pytest.fixture
def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@pytest.fixture
def chance() -> random.Random:
    return random.Random(1)


@pytest.fixture
def full_port() -> Iterator[int]:
    """A port whose queue is full: whoever connects gets no answer at all."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port: int = listener.getsockname()[1]
        for waiting in (first, second):
            waiting.settimeout(0)
            waiting.connect_ex(("127.0.0.1", port))
        yield port


@pytest.fixture
def second_api() -> Iterator[Api]:
    with Api() as served:
        yield served
