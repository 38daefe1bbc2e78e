"""Execution environments as AWS Lambda has them: a process of awslambdaric, and the Runtime API that it asks for work.

A process sees the function's package, its layers and the packages that AWS's runtimes have, and nothing else of this
installation; where the tests run as root it also has a private /tmp, no other place to write, and no shared memory.
"""

import contextlib
import importlib.metadata
import importlib.util
import json
import os
import queue
import shutil
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NoAnswerError
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from leaks import RUN_VARIABLE

_PYTHON = f"python{sys.version_info[0]}.{sys.version_info[1]}"
_STARTS_S, _STOPS_S = 30, 10

# As AWS's runtimes do before they import a handler: the function, layers, then what the runtime has, and .pth files of
# the first two. (https://github.com/lambci/docker-lambda/issues/307 shows that they are read.)
_START = """
import runpy, site, sys
handler, runtime, *directories = sys.argv[1:]
sys.path[:0] = directories
for directory in directories:
    site.addsitedir(directory)
sys.path.append(runtime)
sys.argv = ["awslambdaric", handler]
runpy.run_module("awslambdaric", run_name="__main__")
"""

# /dev/shm cannot be taken away; that nothing can be made in it has the same effect on semaphores.
_SANDBOX = """
mount -t tmpfs -o mode=1777,size="$1"m tmpfs /tmp
mount -t tmpfs -o ro,size=4k tmpfs /dev/shm
mount -o remount,bind,ro /
shift
exec "$@"
"""


def lay(directory: Path, distributions: Iterable[str], needed: Callable[[str], bool] = lambda _: True) -> None:
    """Put what is installed here of distributions, and of those that they require, into a directory, as hard links."""
    from packaging.requirements import Requirement

    left, seen = list(distributions), set()
    while left:
        name = left.pop().lower().replace("_", "-")
        if name in seen:
            continue
        seen.add(name)
        found = importlib.metadata.distribution(name)
        for line in found.requires or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                left.append(requirement.name)
        for path in found.files or ():
            if ".." not in path.parts and needed(str(path)):
                link(Path(str(path.locate())), directory / path)


def link(source: Path, target: Path) -> None:
    """A hard link, or a copy on another file system, of a file and of its bytecode, if that is there."""
    with contextlib.suppress(FileExistsError):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, target)
        except FileNotFoundError:  # recorded, and not installed
            return
        except OSError as error:
            if isinstance(error, FileExistsError):
                raise
            shutil.copy2(source, target)
    if source.suffix == ".py":
        cached = Path(importlib.util.cache_from_source(str(source)))
        if cached.exists():
            link(cached, target.parent / "__pycache__" / cached.name)


def sandbox_works() -> bool:
    """Whether processes can be given a private view of the file system, in which this Python is still there."""
    if os.geteuid() != 0 or shutil.which("unshare") is None or Path(sys.base_prefix).is_relative_to("/tmp"):
        return False
    done = subprocess.run(["unshare", "-m", "sh", "-ec", _SANDBOX, "sh", "1", "true"], capture_output=True, timeout=60)
    return done.returncode == 0


@dataclass
class Layer:
    arn: str
    directory: Path
    nbytes: int


@dataclass
class Function:
    """A deployed function, and its environments."""

    configuration: dict[str, Any]
    tags: dict[str, str]
    directory: Path
    layers: list[Layer]
    variables: dict[str, str]
    tmp_mb: int
    idle: list["Environment"] = field(default_factory=list)
    all: list["Environment"] = field(default_factory=list)


