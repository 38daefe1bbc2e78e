"""The leak check catches what it is for, one deliberate leak of each kind."""

import contextlib
import fcntl
import mmap
import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from leaks import Snapshot, settled

MEMORY = Path("/dev/shm") if os.path.isdir("/dev/shm") else Path("/var/tmp")

Undo = Callable[[], object]


def leak_a_descriptor(place: Path) -> Undo:
    return (place / "file").open("w").close


def leak_a_thread(place: Path) -> Undo:
    event = threading.Event()
    thread = threading.Thread(target=event.wait)
    thread.start()
    return lambda: (event.set(), thread.join())


def leak_a_child(place: Path) -> Undo:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    return child.communicate


def leak_a_child_that_ended(place: Path) -> Undo:
    child = subprocess.Popen([sys.executable, "-c", "pass"], stdin=subprocess.PIPE)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    return child.communicate


def leak_an_orphan(place: Path) -> Undo:
    """A process in a session of its own, whose parent has gone."""
    code = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'input()'], start_new_session=True)"
    read, write = os.pipe()
    subprocess.run([sys.executable, "-c", code], stdin=read, stderr=subprocess.DEVNULL, check=True)
    os.close(read)
    return lambda: os.close(write)  # the end of its input ends it


def leak_a_base_directory(place: Path) -> Undo:
    path = MEMORY / f"lithops-shm-test-{os.getpid()}-{secrets.token_hex(4)}"
    path.mkdir()
    return path.rmdir


def leak_a_spilled_session(place: Path) -> Undo:
    path = place / "spill" / "0123456789ab" / "abc"
    path.mkdir(parents=True)
    return path.rmdir


def leak_a_mapping(place: Path) -> Undo:
    """A segment whose name and descriptor are gone, and whose memory is not."""
    path = MEMORY / f"lithops-shm-test-{os.getpid()}-{secrets.token_hex(4)}"
    path.write_bytes(bytes(mmap.PAGESIZE))
    with path.open("rb") as file:
        mapping = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    path.unlink()
    return mapping.close


def leak_a_flock(place: Path) -> Undo:
    fd = os.open(place / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(fd, fcntl.LOCK_EX)
    return lambda: os.close(fd)


def leak_a_record_lock(place: Path) -> Undo:
    fd = os.open(place / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.lockf(fd, fcntl.LOCK_EX)
    return lambda: os.close(fd)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="processes and descriptors are counted in /proc")
@pytest.mark.parametrize(
    ("leak", "kind"),
    [
        (leak_a_descriptor, "descriptors"),
        (leak_a_thread, "threads"),
        (leak_a_child, "processes"),
        (leak_a_child_that_ended, "processes"),
        (leak_an_orphan, "processes"),
        (leak_a_base_directory, "shared_memory"),
        (leak_a_spilled_session, "spilled"),
        (leak_a_mapping, "mappings"),
        (leak_a_flock, "locks"),
        (leak_a_record_lock, "locks"),
    ],
)
def test_each_kind_of_leak_is_seen_and_its_end_too(tmp_path: Path, leak: Callable[[Path], Undo], kind: str) -> None:
    before = Snapshot.take((tmp_path / "spill",))
    undo = leak(tmp_path)
    try:
        assert kind in {found.partition(":")[0] for found in settled(before, 0)}
    finally:
        undo()
    assert settled(before) == []


def test_a_session_in_a_directory_that_was_there_before_is_seen() -> None:
    base = MEMORY / f"lithops-shm-test-{os.getpid()}-{secrets.token_hex(4)}"
    (base / "sessions").mkdir(parents=True)
    with contextlib.ExitStack() as stack:
        stack.callback(base.rmdir)
        stack.callback((base / "sessions").rmdir)
        before = Snapshot.take()
        stack.callback((base / "sessions" / "abc").rmdir)
        (base / "sessions" / "abc").mkdir()
        assert [found for found in settled(before, 0) if f"{base}/sessions/abc" in found]


def test_a_session_somebody_else_is_using_is_not_ours() -> None:
    """Another run of the tests, or an executor, on the same machine: without our mark, and no child of ours."""
    base = MEMORY / f"lithops-shm-test-{os.getpid()}-{secrets.token_hex(4)}"
    holder = (
        "import os, pathlib, subprocess, sys\n"
        f"base = pathlib.Path({str(base)!r}, 'sessions', 'abc')\nbase.mkdir(parents=True)\n"
        "file = (base / 'owner').open('w')\n"
        "subprocess.Popen([sys.executable, '-c', 'input()'], env={}, pass_fds=[file.fileno()], start_new_session=True)"
    )
    before = Snapshot.take()
    read, write = os.pipe()
    subprocess.run([sys.executable, "-c", holder], stdin=read, stderr=subprocess.DEVNULL, check=True)
    os.close(read)
    try:
        assert [found for found in settled(before, 0) if found.startswith("shared_memory")] == []
    finally:
        os.close(write)
    # Once its holder is gone it is anybody's, and so a leak.
    assert _eventually(lambda: bool([f for f in settled(before, 0) if f.startswith("shared_memory")]))
    for path in (base / "sessions" / "abc" / "owner", base / "sessions" / "abc", base / "sessions", base):
        path.unlink() if path.is_file() else path.rmdir()


def _eventually(condition: Callable[[], bool]) -> bool:
    event = threading.Event()
    return any(condition() or event.wait(0.05) for _ in range(200))


LEAKY = """
import os, pathlib
import pytest

kept = []

@pytest.fixture(scope="module")
def wide():
    pathlib.Path({memory!r}, f"lithops-shm-test-{{os.getpid()}}-{token}").mkdir()

@pytest.fixture
def narrow(tmp_path):
    kept.append(open(tmp_path / "file", "w"))

def test_that_passes(narrow):
    pass

def test_that_fails(narrow):
    assert False

def test_that_is_skipped_late(narrow):
    pytest.skip("after its fixtures")

def test_that_is_clean(wide):
    pass
"""


@pytest.mark.parametrize("processes", [[], ["-n", "2"]], ids=["one process", "two processes"])
def test_a_run_of_pytest_reports_them(tmp_path: Path, processes: list[str]) -> None:
    """Of tests that pass, fail and are skipped; and at the end, what a wider fixture kept."""
    token = secrets.token_hex(4)
    (tmp_path / "test_leaky.py").write_text(LEAKY.format(memory=str(MEMORY), token=token))
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    here = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    environ = {**os.environ, "PYTHONPATH": here, "SHM_TESTS_GRACE_S": "0.1"}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "leaks",
        "-p",
        "no:cacheprovider",
        "-rA",
        *processes,
        str(tmp_path),
    ]
    run = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, check=False)
    (left,) = MEMORY.glob(f"lithops-shm-test-*-{token}")
    left.rmdir()
    assert run.returncode == pytest.ExitCode.TESTS_FAILED, run.stdout + run.stderr
    for name in ("passes", "fails", "is_skipped_late"):
        assert f"ERROR at teardown of test_that_{name} " in run.stdout, run.stdout
        assert f"/test_that_{name}0/file" in run.stdout
    assert "1 failed, 2 passed, 1 skipped, 3 errors" in run.stdout
    assert f"left behind at the end of all tests: shared_memory: {left}" in run.stdout
