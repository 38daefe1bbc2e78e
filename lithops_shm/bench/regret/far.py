"""The S3 of the regret table: a real server behind a link like the one to a cloud, where that can be had."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from contextlib import ExitStack

from lithops_shm.bench.servers import S3Server
from lithops_shm.errors import UnsupportedError

__all__ = ["FarS3"]

_HERE, _THERE = "10.213.77.1", "10.213.77.2"


class FarS3:
    """An S3 server at the other end of a slow link; on loopback where links cannot be made.

    Parameters
    ----------
    directory, bucket:
        As :class:`S3Server` takes them.
    round_trip_s, bytes_per_s:
        Of the link.
    """

    def __init__(self, directory: str, bucket: str, round_trip_s: float, bytes_per_s: float) -> None:
        self._stack = ExitStack()
        self.is_far = os.geteuid() == 0 and os.path.exists("/dev/net/tun") and shutil.which("ip") is not None
        with ExitStack() as stack:
            prefix: list[str] = []
            address = "127.0.0.1"
            if self.is_far:
                name = f"regret-{secrets.token_hex(2)}"
                subprocess.run(["ip", "netns", "add", name], check=True)
                stack.callback(subprocess.run, ["ip", "netns", "delete", name], check=False)
                link = [sys.executable, "-m", "lithops_shm.bench.regret.link", name, _HERE, _THERE]
                process = subprocess.Popen(
                    [*link, str(round_trip_s), str(bytes_per_s)],
                    stdout=subprocess.PIPE,
                    text=True,
                    start_new_session=True,
                )
                stack.callback(_end, process)
                assert process.stdout is not None
                if process.stdout.readline() != "up\n":
                    raise UnsupportedError("the link to the S3 did not come up")
                prefix, address = ["ip", "netns", "exec", name], _THERE
            self._server = stack.enter_context(S3Server(directory, bucket, address=address, prefix=prefix))
            self.section = self._server.section
            self._stack = stack.pop_all()

    def keep(self, key: str, data: bytes) -> None:
        """Store an object without the link."""
        self._server.keep(key, data)

    def close(self) -> None:
        """End the server and the link."""
        self._stack.close()


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    process.communicate()
