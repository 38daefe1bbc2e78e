"""Everything Lithops promises, in warm workers: one program asks, a test for each answer looks at it."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from programs import ASK

from lithops_shm.config import StoreSettings
from lithops_shm.store import inspect

pytestmark = pytest.mark.usefixtures("cleaner_finishes")

FUNCTIONS = (
    ASK
    + """
import os, pathlib, sys, threading, time
import lithops
from lithops.wait import ANY_COMPLETED

def double(x):
    return 2 * x

def total(results):
    return sum(results)

def add(x, y, z=0):
    return x + y + z

def variable(name):
    return os.environ.get(name)

def sleep(seconds):
    time.sleep(seconds)
    return seconds

def say(text):
    print("it says", text)

def nested(count):
    executor = lithops.FunctionExecutor()
    return sum(executor.get_result(executor.map(double, range(count))))

def hand_back(count):
    return lithops.FunctionExecutor().map(double, range(count))

def where(x):
    return os.getcwd(), os.getpid(), x

def pages_for_arrays_again(x):
    # What the second arrays are in has been that of the first: the kernel clears next to no pages for them.
    import resource
    import numpy as np
    faults = [resource.getrusage(resource.RUSAGE_SELF).ru_minflt]
    for _ in range(2):
        arrays = [np.ones(2 << 20, np.uint8) for _ in range(16)]
        del arrays
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
    return faults[1] - faults[0], faults[2] - faults[1]

def in_a_module_of_yours(x):
    import beside_the_program
    return beside_the_program.triple(x)
"""
)

PROMISES = (
    FUNCTIONS
    + """
def chaining():
    return executor.get_result(executor.map(double, executor.map(double, range(4))))

def map_reduce():
    return executor.get_result(executor.map_reduce(double, range(10), total))

def reducers_as_many_as_workers_wait_for_their_maps():
    jobs = [executor.map_reduce(sleep, [0.05] * 4, total, spawn_reducer=0) for _ in range(4)]
    return [round(executor.get_result(futures), 1) for futures in jobs]

def extra_env():
    return executor.get_result(executor.map(variable, ["COLOUR"] * 2, extra_env={"COLOUR": "red"}))

def extra_args():
    return executor.get_result(executor.map(add, [1, 2], extra_args=(10,)))

def keywords():
    return executor.get_result(executor.map(add, [{"x": 1, "y": 2, "z": 3}]))

def chunksize():
    return executor.get_result(executor.map(double, range(10), chunksize=4))

def runtime_memory():
    return executor.get_result(executor.map(double, [1, 2], runtime_memory=64))

def more_memory_than_there_is():
    return executor.map(double, [1], runtime_memory=10**9)

def include_modules():
    return executor.get_result(executor.map(in_a_module_of_yours, [1], include_modules=["beside_the_program"]))

def found_modules():
    return executor.get_result(executor.map(in_a_module_of_yours, [1]))

def excluded_modules():
    return executor.get_result(executor.map(in_a_module_of_yours, [1], exclude_modules=["beside_the_program"]))

def timeout():
    return executor.call_async(sleep, 60, timeout=1).result()

def is_there(path):
    while not (path is None or os.path.exists(path)):
        time.sleep(0.01)

def first_completed():
    futures = executor.map(is_there, [None, os.path.join(os.getcwd(), "go on")])
    done, pending = executor.wait(futures, return_when=ANY_COMPLETED)
    open("go on", "w").close()
    executor.wait(futures)
    return len(done), len(pending)

def nested_executors():
    return executor.call_async(nested, 4).result()

def futures_handed_back():
    return executor.get_result(executor.call_async(hand_back, 3))

