"""Runs that write to a dataset: each leaves a marker while it does, from which others see whether it still lives."""

from __future__ import annotations

import json
import os
import re
import socket
import time
from dataclasses import asdict, dataclass

__all__ = ["Run", "marker", "object_of", "part_name", "unfinished_by"]

# Of a run on another machine nobody here can tell; no job takes so long.
_LONGEST_S = 7 * 24 * 3600.0

_JOB = r"[A-Za-z0-9_.-]+"
# A part under its name, or not finished, under the hidden one of a file that is being written.
_PART = re.compile(rf"\.?part-\d{{5,}}-attempt-\d+-run-({_JOB})\.(?:parquet|arrow|csv)(?:\.\d+-[0-9a-f]+)?")
_MARKER = re.compile(rf"_RUN-({_JOB})\.json")
_UNFINISHED = re.compile(r"\._[A-Z].*\.(\d+)-[0-9a-f]+")


@dataclass(frozen=True, slots=True)
class Run:
    """A run, and the process that leads it.

    Parameters
    ----------
    job:
        Its id.
    machine:
        Where: the boot of the machine, and the name space of its process ids.
    process:
        Its id there.
    started:
        When that process started, in ticks after the boot; 0 where that cannot be known.
    since:
        When the run began, in seconds of Unix time.
    """

    job: str
    machine: str
    process: int
    started: int
    since: float

    @classmethod
    def of_this_process(cls, job: str) -> Run:
        return cls(job, _machine(), os.getpid(), _started(os.getpid()) or 0, time.time())

    @property
    def is_here(self) -> bool:
        """Whether its process is one of this machine's."""
        return self.machine == _machine()

    def is_over(self, now: float) -> bool:
        """Whether it is known to be dead: its process is, or where that cannot be seen, it is older than a week."""
        if not self.is_here:
            return now - self.since > _LONGEST_S
        return _started(self.process) != self.started

    def dump(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def load(cls, data: bytes) -> Run | None:
        """Read what :meth:`dump` wrote; ``None`` when it is something else."""
        try:
            return cls(**json.loads(data))
        except (ValueError, TypeError):
            return None


def part_name(task: int, attempt: int, job: str, ending: str) -> str:
    """The name of a part: final from the start, since it is nobody else's. Names sort by task."""
    return f"part-{task:05d}-attempt-{attempt}-run-{job}.{ending}"


def marker(job: str) -> str:
    """The name of a run's marker."""
    return f"_RUN-{job}.json"


def object_of(name: str) -> tuple[str, str] | None:
    """The run whose object this is, as (``"part"`` or ``"marker"``, job); ``None`` for what no run of ours wrote."""
    for kind, pattern in (("part", _PART), ("marker", _MARKER)):
        if (found := pattern.fullmatch(name)) is not None:
            return kind, found[1]
    return None


def unfinished_by(name: str) -> int | None:
    """The process that writes, or wrote, a manifest, an index or a marker under this hidden name; ``None``: none."""
    found = _UNFINISHED.fullmatch(name)
    return None if found is None else int(found[1])


def _machine() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return f"{file.read().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()


def _started(process: int) -> int | None:
    """When a process started, which tells it from a later one of the same id; ``None`` when it is dead."""
    try:
        with open(f"/proc/{process}/stat", "rb") as file:
            # After the name, which may have anything in it: the state, and 19 fields later the start (proc(5)).
            fields = file.read().rpartition(b")")[2].split()
        return None if fields[0] in (b"Z", b"X") else int(fields[19])
    except FileNotFoundError:
        if os.path.exists("/proc/self/stat"):
            return None
    except ProcessLookupError:
        return None
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        return 0
    return 0
