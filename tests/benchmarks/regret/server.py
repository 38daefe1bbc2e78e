"""The S3 of the regret table: a real server behind a link like the one to a cloud, where that can be had."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

sys.path.insert(0, str(Path(__file__).parents[1] / "shuffle"))

from servers import S3Server

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
                link = [sys.executable, str(Path(__file__).parent / "link.py"), name, _HERE, _THERE]
                process = subprocess.Popen(
                    [*link, str(round_trip_s), str(bytes_per_s)], stdout=subprocess.PIPE, text=True
                )
                stack.callback(_end, process)
                assert process.stdout is not None
                assert process.stdout.readline() == "up\n", "the link did not come up"
                prefix, address = ["ip", "netns", "exec", name], _THERE
            server = S3Server(directory, bucket, address=address, prefix=prefix)
            stack.callback(server.close)
            self.section = server.section
            self._stack = stack.pop_all()

    def __enter__(self) -> FarS3:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    process.communicate()
