"""An S3 on this machine, for the length of a benchmark: rclone, or moto where that is what there is."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

from lithops_shm.errors import UnsupportedError

__all__ = ["S3Server", "no_server"]

_KEY, _SECRET = "benchmark", "benchmark-secret"
_READY_S = 60.0
# Run by Python with the command of the server, which it becomes: the kernel ends that when we are gone, however we end.
_ENDS_WITH_US = """
import ctypes, os, signal, sys
PR_SET_PDEATHSIG = 1  # prctl(2)
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
os.execv(sys.argv[1], sys.argv[1:])"""


@cache
def _rclone() -> str | None:
    """Where an rclone is that serves S3, as it does from 1.65 on."""
    beside = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    program = shutil.which("rclone", path=beside)
    serves = program and not subprocess.run([program, "serve", "s3", "--help"], capture_output=True).returncode
    return program if serves else None


def no_server() -> str | None:
    """Why there can be no server; ``None`` when there can."""
    if _rclone() or (importlib.util.find_spec("moto") and importlib.util.find_spec("flask")):
        return None
    return "no S3 server (pip install 'lithops-shm[bench]')"


class S3Server:
    """A server, with a bucket; closed, or left as a ``with`` block, it ends, and with the thread that made it.

    Parameters
    ----------
    directory:
        Where rclone keeps objects; made if need be. moto keeps them in memory.
    bucket:
        Made in it.
    address:
        It listens on.
    prefix:
        Of its command: what runs it somewhere else.

    Attributes
    ----------
    kind:
        ``rclone`` or ``moto``.
    section:
        As Lithops' configuration has it, for ``minio``.
    """

    def __init__(self, directory: str, bucket: str, *, address: str = "127.0.0.1", prefix: Sequence[str] = ()) -> None:
        reason = no_server()
        if reason is not None:
            raise UnsupportedError(reason)
        with socket.socket() as free:
            free.bind(("", 0))
            port = free.getsockname()[1]
        # What botocore sends along by default since 1.36, rclone does not understand.
        os.environ |= dict.fromkeys(
            ("AWS_REQUEST_CHECKSUM_CALCULATION", "AWS_RESPONSE_CHECKSUM_VALIDATION"), "when_required"
        )
        self._directory, self._bucket = directory, bucket
        program = _rclone()
        self.kind = "rclone" if program else "moto"
        if program:
            os.makedirs(os.path.join(directory, bucket), exist_ok=True)
            command = [program, "serve", "s3", "--addr", f"{address}:{port}", "--auth-key", f"{_KEY},{_SECRET}"]
            # With a hash for an ETag it would read all of an object for each range.
            command += ["--etag-hash=", "--config", os.devnull, directory]
        else:
            command = [sys.executable, "-m", "moto.server", "-H", address, "-p", str(port)]
        if sys.platform == "linux":
            command = [sys.executable, "-I", "-S", "-c", _ENDS_WITH_US, *command]
        self._process = subprocess.Popen(
            [*prefix, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        self.section = {
            "endpoint": f"http://{address}:{port}",
            "access_key_id": _KEY,
            "secret_access_key": _SECRET,
        }
        try:
            self._wait(address, port)
            if not program:
                with closing(self._client()) as client:
                    client.create_bucket(Bucket=bucket)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> S3Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def keep(self, key: str, data: bytes) -> None:
        """Store an object in the bucket; with rclone, as the file that it is."""
        if self.kind == "rclone":
            path = Path(self._directory, self._bucket, key)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            return
        with closing(self._client()) as client:
            client.put_object(Bucket=self._bucket, Key=key, Body=data)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()

    def _wait(self, address: str, port: int) -> None:
        """Until it answers. Raises UnsupportedError when it does not."""
        deadline = time.monotonic() + _READY_S
        while time.monotonic() < deadline and self._process.poll() is None:
            with socket.socket() as probe:
                if not probe.connect_ex((address, port)):
                    return
            time.sleep(0.05)
        raise UnsupportedError(f"the S3 server ({self.kind}) did not answer on {address}:{port} in {_READY_S:.0f} s")

    def _client(self) -> Any:
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.section["endpoint"],
            aws_access_key_id=_KEY,
            aws_secret_access_key=_SECRET,
            region_name="us-east-1",
        )
