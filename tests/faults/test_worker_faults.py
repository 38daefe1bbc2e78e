"""Kill workers and clients, fill the memory, fork and nest: results stay right, and nothing is left behind."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from effort import times

from lithops_shm.config import StoreSettings

pytestmark = pytest.mark.usefixtures("cleaner_finishes")

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def section(section: dict[str, Any]) -> dict[str, Any]:
    """Nothing here needs pandas, which takes each pool a second to load."""
    return {"preload": ["numpy"], **section}


HEAD = """
import json, os, random, signal, sys, threading, time
import numpy as np
import lithops
from lithops_shm.errors import StoreFullError, UnsupportedError, WorkerError

def children_of(pid):
    lists = [open(f"/proc/{pid}/task/{thread}/children").read() for thread in os.listdir(f"/proc/{pid}/task")]
    return [int(child) for children in lists for child in children.split()]

def workers():
    # Forked from the zygote, which is the only child this program has.
    return [worker for zygote in children_of(os.getpid()) for worker in children_of(zygote)]
"""

KILLED_AT_RANDOM = (
    HEAD
    + """
def work(x):
    time.sleep(random.random() / 100)
    return np.full(20_000, x)  # large enough to be a segment

def outcome(future):
    try:
        return int(future.result().sum()) // 20_000
    except WorkerError as error:
        return type(error).__name__

def kill_now_and_then():
    # One for each job, so that on a slow machine too most calls live.
    random.seed(7)
    while len(killed) < JOBS and not over.wait(random.random() / 20):
        try:
            worker = random.choice(workers())
            os.kill(worker, signal.SIGKILL)
            killed.append(worker)
        except (IndexError, FileNotFoundError, ProcessLookupError):
            pass

if __name__ == "__main__":
    executor = lithops.FunctionExecutor(log_level=None)
    JOBS, over, killed = int(sys.argv[1]), threading.Event(), []
    killer = threading.Thread(target=kill_now_and_then)
    killer.start()
    found = []
    for job in range(JOBS):
        found.append([outcome(future) for future in executor.map(work, range(job, job + 4))])
    over.set()
    killer.join()
    print(json.dumps([found, len(killed), [outcome(future) for future in executor.map(work, range(8))]]))
"""
)


@pytest.mark.parametrize("more_settings", [{"retries": 0}, {"retries": 50}], ids=str)
def test_workers_killed_at_random_moments(run: Callable[..., str], more_settings: dict[str, Any]) -> None:
    found, killed, afterwards = json.loads(run(KILLED_AT_RANDOM, str(times(40, 100))).splitlines()[-1])
    lost = 0
    for job, results in enumerate(found):
        for call, result in enumerate(results):
            if result == "WorkerDiedError":
                lost += 1
            else:
                assert result == job + call
    assert killed > 5
    assert lost == 0 if more_settings["retries"] else 0 < lost <= killed
    assert afterwards == list(range(8))


ENDLESS = (
    HEAD
    + """
def hold(x):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "600")
    kept = np.ones(1_000_000)
    while True:
        time.sleep(0.1)

def produce(x):
    return np.ones(1_000_000)

if __name__ == "__main__":
    for number in (signal.SIGHUP, signal.SIGTERM):  # as at a terminal, whatever the tests run under
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    executor = lithops.FunctionExecutor(log_level=None)
    executor.wait(executor.map(produce, range(4)))
    executor.map(hold, range(4))
    while len(workers()) < 2:
        time.sleep(0.01)
    time.sleep(0.5)
    print("ready", flush=True)
    if sys.argv[1] == "waits":
        executor.get_result()
