"""Jobs of stock Lithops on shared memory, in interpreters of their own that import nothing of ours."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lithops_shm.config import StoreSettings
from lithops_shm.store import inspect, reclaim

pytestmark = pytest.mark.usefixtures("cleaner_finishes")

JOB = """
import os, sys
import lithops

def double(x):
    return x * 2

def total(results):
    return sum(results)

def keep(x, storage):
    return storage.put_cloudobject(f"cloud {x}")

def fetch(cloudobject, storage):
    return storage.get_cloudobject(cloudobject).decode()

def length(obj):
    return obj.key, len(obj.data_stream.read())

def wait_for_ever(x):
    import time
    time.sleep(600)

def fail(x):
    raise ValueError(f"call {x} failed")

def make(n):
    import numpy as np
    import lithops_shm as shm
    return shm.put({"numbers": np.arange(n)})

def add_up(ref):
    import lithops_shm as shm
    numbers = shm.get(ref)["numbers"]
    return int(numbers.sum()), shm.report(ref).zero_copy, numbers.flags.writeable
"""


@pytest.fixture
def section(section: dict[str, Any]) -> dict[str, Any]:
    """Nothing here needs pandas, which takes each pool a second to load."""
    return {"preload": ["numpy"], **section}


def program(body: str) -> str:
    lines = ['if __name__ == "__main__":', *(f"    {line}" for line in body.strip().splitlines())]
    return JOB + "\n" + "\n".join(lines) + "\n"


def script(tmp_path: Path, body: str) -> list[str]:
    path = tmp_path / "job.py"
    path.write_text(program(body))
    return [sys.executable, str(path)]


def fails(tmp_path: Path, environment: dict[str, str], body: str) -> str:
    """Run a program that has to fail; gives what it says."""
    command = script(tmp_path, body)
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=150)
    assert done.returncode != 0
    return done.stderr


JOBS = {
    "call_async": ("answers.append(fe.call_async(double, 4).result())", "8"),
    "map": ("answers.append(fe.get_result(fe.map(double, range(5))))", "[0, 2, 4, 6, 8]"),
    "map_reduce": ("answers.append(fe.get_result(fe.map_reduce(double, range(5), total)))", "20"),
    "cloudobjects": (
        """objects = fe.get_result(fe.map(keep, range(2)))
answers.append(fe.get_result(fe.map(fetch, objects)))""",
        "['cloud 0', 'cloud 1']",
    ),
    "objects": (
        """fe.storage.put_object("in", "a", b"12")
fe.storage.put_object("in", "b/c", b"3")
answers.append(sorted(fe.get_result(fe.map(length, "shm://in/"))))""",
        "[('a', 2), ('b/c', 1)]",
    ),
    "refs": (
        """ref = fe.call_async(make, 100_000).result()
answers.append(fe.call_async(add_up, ref).result())""",
        "(4999950000, True, False)",
    ),
}


@pytest.mark.parametrize("compute", ["shm", "localhost"])
def test_jobs(run: Callable[..., str]) -> None:
    bodies = "\n".join(body for body, _ in JOBS.values())
    said = run(program(f"fe, answers = lithops.FunctionExecutor(), []\n{bodies}\nprint(*answers, sep='; ')"))
    assert said.splitlines()[-1].split("; ") == [expected for _, expected in JOBS.values()]


def test_nobody_imports_us(run: Callable[..., str]) -> None:
    body = "import lithops.storage.backends.shm as found; print(found.StorageBackend.__name__)"
    assert run(program(body)) == "ShmStorageBackend"


def test_an_argument_is_enough(run: Callable[..., str], environment: dict[str, str]) -> None:
    del environment["LITHOPS_CONFIG_FILE"]
    body = "fe = lithops.FunctionExecutor(storage='shm'); print(fe.get_result(fe.map(double, [1])), fe.storage.backend)"
    assert run(program(body)).splitlines()[-1] == "[2] shm"


@pytest.mark.parametrize("compute", ["shm", "localhost"])
def test_a_failing_call_says_why_and_leaves_nothing(tmp_path: Path, environment: dict[str, str]) -> None:
    body = "fe = lithops.FunctionExecutor(); fe.get_result(fe.map(fail, [1]))"
    assert "call 1 failed" in fails(tmp_path, environment, body)


@pytest.mark.parametrize("compute", ["shm", "localhost"])
def test_interrupting_leaves_nothing(tmp_path: Path, environment: dict[str, str], settings: StoreSettings) -> None:
    body = """with lithops.FunctionExecutor() as fe:
    fs = fe.map(wait_for_ever, [1])
    print("started", flush=True)
    fe.get_result(fs)"""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(
        script(tmp_path, body),
        env=environment,
        cwd=tmp_path,
        text=True,
        **pipes,  # type: ignore[call-overload]
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "started"
        time.sleep(1)
        assert inspect(settings).sessions
        process.send_signal(signal.SIGINT)
        assert process.wait(150) != 0


def test_what_a_killed_client_leaves_is_reclaimed(
    tmp_path: Path, environment: dict[str, str], settings: StoreSettings
) -> None:
    body = """storage = lithops.Storage(backend="shm")
storage.put_object("b", "k", bytes(1 << 20))
print("stored", flush=True)
input()"""
    with subprocess.Popen(
        script(tmp_path, body), env=environment, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        while process.stdout.readline().strip() != "stored":
            pass
        process.kill()
    assert [session.alive for session in inspect(settings).sessions] == [False]
    assert reclaim(settings).memory_bytes >= 1 << 20
    assert not os.path.exists(str(settings.directory))


def test_compute_elsewhere_is_refused_before_anything_is_made(
    tmp_path: Path, environment: dict[str, str], settings: StoreSettings
) -> None:
    body = "lithops.FunctionExecutor(backend='k8s', storage='shm')"
    said = fails(tmp_path, environment, body)
    assert "functions on 'k8s' run on another" in said or "kubernetes" in said.lower()
    assert not os.path.exists(str(settings.directory))
