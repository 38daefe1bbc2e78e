"""AWS Lambda on loopback: the calls that Lithops' backend makes, and functions in processes of their own.

Execution environments (:mod:`lambdaruntime`) are kept and used again. Not as AWS does: no retry of failed events, no
limit of memory, and signatures are looked at for their key alone.
"""

import compileall
import hashlib
import importlib.util
import io
import itertools
import json
import shutil
import tempfile
import threading
import uuid
import zipfile
from base64 import b64decode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from lambdaruntime import Environment, Function, Handler, HttpServer, Layer, lay, sandbox_works
from s3servers import ACCESS_KEY, SECRET_KEY, Server, s3_client

REGION = "us-east-1"
ACCOUNT, USER_ID = "123456789012", "AIDATESTSUSERWXYZ"
HOST = f"lambda.{REGION}.amazonaws.com"

# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
UNZIPPED_BYTES = 250 << 20
PAYLOAD_BYTES = {"RequestResponse": 6 << 20, "Event": 1 << 20}

# Lithops invokes functions at an address that it builds from the region: in a client, that address is the stand-in's.
REACH = """
import os, socket
import botocore.httpsession

def _reach(find=socket.getaddrinfo):
    at, _, port = os.environ["LAMBDA_STANDIN"].rpartition(":")
    def getaddrinfo(host, *rest, **named):
        if host == os.environ["LAMBDA_HOST"]:
            return find(at, int(port), *rest[1:], **named)
        return find(host, *rest, **named)
    socket.getaddrinfo = getaddrinfo
    botocore.httpsession.where = lambda: os.environ["LAMBDA_CERTIFICATE"]

_reach()
"""


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

    def __init__(self, root: Path, s3: str, concurrency: int = 2) -> None:
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
        self._unpacked: dict[str, tuple[Path, int]] = {}
        self._lock = threading.Lock()
        self._concurrency = concurrency
        self._events = self._new_events()
        self._http = HttpServer(("127.0.0.1", 0), _Control, self)
        certificate = _certificate(root)
        self._https = HttpServer(("127.0.0.1", 0), _Control, self, certificate)
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
        for server in (self._http, self._https):
            server.stop()

    def reset(self) -> None:
        """Delete all functions, and forget events; layers stay."""
        events, self._events = self._events, self._new_events()
        events.shutdown(wait=False, cancel_futures=True)
        for name in list(self.functions):
            self.delete(name)
        events.shutdown()

    def log(self) -> str:
        """What functions printed."""
        return "".join(path.read_text(errors="replace") for path in sorted(self.root.glob("environment-*/log")))

    def new_directory(self, kind: str) -> Path:
        return self.root / f"{kind}-{next(self._numbers)}"

    def add_layer(self, name: str, directory: Path, nbytes: int) -> str:
        """Publish what is in a directory, as a layer's zip would have it, of that size; gives its ARN."""
        versions = self.layers.setdefault(name, [])
        arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:{name}:{len(versions) + 1}"
        versions.append(Layer(arn, directory, nbytes))
        return arn

    def publish(self, name: str, content: dict[str, str]) -> str:
        """Publish a zip, from S3 or from the request itself."""
        if "S3Bucket" in content:
            client = s3_client(self._s3)
            data = client.get_object(Bucket=content["S3Bucket"], Key=content["S3Key"])["Body"].read()
            client.close()
        else:
            data = b64decode(content["ZipFile"])
        return self.add_layer(name, *self._unzipped(data, "layer"))

    def create(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Deploy a function; raises ValueError with AWS's code and message when AWS would not."""
        name = asked["FunctionName"]
        if name in self.functions:
            raise ValueError(409, "ResourceConflictException", f"Function already exist: {name}")
        known = {each.arn: each for versions in self.layers.values() for each in versions}
        layers = [known[arn] for arn in asked.get("Layers", [])]
        directory, nbytes = self._unzipped(b64decode(asked["Code"]["ZipFile"]), "task")
        total = nbytes + sum(each.nbytes for each in layers)
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
                environment = Environment(
                    function, self.role, self.runtime, self.new_directory("environment"), sandboxed=self.sandboxed
                )
                function.all.append(environment)
        answer = environment.invoke(str(uuid.uuid4()), payload)
        with self._lock:
            function.idle.append(environment)
        return answer

    def _new_events(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._concurrency, thread_name_prefix="lambda-event")

    def _unzipped(self, data: bytes, kind: str) -> tuple[Path, int]:
        """What is in a zip, and its bytes; the same one, as Lithops uploads in every test, is unpacked once."""
        digest = hashlib.sha256(data).hexdigest()
        if digest not in self._unpacked:
            directory = self.new_directory(kind)
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                archive.extractall(directory)
                nbytes = sum(entry.file_size for entry in archive.infolist())
            compileall.compile_dir(directory, quiet=2)
            self._unpacked[digest] = directory, nbytes
        return self._unpacked[digest]


class _Control(Handler):
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
