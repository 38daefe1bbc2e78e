"""AWS Lambda on loopback: the calls that Lithops' backend makes, and functions in processes of their own.

An execution environment is a process that runs awslambdaric, AWS's own client of the Runtime API. It sees the function's
package, its layers and the packages a runtime of AWS has, and nothing else of this installation; where the tests run as
root it also has a private /tmp, no other place to write, and no shared memory. It is kept and used again.

Not as AWS does: no retry of failed events, no limit of memory, and signatures are looked at for their key alone.
"""

import contextlib
import http.client
import importlib.metadata
import importlib.util
import io
import itertools
import json
import os
import queue
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import uuid
import zipfile
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from leaks import RUN_VARIABLE
from s3servers import ACCESS_KEY, SECRET_KEY, Server, s3_client

REGION = "us-east-1"
ACCOUNT, USER_ID = "123456789012", "AIDATESTSUSERWXYZ"
HOST = f"lambda.{REGION}.amazonaws.com"

# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
UNZIPPED_BYTES = 250 << 20
PAYLOAD_BYTES = {"RequestResponse": 6 << 20, "Event": 1 << 20}

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

# Lithops invokes functions at an address that it builds from the region: in a client, that address is the stand-in's.
REACH = """
import os, socket
import botocore.httpsession

def _reach(find=socket.getaddrinfo):
    at, _, port = os.environ["LAMBDA_STANDIN"].rpartition(":")
    def getaddrinfo(host, *rest, **named):
        return find(at, int(port), *rest[1:], **named) if host == os.environ["LAMBDA_HOST"] else find(host, *rest, **named)
    socket.getaddrinfo = getaddrinfo
    botocore.httpsession.where = lambda: os.environ["LAMBDA_CERTIFICATE"]

_reach()
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

    def __init__(self, function: Function, server: "LambdaServer", directory: Path) -> None:
        self._timeout_s = function.configuration["Timeout"]
        self._arn = function.configuration["FunctionArn"]
        self._work: queue.SimpleQueue[tuple[str, bytes] | None] = queue.SimpleQueue()
        self._answers: dict[str, Future[tuple[bytes, bool]]] = {}
        self._lock = threading.Lock()
        self.alive = True
        directory.mkdir()
        self._api = _Threaded(("127.0.0.1", 0), _RuntimeApi, self)
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
            **server.role,
            **function.variables,
            RUN_VARIABLE: os.environ.get(RUN_VARIABLE, ""),
        }
        # The interpreter below the virtual environment, without its packages.
        paths = [str(function.directory), *(str(each.directory / "python") for each in function.layers)]
        command = [os.path.realpath(sys.executable), "-S", "-c", _START, function.configuration["Handler"]]
        command += [str(server.runtime), *paths]
        if server.sandboxed:
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
        except TimeoutError:
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


class LambdaServer:
    """The control plane, invocations, and STS.

    Parameters
    ----------
    root:
        For what functions consist of.
    s3:
        URL of the S3 that has layers, and that functions use.
    concurrency:
        Most events that are worked on at once.
    """

    def __init__(self, root: Path, s3: str, concurrency: int = 4) -> None:
        self.root = root
        self.sandboxed = sandbox_works()
        self.functions: dict[str, Function] = {}
        self.layers: dict[str, list[Layer]] = {}
        self.invocations: list[str] = []
        self.runtime = root / "runtime"
        lay(self.runtime, ["awslambdaric", "boto3"])
        # What a role gives a function; and the way to a server that is not AWS's.
        self.role = {
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_ENDPOINT_URL_S3": s3,
            "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
            "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
        }
        self._s3 = s3
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._events = ThreadPoolExecutor(concurrency, thread_name_prefix="lambda-event")
        self._http = _Threaded(("127.0.0.1", 0), _Control, self)
        certificate = _certificate(root)
        self._https = _Threaded(("127.0.0.1", 0), _Control, self, certificate)
        for server in (self._http, self._https):
            server.start()
        url = f"http://{self._http.address}"
        self.client_environment = {
            **self.role,
            "AWS_ENDPOINT_URL_LAMBDA": url,
            "AWS_ENDPOINT_URL_STS": url,
            "LAMBDA_HOST": HOST,
            "LAMBDA_STANDIN": self._https.address,
            "LAMBDA_CERTIFICATE": str(certificate),
        }

    def close(self) -> None:
        """End all processes and threads."""
        self.reset()
        self._events.shutdown(cancel_futures=True)
        for server in (self._http, self._https):
            server.stop()

    def reset(self) -> None:
        """Delete all functions; layers stay."""
        for name in list(self.functions):
            self.delete(name)

    def log(self) -> str:
        """What functions printed."""
        return "".join(path.read_text(errors="replace") for path in sorted(self.root.glob("environment-*/log")))

    def new_directory(self, kind: str) -> Path:
        return self.root / f"{kind}-{next(self._numbers)}"

    def add_layer(self, name: str, directory: Path) -> str:
        """Publish what is in a directory, as a layer's zip would have it; gives its ARN."""
        versions = self.layers.setdefault(name, [])
        arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:{name}:{len(versions) + 1}"
        versions.append(Layer(arn, directory, _bytes_below(directory)))
        return arn

    def publish(self, name: str, content: dict[str, str]) -> str:
        """Publish a zip, from S3 or from the request itself."""
        if "S3Bucket" in content:
            client = s3_client(self._s3)
            data = client.get_object(Bucket=content["S3Bucket"], Key=content["S3Key"])["Body"].read()
            client.close()
        else:
            data = b64decode(content["ZipFile"])
        return self.add_layer(name, self._unzipped(data, "layer"))

    def create(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Deploy a function; raises ValueError with AWS's code and message when AWS would not."""
        name = asked["FunctionName"]
        if name in self.functions:
            raise ValueError(409, "ResourceConflictException", f"Function already exist: {name}")
        known = {each.arn: each for versions in self.layers.values() for each in versions}
        layers = [known[arn] for arn in asked.get("Layers", [])]
        directory = self._unzipped(b64decode(asked["Code"]["ZipFile"]), "task")
        total = _bytes_below(directory) + sum(each.nbytes for each in layers)
        if total > UNZIPPED_BYTES:
            message = f"Unzipped size must be smaller than {UNZIPPED_BYTES} bytes"
            raise ValueError(400, "InvalidParameterValueException", message)
        configuration = {
            "FunctionName": name,
            "FunctionArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}",
            "State": "Active",
            **{key: asked[key] for key in ("Runtime", "Role", "Handler", "Timeout", "MemorySize")},
        }
        variables = asked.get("Environment", {}).get("Variables", {})
        tmp_mb = asked.get("EphemeralStorage", {}).get("Size", 512)
        self.functions[name] = Function(configuration, asked.get("Tags", {}), directory, layers, variables, tmp_mb)
        return configuration

    def delete(self, name: str) -> None:
        function = self.functions.pop(name)
        for environment in function.all:
            environment.close()

    def event(self, name: str, payload: bytes) -> None:
        """Have it done some time."""
        self._events.submit(self.invoke, name, payload)

    def invoke(self, name: str, payload: bytes) -> tuple[bytes, bool]:
        """In a warm environment, or a new one; gives the answer, and whether it is an error."""
        self.invocations.append(name)
        with self._lock:
            function = self.functions[name]
            idle = [each for each in function.idle if each.alive]
            function.idle = idle[:-1]
            if idle:
                environment = idle[-1]
            else:
                environment = Environment(function, self, self.new_directory("environment"))
                function.all.append(environment)
        answer = environment.invoke(str(uuid.uuid4()), payload)
        with self._lock:
            function.idle.append(environment)
        return answer

    def _unzipped(self, data: bytes, kind: str) -> Path:
        directory = self.new_directory(kind)
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            archive.extractall(directory)
        return directory


class _Threaded(ThreadingHTTPServer):
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


class _Handler(BaseHTTPRequestHandler):
    server: _Threaded
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


class _RuntimeApi(_Handler):
    """https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html"""

    def do_GET(self) -> None:  # noqa: N802
        environment = self.server.owner
        request = environment.next()
        if request is None:
            self.close_connection = True
            return
        self.reply(200, request[1], environment.headers(request[0]))

    def do_POST(self) -> None:  # noqa: N802
        *_, about, what = self.path.split("/")
        body = self.body()
        self.reply(202)
        self.server.owner.answer(None if about == "init" else about, body, failed=what == "error")


class _Control(_Handler):
    """https://docs.aws.amazon.com/lambda/latest/api/API_Operations.html"""

    timeout = 60

    def _do(self) -> None:
        body = self.body()
        # The first component is the version of the interface.
        parts = [unquote(each) for each in urlsplit(self.path).path.strip("/").split("/")][1:]
        if f"Credential={ACCESS_KEY}/" not in self.headers.get("Authorization", ""):
            self._refuse(403, "UnrecognizedClientException", "The security token included in the request is invalid.")
        elif not parts:
            self._identity()
        else:
            try:
                getattr(self, f"_{self.command.lower()}_{parts[0]}")(*parts[1:], body=body)
            except ValueError as error:
                self._refuse(*error.args)
            except (KeyError, AttributeError, TypeError) as error:
                self._refuse(404, "ResourceNotFoundException", f"{self.command} {self.path}: {error!r}")

    do_GET = do_POST = do_DELETE = _do  # noqa: N815

    def _answer(self, status: int, values: Any = None) -> None:
        headers = {"x-amzn-RequestId": str(uuid.uuid4())}
        self.reply(status, b"" if values is None else json.dumps(values).encode(), headers)

    def _refuse(self, status: int, code: str, message: str) -> None:
        self.reply(status, json.dumps({"Type": "User", "Message": message}).encode(), {"x-amzn-ErrorType": code})

    def _identity(self) -> None:
        found = {"Arn": f"arn:aws:iam::{ACCOUNT}:user/tests", "UserId": USER_ID, "Account": ACCOUNT}
        inner = "".join(f"<{name}>{value}</{name}>" for name, value in found.items())
        name = "GetCallerIdentity"
        xml = f"<{name}Response><{name}Result>{inner}</{name}Result></{name}Response>"
        self.reply(200, xml.encode(), {"Content-Type": "text/xml"})

    def _post_functions(self, name: str = "", what: str = "", *, body: bytes) -> None:
        if not name:
            self._answer(201, self.server.owner.create(json.loads(body)))
            return
        assert what == "invocations", what
        kind = self.headers.get("X-Amz-Invocation-Type", "RequestResponse")
        if len(body) > PAYLOAD_BYTES[kind]:
            raise ValueError(413, "RequestTooLargeException", f"{len(body)} byte payload is too large for {kind}")
        if name not in self.server.owner.functions:
            raise KeyError(name)
        if kind == "Event":
            self.server.owner.event(name, body)
            self._answer(202)
            return
        answer, failed = self.server.owner.invoke(name, body)
        self.reply(200, answer, {"X-Amz-Function-Error": "Unhandled"} if failed else None)

    def _get_functions(self, name: str = "", *, body: bytes) -> None:
        functions = self.server.owner.functions
        if name:
            self._answer(200, {"Configuration": functions[name].configuration})
        else:
            self._answer(200, {"Functions": [each.configuration for each in functions.values()]})

    def _delete_functions(self, name: str, *, body: bytes) -> None:
        self.server.owner.delete(name)
        self._answer(204)

    def _get_tags(self, arn: str, *, body: bytes) -> None:
        self._answer(200, {"Tags": self.server.owner.functions[arn.rpartition(":")[2]].tags})

    def _get_layers(self, name: str = "", what: str = "", *, body: bytes) -> None:
        layers = self.server.owner.layers
        if name:
            self._answer(200, {"LayerVersions": [_version(each) for each in layers.get(name, ())]})
            return
        latest = {key: versions[-1] for key, versions in layers.items() if versions}
        found = [{"LayerName": key, "LatestMatchingVersion": _version(each)} for key, each in latest.items()]
        self._answer(200, {"Layers": found})

    def _post_layers(self, name: str, what: str, *, body: bytes) -> None:
        arn = self.server.owner.publish(name, json.loads(body)["Content"])
        self._answer(201, {"LayerVersionArn": arn, "Version": int(arn.rpartition(":")[2])})

    def _delete_layers(self, name: str, what: str, version: str, *, body: bytes) -> None:
        layers = self.server.owner.layers
        layers[name] = [each for each in layers[name] if not each.arn.endswith(f":{version}")]
        self._answer(204)


def _version(layer: Layer) -> dict[str, Any]:
    return {"LayerVersionArn": layer.arn, "Version": int(layer.arn.rpartition(":")[2])}


def _error(kind: str, message: str) -> bytes:
    return json.dumps({"errorType": kind, "errorMessage": message}).encode()


def _bytes_below(directory: Path) -> int:
    """Without bytecode: the functions of these tests have that of this installation, so as to start sooner."""
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file() and path.suffix != ".pyc")


def _certificate(directory: Path) -> Path:
    """A key and a certificate for the host that Lithops invokes functions at, in one file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOST)])
    now = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = directory / "certificate.pem"
    plain = serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    path.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain) + certificate.public_bytes(pem))
    return path


@pytest.fixture(scope="session")
def lambda_standin(rclone_server: Server) -> Iterator[LambdaServer]:
    """One for all tests; functions and their environments are a test's own."""
    if importlib.util.find_spec("awslambdaric") is None:
        pytest.skip("awslambdaric is not installed (pip install awslambdaric)")
    # Not below /tmp, of which every function has its own.
    root = Path(tempfile.mkdtemp(prefix="lambda-standin-", dir="/var/tmp"))
    server = LambdaServer(root, rclone_server.url)
    try:
        yield server
    finally:
        server.close()
        shutil.rmtree(root, ignore_errors=True)


@pytest.fixture
def lambda_server(lambda_standin: LambdaServer) -> Iterator[LambdaServer]:
    """The stand-in, without functions at the beginning and at the end of a test."""
    lambda_standin.invocations.clear()
    yield lambda_standin
    lambda_standin.reset()
