"""A pytest plugin: whatever a test leaves behind fails it, whether it passed or not.

Counted are base directories and sessions in shared memory, sessions spilled to disk, child processes, threads, open
descriptors, mapped segments, and file locks. A test may leave nothing; at the end of all tests they are counted once
more against the beginning, for what fixtures of a wider scope kept.

Shared memory is the whole machine's, and several runs may share it: what a living process of somebody else's holds is
not ours. Which processes are ours is told by a variable in their environment, which reaches orphans too, unless they
were forked and run no program of their own.
"""

from __future__ import annotations

import gc
import os
import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import pytest

__all__ = ["Snapshot", "leaves_nothing_behind", "settled"]

RUN_VARIABLE = "SHM_TESTS_RUN"

_GRACE_S = float(os.environ.get("SHM_TESTS_GRACE_S", "20"))  # for threads and processes that are on their way out
_SHARED = (Path("/dev/shm"), Path("/var/tmp"))
_NAME = "lithops-shm"
# Ends by itself, seconds after its executor; tests that need it gone ask for `cleaner_finishes`.
_LITHOPS_CLEANER = "lithops.scripts.cleaner"


@dataclass(frozen=True)
class Snapshot:
    """What there is at one moment.

    Parameters
    ----------
    places:
        Directories besides the default ones in which sessions may be spilled; where this looks, not what it found.
    """

    places: tuple[Path, ...] = field(default=(), metadata={"input": True})
    shared_memory: frozenset[str] = frozenset()
    spilled: frozenset[str] = frozenset()
    processes: frozenset[str] = frozenset()
    threads: frozenset[str] = frozenset()
    descriptors: frozenset[str] = frozenset()
    mappings: frozenset[str] = frozenset()
    locks: frozenset[str] = frozenset()

    @classmethod
    def take(cls, places: tuple[Path, ...] = ()) -> Snapshot:
        return cls(
            places, _shared_memory(), _spilled(places), _processes(), _threads(), _descriptors(), _mappings(), _locks()
        )

    def added_since(self, before: Snapshot) -> list[str]:
        """What is in this one and was not in `before`, a sentence each."""
        found = []
        for what in (each.name for each in fields(self) if not each.metadata.get("input")):
            added = getattr(self, what) - getattr(before, what)
            if added and what == "shared_memory":
                added = {path for path in added if not _held_by_others(path)}
            if added:
                found.append(f"{what}: {', '.join(sorted(added))}")
        return found


_BEGINNING = pytest.StashKey[Snapshot]()
_LEFT = pytest.StashKey[list[str]]()


def pytest_sessionstart(session: pytest.Session) -> None:
    os.environ[RUN_VARIABLE] = secrets.token_hex(8)
    # multiprocessing starts it with the first spawned child, and keeps it and a pipe to it until the process ends.
    resource_tracker.ensure_running()
    session.config.stash[_BEGINNING] = Snapshot.take()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    # Threads, descriptors and locks of libraries outlive the test that was the first to use them.
    leaks = settled(session.config.stash[_BEGINNING], only=("shared_memory", "spilled", "processes", "mappings"))
    if hasattr(session.config, "workeroutput"):  # one of several processes of a run: the first one reports
        session.config.workeroutput["left"] = leaks
        return
    left = session.config.stash.setdefault(_LEFT, [])
    left += leaks
    if left:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """One of the processes that pytest-xdist runs tests in has ended."""
    node.config.stash.setdefault(_LEFT, []).extend(getattr(node, "workeroutput", {}).get("left", []))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for leak in config.stash.get(_LEFT, []):
        terminalreporter.write_line(f"ERROR: left behind at the end of all tests: {leak}", red=True)


@pytest.fixture(autouse=True)
def leaves_nothing_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Runs around all other fixtures of a test, so that theirs count as the test's own."""
    places = (request.getfixturevalue("tmp_path") / "spill",) if "tmp_path" in request.fixturenames else ()
    before = Snapshot.take(places)
    yield
    leaks = settled(before)
    if leaks:
        pytest.fail("left behind: " + "; ".join(leaks), pytrace=False)


def settled(before: Snapshot, grace_s: float = _GRACE_S, only: tuple[str, ...] = ()) -> list[str]:
    """What is left when all that is about to go has gone, within `grace_s` seconds; of the kinds `only`, or of all."""
    deadline = time.monotonic() + grace_s

    def added() -> list[str]:
        leaks = Snapshot.take(before.places).added_since(before)
        return [leak for leak in leaks if not only or leak.partition(":")[0] in only]

    leaks = added()
    if leaks:
        gc.collect()
        leaks = added()
    while leaks and time.monotonic() < deadline:
        time.sleep(0.05)
        leaks = added()
    return leaks