"""
)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_client_that_is_killed_leaves_no_worker_and_no_segment(
    start: Start, settings: StoreSettings, number: signal.Signals
) -> None:
    process = start(ENDLESS, "waits")
    before = _marked()
    assert len(before) >= 4  # the client, the zygote, the workers
    process.send_signal(number)
    process.wait(100)
    deadline = time.monotonic() + 60  # it takes a fifth of a second, on a machine that is there for it
    while (_marked() or Path(str(settings.directory)).exists()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _marked() == []
    assert [str(path) for path in Path(str(settings.directory)).rglob("*")] == []
    assert not Path(str(settings.directory)).exists()


def test_a_program_ends_though_its_workers_will_not(start: Start) -> None:
    process = start(ENDLESS, "ends")
    assert process.wait(100) == 0
    assert _marked() == []


def _marked() -> list[str]:
    """The processes of the program, told by the store they were started with."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
            environ = (process / "environ").read_bytes()
            state = (process / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        mine = f"LITHOPS_CONFIG_FILE={os.environ.get('PYTEST_CURRENT_TEST_CONFIG', '')}"
        if mine.encode() in environ and process.name != str(os.getpid()) and b"lithops.scripts.cleaner" not in command:
            found.append(f"{process.name} {state} {command.replace(bytes(1), b' ').decode()[:100]}")
    return found


@pytest.fixture(autouse=True)
def mark(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The configuration file is this test's alone, and so are the processes that have its name in their environment."""
    monkeypatch.setenv("PYTEST_CURRENT_TEST_CONFIG", environment["LITHOPS_CONFIG_FILE"])


FILLING = (
    HEAD
    + """
def produce(x):
    return np.full(1_000_000, x)

def outcome(future):
    try:
        return int(future.result()[-1])
    except StoreFullError as error:
        return "full"

if __name__ == "__main__":
    executor = lithops.FunctionExecutor(log_level=None)
    print(json.dumps([outcome(future) for future in executor.map(produce, range(12))]))
"""
)


SMALL = {"budget_bytes": 50_000_000, "pool_bytes": 0}


@pytest.mark.parametrize("more_settings", [{**SMALL, "spill": True}, {**SMALL, "spill": False}], ids=str)
def test_a_map_that_fills_the_memory(run: Callable[..., str], more_settings: dict[str, Any]) -> None:
    results = json.loads(run(FILLING).splitlines()[-1])
    if more_settings["spill"]:
        assert results == list(range(12))
    else:
        right = [result for number, result in enumerate(results) if result == number]
        assert 4 <= len(right) <= 6
        assert len(right) + results.count("full") == 12


NESTED = (
    HEAD
    + """
def double(x):
    return 2 * x

def nest(x):
    executor = lithops.FunctionExecutor(log_level=None)
    return sum(executor.get_result(executor.map(double, [x, x + 1])))

def deeper(depth):
    if depth == 0:
        return 1
    return 1 + lithops.FunctionExecutor(log_level=None).call_async(deeper, depth - 1).result()

if __name__ == "__main__":
    executor = lithops.FunctionExecutor(log_level=None)
    count = int(sys.argv[1])
    wide = executor.get_result(executor.map(nest, range(count)))
    print(json.dumps([wide == [4 * x + 2 for x in range(count)], executor.call_async(deeper, 4).result()]))
"""
)


def test_many_nested_executors(run: Callable[..., str]) -> None:
    assert json.loads(run(NESTED, str(times(60, 200))).splitlines()[-1]) == [True, 5]


BESIDE = (
    HEAD
    + """
def work(x):
    return np.full(50_000, x)

if __name__ == "__main__":
    executor = lithops.FunctionExecutor(log_level=None)
    print("ready", flush=True)
    number = int(sys.argv[1])
    for job in range(8):
        results = executor.get_result(executor.map(work, range(number, number + 4)))
        assert [int(each[0]) for each in results] == list(range(number, number + 4)), results
    print("right")
"""
)


def test_two_clients_of_one_user_at_once(start: Start) -> None:
    clients = [start(BESIDE, str(number)) for number in (0, 1000)]
    assert [client.communicate(timeout=150)[0].strip().splitlines()[-1] for client in clients] == ["right", "right"]


FORKING = (
    HEAD
    + """
import multiprocessing

def double(x):
    return 2 * x

def in_a_child(executor, number):
    try:
        executor.map(double, [number])
        os._exit(1)
    except UnsupportedError as error:
        assert "make another executor in the child" in str(error)
    for _ in range(3):
        another = lithops.FunctionExecutor(log_level=None)
        assert another.get_result(another.map(double, [number, number + 1])) == [2 * number, 2 * number + 2]

if __name__ == "__main__":
    executor = lithops.FunctionExecutor(log_level=None)
    assert executor.get_result(executor.map(double, [1, 2])) == [2, 4]
    busy = executor.map(double, range(200))
    fork = multiprocessing.get_context("fork")
    children = [fork.Process(target=in_a_child, args=(executor, number)) for number in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    codes = [child.exitcode for child in children]
    print(json.dumps([codes, executor.get_result(busy)[-1], executor.get_result(executor.map(double, [5]))]))
"""
)


def test_a_client_that_forks_after_creating_an_executor(run: Callable[..., str]) -> None:
    assert json.loads(run(FORKING).splitlines()[-1]) == [[0, 0, 0], 398, [10]]


GREEDY = (
    HEAD
    + """
def take(nbytes):
    return int(np.ones(nbytes, dtype=np.uint8)[-1])

if __name__ == "__main__":
    with open(os.path.join(sys.argv[1], "cgroup.procs"), "w") as file:
        file.write(str(os.getpid()))
    executor = lithops.FunctionExecutor(log_level=None)
    futures = executor.map(take, [1_000_000, 2_000_000_000, 1_000_000])
    found = []
    for future in futures:
        try:
            found.append(future.result())
        except WorkerError as error:
            found.append(type(error).__name__)
    print(json.dumps([found, executor.get_result(executor.map(take, [1000]))]))
"""
)


@pytest.fixture
def memory_group() -> Iterator[Path]:
    """A control group that has a gigabyte."""
    top = Path("/sys/fs/cgroup")
    for parent, limit in ((top / "memory", "memory.limit_in_bytes"), (top, "memory.max")):
        group = parent / f"lithops-shm-test-{os.getpid()}"
        try:
            group.mkdir()
            (group / limit).write_text(str(1_000_000_000))
        except OSError:
            continue
        yield group
        deadline = time.monotonic() + 60
        while (group / "cgroup.procs").read_text() and time.monotonic() < deadline:
            time.sleep(0.05)
        group.rmdir()
        return
    pytest.skip("no control group for memory can be made here")


def test_a_call_that_runs_out_of_memory_fails_alone(run: Callable[..., str], memory_group: Path) -> None:
    found = json.loads(run(GREEDY, str(memory_group)).splitlines()[-1])
    assert found == [[1, "WorkerOutOfMemoryError", 1], [1]]