class Environment:
    """One process of a function, and the Runtime API that it asks for work.

    Its log is ``log`` in its directory.
    """

    def __init__(
        self, function: Function, role: dict[str, str], runtime: Path, directory: Path, *, sandboxed: bool
    ) -> None:
        self._timeout_s = function.configuration["Timeout"]
        self._arn = function.configuration["FunctionArn"]
        self._work: queue.SimpleQueue[tuple[str, bytes] | None] = queue.SimpleQueue()
        self._answers: dict[str, Future[tuple[bytes, bool]]] = {}
        self._lock = threading.Lock()
        self.alive = True
        directory.mkdir()
        self._api = HttpServer(("127.0.0.1", 0), _RuntimeApi, self)
        self._api.start()
        environ = {
            "PATH": os.environ["PATH"],
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "AWS_LAMBDA_RUNTIME_API": self._api.address,
            "AWS_LAMBDA_FUNCTION_NAME": function.configuration["FunctionName"],
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.configuration["MemorySize"]),
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{_PYTHON}",
            "LAMBDA_TASK_ROOT": str(function.directory),
            "_HANDLER": function.configuration["Handler"],
            **role,
            **function.variables,
            RUN_VARIABLE: os.environ.get(RUN_VARIABLE, ""),
        }
        # The interpreter below the virtual environment, without its packages.
        paths = [str(function.directory), *(str(each.directory / "python") for each in function.layers)]
        command = [os.path.realpath(sys.executable), "-S", "-c", _START, function.configuration["Handler"]]
        command += [str(runtime), *paths]
        if sandboxed:
            command = ["unshare", "-m", "sh", "-ec", _SANDBOX, "sh", str(function.tmp_mb), *command]
        else:
            (directory / "tmp").mkdir()
            environ["TMPDIR"] = str(directory / "tmp")
        with (directory / "log").open("wb") as log:
            self._process = subprocess.Popen(
                command, env=environ, cwd=function.directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        self._reaper = threading.Thread(target=self._reap, name="lambda-reaper")
        self._reaper.start()

    def invoke(self, request_id: str, payload: bytes) -> tuple[bytes, bool]:
        """Have it do one request; gives its answer, and whether that is an error."""
        answer: Future[tuple[bytes, bool]] = Future()
        with self._lock:
            if not self.alive:
                return _error("Runtime.ExitError", "the environment has ended"), True
            self._answers[request_id] = answer
        self._work.put((request_id, payload))
        try:
            # Its start counts as well, which AWS does not count.
            return answer.result(self._timeout_s + _STARTS_S)
        except NoAnswerError:
            self.kill()
            return _error("Sandbox.Timedout", f"Task timed out after {self._timeout_s:.2f} seconds"), True

    def next(self) -> tuple[str, bytes] | None:
        """The next request, when there is one; ``None`` at the end."""
        return self._work.get()

    def answer(self, request_id: str | None, body: bytes, *, failed: bool) -> None:
        """To one request, or to all that wait."""
        with self._lock:
            names = list(self._answers) if request_id is None else [request_id]
            waiting = [self._answers.pop(name) for name in names if name in self._answers]
        for each in waiting:
            each.set_result((body, failed))

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """Kill it and what it started, and wait until all of it is gone."""
        self.kill()
        self._reaper.join(_STOPS_S)
        self._api.stop()

    def headers(self, request_id: str) -> dict[str, str]:
        deadline = datetime.now(timezone.utc) + timedelta(seconds=self._timeout_s)
        return {
            "Lambda-Runtime-Aws-Request-Id": request_id,
            "Lambda-Runtime-Deadline-Ms": str(int(deadline.timestamp() * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": self._arn,
            "Lambda-Runtime-Trace-Id": "Root=1-00000000-000000000000000000000000;Sampled=0",
        }

    def _reap(self) -> None:
        code = self._process.wait()
        self.kill()  # what it forked
        with self._lock:
            self.alive = False
        self.answer(None, _error("Runtime.ExitError", f"RequestId: Error: Runtime exited with {code}"), failed=True)
        self._work.put(None)


class HttpServer(ThreadingHTTPServer):
    """Serves from a thread of its own; a request may wait for as long as its connection is open."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, at: tuple[str, int], handler: type, owner: Any, certificate: Path | None = None) -> None:
        super().__init__(at, handler)
        self.owner = owner
        self.address = f"127.0.0.1:{self.server_address[1]}"
        self._context = None
        if certificate is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificate)
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, name="lambda-http")

    def get_request(self) -> Any:
        connection, peer = super().get_request()
        if self._context is not None:  # the handshake is the handler's, with its timeout
            connection = self._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, peer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections break when processes are killed; anything else shows in what the client gets."""

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join(_STOPS_S)


class Handler(BaseHTTPRequestHandler):
    server: HttpServer
    protocol_version = "HTTP/1.1"

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks = []
        while length := int(self.rfile.readline().partition(b";")[0], 16):
            chunks.append(self.rfile.read(length))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def reply(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response_only(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing: functions have logs of their own."""


class _RuntimeApi(Handler):
    """https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html"""

    def do_GET(self) -> None:
        environment = self.server.owner
        request = environment.next()
        if request is None:
            self.close_connection = True
            return
        self.reply(200, request[1], environment.headers(request[0]))

    def do_POST(self) -> None:
        *_, about, what = self.path.split("/")
        body = self.body()
        self.reply(202)
        self.server.owner.answer(None if about == "init" else about, body, failed=what == "error")


def _error(kind: str, message: str) -> bytes:
    return json.dumps({"errorType": kind, "errorMessage": message}).encode()