def _shared_memory() -> frozenset[str]:
    """Base and spill directories, and the sessions in them: one may leak into a directory that was there before."""
    found: list[Path] = []
    for parent in _SHARED:
        for base in parent.glob(f"{_NAME}*"):
            if _of_another_run(base.name):
                continue
            found += [base, *_listed(base / "sessions"), *_listed(base / "trash")]
    return frozenset(map(str, found))


def _of_another_run(name: str) -> bool:
    """Whether a directory is named for a test of another run, which is still going on, or a benchmark: they see to it.

    Benchmarks run for minutes, in processes that nothing here knows of, and hold no file open between two figures.
    """
    if name.startswith(f"{_NAME}-bench-"):
        return True
    pid = name.removeprefix(f"{_NAME}-test-").partition("-")[0]
    return pid.isdecimal() and int(pid) != os.getpid() and os.path.exists(f"/proc/{pid}")


def _spilled(places: tuple[Path, ...]) -> frozenset[str]:
    """Sessions on disk: <spill directory>/<id of a base directory>/<id of a session>."""
    return frozenset(str(session) for place in places for store in _listed(place) for session in _listed(store))


def _listed(directory: Path) -> list[Path]:
    try:
        return list(directory.iterdir())
    except OSError:
        return []


def _held_by_others(path: str) -> bool:
    """Whether a living process of somebody else has a file open below `path`, as the owner of a session does."""
    ours = {name.partition(" ")[0] for name in _processes()} | {str(os.getpid())}

    def holds(process: Path) -> bool:
        return any(_target(link).startswith(f"{path}/") for link in _listed(process / "fd"))

    return any(holds(process) for process in Path("/proc").glob("[0-9]*") if process.name not in ours)


# Processes that do not carry the mark, by number and inode: they never will, as none descends from this one.
_others: set[tuple[str, int]] = set()


def _processes() -> frozenset[str]:
    """Children of this process, and whatever else carries the mark of this run."""
    me = str(os.getpid())
    mark = f"{RUN_VARIABLE}={os.environ.get(RUN_VARIABLE, 'none')}\0".encode()
    found = []
    with os.scandir("/proc") as entries:
        seen = {(entry.name, entry.inode()) for entry in entries if entry.name.isdecimal() and entry.name != me}
    _others.intersection_update(seen)
    for each in seen - _others:
        process = Path("/proc", each[0])
        try:
            state, parent = (process / "stat").read_text().rpartition(")")[2].split()[:2]
            if parent == me or (state != "Z" and mark in (process / "environ").read_bytes() + b"\0"):
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if "resource_tracker" not in command and _LITHOPS_CLEANER not in command:
                    found.append(f"{process.name} {command[:80] or 'not waited for'}")
            else:
                _others.add(each)
        except OSError:  # it is gone, or not ours to look at, as the kernel's own
            _others.add(each)
    return frozenset(found)


def _threads() -> frozenset[str]:
    return frozenset(f"{thread.name} {thread.ident}" for thread in threading.enumerate())


def _descriptors() -> frozenset[str]:
    """Open descriptors of files, directories, pipes and sockets, by number and target."""
    targets = {link.name: _target(link) for link in _listed(Path("/proc/self/fd"))}
    return frozenset(f"{name} -> {target}" for name, target in targets.items() if _matters(target))


def _matters(target: str) -> bool:
    # The kernel's own objects are made by libraries on first use, and kept: thread pools and event loops.
    return bool(target) and target != "/dev/null" and not target.startswith(("anon_inode", "/proc/"))


def _mappings() -> frozenset[str]:
    """Segments mapped by this process: their memory is in use, whether their names are gone or not."""
    try:
        maps = Path("/proc/self/maps").read_bytes()
    except OSError:
        return frozenset()
    name = f"/{_NAME}".encode()
    if name not in maps:  # hundreds of lines, in every test
        return frozenset()
    return frozenset(line.split(maxsplit=5)[5].decode() for line in maps.splitlines() if name in line)


def _locks() -> frozenset[str]:
    """Locks of flock(2) and of fcntl(2) held through this process's descriptors, by kind and inode.

    /proc/locks has them too, but the kernel stops all locking for each reader of it, which takes it 10 ms and more.
    """
    found = set()
    for entry in _listed(Path("/proc/self/fdinfo")):
        try:
            lines = entry.read_text().splitlines()
        except OSError:  # the descriptor that listed them
            continue
        for words in (line.split() for line in lines if line.startswith("lock:")):
            found.add(f"{words[2]} {words[4]} of inode {words[6]}")
    return frozenset(found)


def _target(link: Path) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return ""