def threads():
    found = []
    def go(number):
        mine = lithops.FunctionExecutor(log_level=None)
        found.append(sum(mine.get_result(mine.map(double, range(number, number + 5)))))
    started = [threading.Thread(target=go, args=(number,)) for number in range(6)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    return sorted(found)

def multiprocessing_pool():
    from lithops.multiprocessing import Pool
    with Pool() as pool:
        return pool.map(double, [1, 2, 3])

def concurrent_futures():
    from lithops.concurrent.futures import FunctionExecutor
    with FunctionExecutor() as pool:
        return [*pool.map(double, [1, 2, 3]), pool.submit(double, 4).result()]

def joblib_backend():
    from joblib import Parallel, delayed, parallel_backend
    from lithops.util.joblib import register_lithops
    register_lithops()
    with parallel_backend("lithops"):
        return Parallel()(delayed(double)(x) for x in range(4))

def retrying_executor():
    from lithops.retries import RetryingFunctionExecutor
    done, _ = (again := RetryingFunctionExecutor(executor)).wait(again.map(double, [1, 2, 3], retries=2))
    return sorted(future.result() for future in done)

def log_file():
    future = executor.call_async(say, "something")
    future.result()
    return future.job_key

def logs_of_calls():
    futures = executor.map(say, ["a", "b", "c"])
    executor.wait(futures)
    return [[future.logs.count(f"it says {text}") for text in "abc"] for future in futures]

def statistics():
    future = executor.call_async(double, 3)
    future.result()
    return future.stats

def plots():
    futures = executor.map(double, range(4))
    executor.get_result(futures)
    executor.plot(futures, dst=os.path.join(os.getcwd(), "plot"))
    return sorted(path.name for path in pathlib.Path().glob("*.png"))

def summary():
    summed_up = lithops.FunctionExecutor(log_level=None)
    summed_up.get_result(summed_up.map(double, range(4)))
    summed_up.job_summary()
    return pathlib.Path(summed_up.log_path).read_text().splitlines()[0]

def working_directory():
    return executor.call_async(where, 0).result()[0] == os.getcwd()

def memory_is_kept():
    first, again = executor.call_async(pages_for_arrays_again, 0).result()
    return again < 100 < first

def workers_outlive_a_call():
    return len({pid for _, pid, _ in executor.get_result(executor.map(where, range(50)))})

if __name__ == "__main__":
    executor = lithops.FunctionExecutor(log_level=None)
    ask([
        chaining, map_reduce, reducers_as_many_as_workers_wait_for_their_maps, extra_env, extra_args, keywords,
        chunksize, runtime_memory, more_memory_than_there_is, include_modules, found_modules, excluded_modules, timeout,
        first_completed, nested_executors, futures_handed_back, threads, multiprocessing_pool, concurrent_futures,
        joblib_backend, retrying_executor, log_file, logs_of_calls, statistics, plots, summary, working_directory,
        memory_is_kept, workers_outlive_a_call,
    ])
"""
)

KEPT: dict[str, Any] = {
    "chaining": [0, 4, 8, 12],
    "map_reduce": 90,
    "reducers_as_many_as_workers_wait_for_their_maps": [0.2] * 4,
    "extra_env": ["red", "red"],
    "extra_args": [11, 12],
    "keywords": [6],
    "chunksize": [2 * x for x in range(10)],
    "runtime_memory": [2, 4],
    "include_modules": [3],
    "found_modules": [3],
    "first_completed": [1, 1],
    "nested_executors": 12,
    "futures_handed_back": [0, 2, 4],
    "threads": [20 + 10 * number for number in range(6)],
    "multiprocessing_pool": [2, 4, 6],
    "concurrent_futures": [2, 4, 6, 8],
    "joblib_backend": [0, 2, 4, 6],
    "retrying_executor": [2, 4, 6],
    "logs_of_calls": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "working_directory": True,
    "memory_is_kept": True,
}


class TestPromises:
    @pytest.fixture
    def answers(self, run: Callable[..., str], tmp_path: Path) -> Any:
        (tmp_path / "beside_the_program.py").write_text("def triple(x):\n    return 3 * x\n")
        return json.loads(run(PROMISES).splitlines()[-1])

    def test_are_kept(self, answers: dict[str, Any], tmp_path: Path, environment: dict[str, str]) -> None:
        assert {name: answers[name] for name in KEPT} == KEPT
        assert answers["more_memory_than_there_is"].startswith("NotAdmittedError: job")
        assert answers["excluded_modules"].startswith("ModuleNotFoundError")
        assert answers["timeout"].startswith("CallTimeoutError: call ")
        assert {"worker_exec_time", "worker_func_rss", "host_status_done_tstamp"} <= answers["statistics"].keys()
        assert answers["plots"] == ["plot_histogram.png", "plot_timeline.png"]
        assert "Function" in answers["summary"]
        assert 1 <= answers["workers_outlive_a_call"] < 50
        lithops = str(Path(sys.executable).parent / "lithops")
        command = [lithops, "logs", "get", answers["log_file"]]
        logs = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=150)
        assert "it says something" in logs.stdout + logs.stderr


ENDS = (
    FUNCTIONS
    + """
import ctypes, mmap, signal, tempfile

def kill(name):
    os.kill(os.getpid(), getattr(signal, name))

def exit_at_once(code):
    os._exit(code)

def read_null(x):
    ctypes.string_at(0)

def read_beyond_a_file(x):
    with tempfile.TemporaryFile() as file:
        file.truncate(4096)
        view = mmap.mmap(file.fileno(), 4096)
        file.truncate(0)
        return view[0]

def ignore_the_end(x):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        time.sleep(1)

def return_a_lock(x):
    return threading.Lock()

class Unpicklable(Exception):
    def __init__(self, text, more):
        super().__init__(text)
        self.lock = threading.Lock()

def raise_unpicklable(text):
    raise Unpicklable(text, 1)

def raise_exit(code):
    sys.exit(code)

WAYS = {way.__name__: way for way in (
    kill, exit_at_once, read_null, read_beyond_a_file, ignore_the_end, return_a_lock, raise_unpicklable, raise_exit)}

def mixed(how):
    if how == "fine":
        time.sleep(0.3)
        return how
    name, argument = how
    return WAYS[name](argument)

def outcome(future):
    try:
        return future.result()
    except BaseException as error:
        return f"{type(error).__name__}: {error}"

if __name__ == "__main__":
    executor = lithops.FunctionExecutor(log_level=None)
    answers = {}
    for name, how in json.loads(sys.argv[1]).items():
        seconds = 4 if how[0] == "ignore_the_end" else None
        futures = executor.map(mixed, ["fine", how, "fine"], timeout=seconds)
        answers[name] = [outcome(future) for future in futures]
    answers["afterwards"] = executor.get_result(executor.map(double, range(3)))
    print(json.dumps(answers))
"""
)

WAYS_TO_END = {
    "sigkill": (["kill", "SIGKILL"], "WorkerDiedError", "killed (SIGKILL)"),
    "sigterm": (["kill", "SIGTERM"], "WorkerDiedError", "ended with SIGTERM"),
    "segmentation fault": (["read_null", 0], "WorkerDiedError", "SIGSEGV"),
    "bus error": (["read_beyond_a_file", 0], "WorkerDiedError", "SIGBUS"),
    "abort": (["kill", "SIGABRT"], "WorkerDiedError", "SIGABRT"),
    "exit": (["exit_at_once", 3], "WorkerDiedError", "exit code 3"),
    "exit of a success": (["exit_at_once", 0], "WorkerDiedError", "exit code 0"),
    "timeout": (["ignore_the_end", 0], "CallTimeoutError", "exceeded its timeout of 4 seconds"),
    "unpicklable result": (["return_a_lock", 0], "TypeError", "cannot pickle"),
    "unpicklable exception": (["raise_unpicklable", "a text"], "Exception", "a text"),
    "sys.exit": (["raise_exit", 3], "SystemExit", "3"),
}


def test_a_call_fails_alone_and_says_why(run: Callable[..., str]) -> None:
    ways = {name: how for name, (how, _, _) in WAYS_TO_END.items()}
    answers = json.loads(run(ENDS, json.dumps(ways)).splitlines()[-1])
    for name, (_, error, words) in WAYS_TO_END.items():
        first, failed, last = answers[name]
        assert (first, last) == ("fine", "fine"), name
        assert failed.startswith(f"{error}: "), name
        assert words in failed, name
        if error.startswith(("Worker", "Call")):
            assert "-00001" in failed, f"{name}: the call is not named"
    assert answers["afterwards"] == [0, 2, 4]


VIEWS = (
    FUNCTIONS
    + """
import numpy as np, pandas as pd, pyarrow as pa
import lithops_shm as shm

def make(kind):
    numbers = np.arange(500_000, dtype="float64")
    return {
        "array": numbers,
        "frame": pd.DataFrame({"x": numbers}),
        "table": pa.table({"x": numbers}),
        "nested": {"deep": [numbers, "text"], "n": 1},
        "bytes": numbers.tobytes(),
    }[kind]

def data_of(value):
    if isinstance(value, dict):
        return value["deep"][0]
    if isinstance(value, pd.DataFrame):
        return value["x"].to_numpy()
    if isinstance(value, pa.Table):
        return value["x"].chunk(0).to_numpy(zero_copy_only=True)
    return np.frombuffer(value) if isinstance(value, bytes) else value

def mapped(array):
    # Whether its memory is a segment's: the kernel knows what is mapped there.
    address = array.__array_interface__["data"][0]
    for line in open("/proc/self/maps"):
        start, _, end = line.split()[0].partition("-")
        if int(start, 16) <= address < int(end, 16):
            return "sessions/" in line
    return False

def look(results):
    return [(mapped(data_of(value)), data_of(value).flags.writeable, float(data_of(value)[-1])) for value in results]

def look_at(value, number):
    return look([value])[0]

def spoil(value):
    data_of(value)[0] = 1

def put(x):
    return shm.put(make("array"))

def got(ref):
    return look([shm.get(ref)])[0]

KINDS = ["array", "frame", "table", "nested"]

def to_the_client():
    return look(executor.map(make, KINDS).get_result())

def to_a_reducer():
    return executor.get_result(executor.map_reduce(make, KINDS, look))

def bytes_are_bytes():
    value = executor.call_async(make, "bytes").result()
    return type(value).__name__, len(value)

def as_arguments():
    value = make("frame")
    return executor.get_result(executor.map(look_at, [(value, number) for number in range(8)]))

def as_extra_arguments():
    return executor.get_result(executor.map(look_at, [make("table")], extra_args=(1,)))

def stored_once():
    value = make("array")
    before = stored()
    futures = executor.map(look_at, [(value, number) for number in range(8)])
    during = stored() - before
    executor.get_result(futures)
    return during / value.nbytes

def freed_with_the_job():
    deadline = time.monotonic() + 60
    while stored() and time.monotonic() < deadline:
        time.sleep(0.1)
    return stored()

def stored():
    heads = [executor.storage.head_object("lithops", key) for key in executor.storage.list_keys("lithops")]
    return sum(int(head["content-length"]) for head in heads if int(head["content-length"]) > 100_000)

def read_only():
    return executor.call_async(spoil, make("array")).result()

def refs():
    return executor.call_async(got, executor.call_async(put, 0).result()).result()

if __name__ == "__main__":
    executor = shm.FunctionExecutor(log_level=None)
    ask([to_the_client, to_a_reducer, bytes_are_bytes, as_arguments, as_extra_arguments, stored_once, read_only, refs,
         freed_with_the_job])
"""
)


def test_large_data_travels_as_views(run: Callable[..., str]) -> None:
    view = [True, False, 499_999.0]
    answers = json.loads(run(VIEWS).splitlines()[-1])
    assert answers["to_the_client"] == [view] * 4
    assert answers["to_a_reducer"] == [view] * 4
    assert answers["bytes_are_bytes"] == ["bytes", 4_000_000]
    assert answers["as_arguments"] == [view] * 8
    assert answers["as_extra_arguments"] == [view]
    assert 1 <= answers["stored_once"] < 1.01
    assert "read-only" in answers["read_only"]
    assert answers["refs"] == view
    assert answers["freed_with_the_job"] == 0


STATE = (
    FUNCTIONS
    + """
import logging, random

def spoil(x):
    os.environ["SPOILED"] = "yes"
    os.chdir("/")
    sys.path.insert(0, "/spoiled")
    logging.getLogger().setLevel(1)
    logging.getLogger("spoiled").addHandler(logging.NullHandler())
    random.seed(1)
    sys.modules["spoiled"] = sys
    globals()["kept"] = open(os.devnull)
    return True

def look(x):
    import numpy as np
    spoiled = [
        "SPOILED" in os.environ, os.getcwd() == "/", "/spoiled" in sys.path, logging.getLogger().level == 1,
        bool(logging.getLogger("spoiled").handlers), "spoiled" in sys.modules, "kept" in globals(),
    ]
    return spoiled, random.random(), float(np.random.rand())

if __name__ == "__main__":
    executor = lithops.FunctionExecutor(log_level=None)
    executor.get_result(executor.map(spoil, range(8)))
    found = executor.get_result(executor.map(look, range(8))) + executor.get_result(executor.map(look, range(8)))
    random.seed(1)
    print(json.dumps({"spoiled": [any(each) for each, _, _ in found], "first": random.random(),
                      "random": [drawn for _, drawn, _ in found], "numpy": [drawn for _, _, drawn in found]}))
"""
)


def test_what_a_call_leaves_does_not_reach_the_next_job(run: Callable[..., str]) -> None:
    answers = json.loads(run(STATE).splitlines()[-1])
    assert answers["spoiled"] == [False] * 16
    assert answers["first"] not in answers["random"]
    assert len(set(answers["random"])) == len(set(answers["numpy"])) == 16


MODES = (
    FUNCTIONS
    + """
import lithops_shm as shm
from lithops_shm.errors import WorkerDiedError

def vanish(code):
    os._exit(code)

def described(**arguments):
    executor = shm.FunctionExecutor(log_level=None, **arguments)
    found = executor.get_result(executor.map(double, [1]))
    return executor.backend, executor.storage.backend, found

def by_its_name():
    return described(mode="shared_memory")

def by_itself():
    return described()

def by_the_configuration():
    return described(config={"lithops": {"mode": "shared_memory"}, "shm": section})

def by_the_storage():
    return described(config={"lithops": {"storage": "shm"}, "shm": section})

def contradicted():
    return described(mode="shared_memory", backend="aws_lambda")

def lithops_own():
    lithops = {"backend": "localhost", "storage": "localhost", "data_cleaner": False}
    return described(config={"lithops": lithops, "localhost": {"runtime": sys.executable}})

def with_lithops_own_monitoring():
    executor = lithops.FunctionExecutor(storage="shm", monitoring="storage", log_level=None)
    try:
        return executor.call_async(double, 4).result(), executor.call_async(vanish, 3).result()
    except WorkerDiedError as error:
        return executor.get_result(executor.map(double, range(3))), type(error).__name__

def keywords_of_the_backend():
    return shm.FunctionExecutor(log_level=None, worker_processes=3).config["shm"]["worker_processes"]

def a_future_by_itself():
    executor = shm.FunctionExecutor(log_level=None)
    first, second = executor.call_async(double, 4), executor.call_async(double, 5)
    done, pending = executor.wait(first)
    return executor.get_result(first), len(done), len(pending), executor.get_result([second])

def unknown_keywords():
    return shm.FunctionExecutor(log_level=None, worker_proceses=3)

if __name__ == "__main__":
    section = json.loads(sys.argv[1])
    ask([by_its_name, by_itself, by_the_configuration, by_the_storage, contradicted, lithops_own,
         with_lithops_own_monitoring, keywords_of_the_backend, a_future_by_itself, unknown_keywords])
"""
)


def test_our_executor_is_on_shared_memory_unless_told_otherwise(
    run: Callable[..., str], environment: dict[str, str], section: dict[str, Any]
) -> None:
    answers = json.loads(run(MODES, json.dumps(section)).splitlines()[-1])
    ours = ["shm", "shm", [2]]
    assert [answers[name] for name in ("by_its_name", "by_itself", "by_the_configuration", "by_the_storage")] == (
        [ours] * 4
    )
    assert answers["lithops_own"] == ["localhost", "localhost", [2]]
    assert answers["contradicted"].startswith("ConfigError: mode 'shared_memory'")
    assert answers["with_lithops_own_monitoring"] == [[0, 2, 4], "WorkerDiedError"]
    assert answers["keywords_of_the_backend"] == 3
    assert answers["a_future_by_itself"] == [8, 1, 0, 10]
    assert "did you mean 'worker_processes'" in answers["unknown_keywords"]


def test_nothing_is_left_by_a_program_that_ends(run: Callable[..., str], settings: StoreSettings) -> None:
    body = "print(lithops.FunctionExecutor(log_level=None).map(double, range(4)).get_result())"
    assert run(FUNCTIONS + f'\nif __name__ == "__main__":\n    {body}\n') == "[0, 2, 4, 6]"
    assert [session for session in inspect(settings).sessions if not session.alive] == []
