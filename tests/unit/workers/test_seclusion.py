"""What workers are kept from, each in a process of its own."""

import os
import subprocess
import sys
import tempfile

import pytest

from lithops_shm.workers import seclusion
from lithops_shm.workers.seclusion import HOST, IF_POSSIBLE, NONE, OPEN, Seclusion

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has namespaces")


@pytest.mark.parametrize(
    "wanted", [OPEN, Seclusion(True), *(Seclusion(p, n) for p in (0, 1) for n in (NONE, IF_POSSIBLE))]
)
def test_it_travels_as_text(wanted: Seclusion) -> None:
    assert Seclusion.from_text(wanted.to_text()) == wanted
    assert bool(wanted.to_text()) == (wanted != OPEN)


def test_open_workers_are_started_as_before() -> None:
    assert Seclusion(private=False, network=HOST) == OPEN
    assert OPEN.to_text() == ""


ALONE = """
import ctypes, os, socket, sys
from lithops_shm.workers.seclusion import leave_network
if len(sys.argv) > 2:  # after the imports: the interpreter may be for one user alone
    os.setgroups([])
    os.setgid(int(sys.argv[2]))
    os.setuid(int(sys.argv[2]))
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # who changes its user is not dumpable, as if it had secrets
leave_network()
print(os.getuid(), os.getgid(), socket.if_nameindex())
for family, address in ((socket.AF_INET, ("127.0.0.1", 9)), (socket.AF_INET6, ("::1", 9))):
    try:
        socket.socket(family).connect(address)
    except OSError as error:
        print(type(error).__name__, error.errno)
os.makedirs(sys.argv[1])
print(os.stat(sys.argv[1]).st_uid)
"""


@linux
@pytest.mark.parametrize("user", [None, 65534])
def test_a_namespace_without_a_network(user: int | None) -> None:
    """By right of root, or as the owner of a user namespace, in which files belong to whom they did."""
    if user is not None and os.geteuid() != 0:
        pytest.skip("only root becomes somebody else")
    if seclusion.network_refusal():
        pytest.skip(f"no namespaces here: {seclusion.network_refusal()}")
    with tempfile.TemporaryDirectory() as directory:  # where others may go, too
        os.chmod(directory, 0o777)
        command = [sys.executable, "-c", ALONE, f"{directory}/made", *([] if user is None else [str(user)])]
        run = subprocess.run(command, capture_output=True, text=True, cwd="/")
    assert run.returncode == 0, run.stderr
    who = f"{os.getuid()} {os.getgid()}" if user is None else f"{user} {user}"
    lines = run.stdout.splitlines()
    assert lines[0] == f"{who} [(1, 'lo')]"
    assert lines[1].startswith("OSError")
    assert lines[-1] == who.split()[0]


DUMPLESS = """
import ctypes, resource
from lithops_shm.workers.seclusion import forbid_dumps
resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
forbid_dumps()
print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
"""


@linux
def test_no_core_dump() -> None:
    run = subprocess.run([sys.executable, "-c", DUMPLESS], check=True, capture_output=True, text=True)
    assert run.stdout.strip() == "(0, 0) 0"


def test_the_script_says_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert "/nowhere/python" in seclusion.network_refusal()
