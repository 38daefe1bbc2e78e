"""Mappers, reducers, clients and servers killed in shuffles: no row is lost or repeated, and nothing is left."""

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from effort import times
from programs import ASK
from s3servers import ACCESS_KEY, SECRET_KEY, Proxy, Server, new_bucket

from lithops_shm.config import StoreSettings
from lithops_shm.errors import ShuffleError, StaleAttemptError
from lithops_shm.shuffle.exchange import Exchange
from lithops_shm.shuffle.media import Medium, S3Settings, open_objects
from lithops_shm.shuffle.spec import Shuffle
from lithops_shm.store import Store

Start = Callable[..., "subprocess.Popen[str]"]

HEAD = (
    ASK
    + """
import itertools, os, random, signal, sys, threading, time
import numpy as np, pyarrow as pa
import lithops_shm as shm
from lithops_shm import Shuffle
from lithops_shm.errors import ShmError

def first_time(name):
    # Whether nobody asked this before, in any process.
    try:
        os.close(os.open(name, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True

def vanish():
    os.kill(os.getpid(), signal.SIGKILL)

def left(executor):
    # Objects of shuffles that are still there.
    keys = executor.storage.list_keys(executor.internal_storage.bucket)
    return [key for key in keys if key.startswith("lithops-shm.shuffles")]

def alive(pids):
    return [pid for pid in pids if os.path.exists(f"/proc/{pid}")]

def eventually(true):
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)
"""
)

KILLED = (
    HEAD
    + """
MAPPERS, ROWS, JOBS, THREADS = 4, 500, int(sys.argv[1]), 2

def perhaps_die(job, stage, task):
    # At most twice for each task; at its start, at some moment, or when all is done but told.
    for death in range(2):
        name = f"{job}-{stage}-{task}-{death}"
        if random.Random(name).random() < 0.15 and first_time(f"deaths/{name}"):
            moment = random.Random(f"{job} {task}").choice(["now", "soon", "published"])
            if moment == "now":
                vanish()
            elif moment == "soon" or stage == "reduce":
                threading.Timer(random.random() / 30, vanish).start()
            else:
                vanish_when_published()
            return

def vanish_when_published():
    from lithops_shm.shuffle.exchange import Exchange
    write = Exchange.write
    def write_and_vanish(self, *arguments):
        write(self, *arguments)
        vanish()
    Exchange.write = write_and_vanish

def mapper(n, job):
    perhaps_die(job, "map", n)
    random = np.random.default_rng(n)
    return pa.table({"k": random.integers(0, 90, ROWS), "id": np.arange(n * ROWS, (n + 1) * ROWS)})

def reducer(table, job, id):
    perhaps_die(job, "reduce", id)
    return table["k"].to_pylist(), table["id"].to_pylist()

def pairs(n, job):
    for key, number in zip(*mapper(n, job).to_pydict().values()):
        yield key, number

def listed(key, values, job):
    perhaps_die(job, "reduce", key % 3)
    return values

def right_of_tables(found, kind):
    keys = [key for each, _ in found for key in each]
    ids = [id for _, each in found for id in each]
    expected = [(key, n * ROWS + number) for n in range(MAPPERS) for number, key in enumerate(mapper_keys[n])]
    apart = sum(len(set(each)) for each, _ in found) == len(set(keys))
    return sorted(zip(keys, ids)) == sorted(expected) and apart and (kind == "hash" or keys == sorted(keys))

def right_of_pairs(found):
    rows = [(key, value) for each in found for key, values in each for value in values]
    return sorted(rows) == sorted((key, n * ROWS + i) for n in range(MAPPERS) for i, key in enumerate(mapper_keys[n]))

def children_of(pid):
    lists = [open(f"/proc/{pid}/task/{thread}/children").read() for thread in os.listdir(f"/proc/{pid}/task")]
    return [int(child) for children in lists for child in children.split()]

def kill_now_and_then():
    chance = random.Random(7)
    while not over.wait(chance.random() / 2):
        try:
            # Workers are forked from the zygote, which is the only child this program has.
            workers = [worker for zygote in children_of(os.getpid()) for worker in children_of(zygote)]
            os.kill(chance.choice(workers), signal.SIGKILL)
        except (IndexError, OSError):
            pass

def run_many(thread):
    for job in range(thread * JOBS, (thread + 1) * JOBS):
        options = {"extra_args": (job,), "extra_args_reduce": (job,)}
        kind = ("hash", "range", "pairs")[job % 3]
        if kind == "pairs":
            shuffle = Shuffle(partitions=2, retries=50)
            done = executor.map_reduce(pairs, range(MAPPERS), listed, shuffle=shuffle, **options)
            right = right_of_pairs(done.get_result())
        else:
            shuffle = Shuffle(by="k", kind=kind, sort=kind == "range", partitions=3, retries=50)
            done = executor.map_reduce(mapper, range(MAPPERS), reducer, shuffle=shuffle, **options)
            right = right_of_tables(done.get_result(), kind)
        found.append([right, done.summary.retried, done.summary.rows == MAPPERS * ROWS])

if __name__ == "__main__":
    mapper_keys = {n: np.random.default_rng(n).integers(0, 90, ROWS).tolist() for n in range(MAPPERS)}
    executor = shm.FunctionExecutor(log_level=None)
    over, found = threading.Event(), []
    os.mkdir("deaths")
    threads = [threading.Thread(target=run_many, args=(number,)) for number in range(THREADS)]
    killer = threading.Thread(target=kill_now_and_then)
    for thread in [*threads, killer]:
        thread.start()
    for thread in threads:
        thread.join()
    over.set()
    killer.join()
    print(json.dumps([found, left(executor)]))
"""
)


def test_workers_killed_in_many_shuffles(run: Callable[..., str]) -> None:
    jobs = times(15, 50)
    found, left = json.loads(run(KILLED, str(jobs)).splitlines()[-1])
    assert len(found) == 2 * jobs
    assert all(right and counted for right, _, counted in found)
    assert sum(retried for _, retried, _ in found) > jobs
    assert left == []


LOST = (
    HEAD
    + """
def here(stage):
    with open(f"pids-{stage}", "a") as file:
        file.write(f"{os.getpid()}\\n")

def pids(stage):
    return open(f"pids-{stage}").read().split()

def dies(n):
    if n == 1:
        here("map")
        vanish()
    return pa.table({"k": list(range(100))})

def lives(n):
    return pa.table({"k": list(range(100))})

def reducer_dies(table, id):
    if id == 1:
        here("reduce")
        vanish()
    return table.num_rows

def size(table):
    return table.num_rows

def outcome(mapper, reducer, stage, retries):
    if os.path.exists(f"pids-{stage}"):
        os.remove(f"pids-{stage}")
    job = executor.map_reduce(mapper, range(3), reducer, shuffle=Shuffle(by="k", partitions=2, retries=retries))
    try:
        return job.get_result()
    except ShmError as error:
        return type(error).__name__, "SIGKILL" in str(error), len(pids(stage)), alive(pids(stage)), left(executor)

def too_many_deaths():
    return [outcome(dies, size, "map", 2), outcome(dies, size, "map", 0), outcome(lives, reducer_dies, "reduce", 1)]

def slow_at_first(n, seconds, stage="map"):
    # One attempt of the third sleeps. Rows tell which process gave them.
    if n == 3 and first_time(f"slow-{seconds}"):
        here(f"slow-{seconds}")
        time.sleep(seconds)
    if n == 5:
        time.sleep(0.2)
    return pa.table({"k": [n] * 50, "pid": [os.getpid()] * 50})

def who(table):
    rows = table.to_pydict()
    return sorted(set(zip(rows["k"], rows["pid"]))), table.num_rows

def described(job, began, seconds):
    results = job.get_result()
    took = time.monotonic() - began
    processes = [each for pairs, _ in results for each in pairs]
    mine = [pid for key, pid in processes if key == 3]
    slept = [int(pid) for pid in pids(f"slow-{seconds}")]
    return {
        "one attempt each": len(processes) == len({key for key, _ in processes}) == 8,
        "rows": sum(rows for _, rows in results),
        "of the slow one": mine == slept,
        "backups": job.summary.backups,
        "seconds": took,
        "left": left(executor),
        "asleep": alive(slept) if seconds > 60 else [],
    }

def straggler(seconds, backups):
    began = time.monotonic()
    job = executor.map_reduce(slow_at_first, range(8), who, extra_args=(seconds,),
        shuffle=Shuffle(by="k", partitions=2, backups=backups))
    return described(job, began, seconds)

def backed_up():
    found = straggler(600, True)
    slept = pids("slow-600")
    eventually(lambda: not alive(slept))
    return found

def not_backed_up():
    return straggler(2.5, False)

def slow_reducer():
    def reducer(table, id):
        if id == 2 and first_time("slow-reducer"):
            time.sleep(600)
        return table.num_rows
    began = time.monotonic()
    job = executor.map_reduce(lives, range(3), reducer, shuffle=Shuffle(by="k", kind="range", partitions=6))
    return sum(job.get_result()), job.summary.backups, time.monotonic() - began < 120

def late():
    # The first attempt of 3 ends after its backup did, while 7 goes on: it does not count.
    def mapper(n):
        if n == 3:
            if first_time("late"):
                eventually(lambda: os.path.exists("backed-up"))
                time.sleep(1)  # until that has been told
                here("late")
            else:
                open("backed-up", "w").close()
        if n == 7:
            eventually(lambda: os.path.exists("pids-late"))
            time.sleep(0.5)  # as above
        return pa.table({"k": [n] * 50, "pid": [os.getpid()] * 50})
    job = executor.map_reduce(mapper, range(8), who, shuffle=Shuffle(by="k", partitions=2))
    results = job.get_result()
    processes = [each for pairs, _ in results for each in pairs]
    (slept,) = pids("late")
    return {
        "one attempt each": len(processes) == len({key for key, _ in processes}) == 8,
        "rows": sum(rows for _, rows in results),
        "of the late one": int(slept) in [pid for key, pid in processes if key == 3],
        "backed up": job.summary.backups >= 1,
        "left": left(executor),
    }

def failing_backup(stage, original_fails):
    # Of two tasks the second is slow; its backup fails, and then it ends itself.
    name = f"{stage}-{original_fails}"
    def task(number):
        if number == 1:
            if first_time(f"original-{name}"):
                eventually(lambda: os.path.exists(f"failed-{name}"))
                time.sleep(1)  # until that has been told
                if original_fails:
                    raise OSError("of the original")
            else:
                open(f"failed-{name}", "w").close()
                raise ValueError("of the backup")
    def mapper(n):
        if stage == "map":
            task(n)
        return pa.table({"k": [0, 1]})
    def reducer(table, id):
        if stage == "reduce":
            task(id)
        return table.num_rows
    job = executor.map_reduce(mapper, range(2), reducer, shuffle=Shuffle(by="k", kind="range", partitions=2))
    try:
        return sum(job.get_result()), job.summary.backups, left(executor)
    except Exception as error:
        return f"{type(error).__name__}: {error}", left(executor)

def failing_backups():
    return [failing_backup("map", False), failing_backup("reduce", False), failing_backup("map", True)]

if __name__ == "__main__":
    executor = shm.FunctionExecutor(log_level=None)
    ask([too_many_deaths, backed_up, not_backed_up, slow_reducer, late, failing_backups])
"""
)


@pytest.mark.parametrize("more_settings", [{"worker_processes": 4}], ids=["four workers"])
def test_deaths_without_end_and_slow_attempts(run: Callable[..., str], more_settings: dict[str, Any]) -> None:
    assert more_settings
    answers = json.loads(run(LOST).splitlines()[-1])
    assert answers["too_many_deaths"] == [["WorkerDiedError", True, deaths, [], []] for deaths in (3, 1, 2)]
    backed_up, not_backed_up = answers["backed_up"], answers["not_backed_up"]
    assert backed_up.pop("seconds") < 120
    assert backed_up == {
        "one attempt each": True,
        "rows": 400,
        "of the slow one": False,
        "backups": 1,
        "left": [],
        "asleep": backed_up["asleep"],
    }
    assert not_backed_up.pop("seconds") >= 2.5
    assert not_backed_up == {**backed_up, "of the slow one": True, "backups": 0, "asleep": []}
    assert answers["slow_reducer"] == [300, 1, True]
    assert answers["late"] == {
        "one attempt each": True,
        "rows": 400,
        "of the late one": False,
        "backed up": True,
        "left": [],
    }
    assert answers["failing_backups"] == [[4, 1, []], [4, 1, []], ["ValueError: of the backup", []]]


SPILLING = (
    HEAD
    + """
ROWS = 300_000

def mapper(n):
    random = np.random.default_rng(n)
    ids = np.arange(n * ROWS, (n + 1) * ROWS)
    return pa.table({"k": random.integers(0, 10**6, ROWS), "id": ids, "x": random.random(ROWS)})

def reducer(table):
    keys = table["k"].to_numpy()
    ascending = bool((keys[1:] >= keys[:-1]).all())
    return table.num_rows, int(table["id"].to_numpy().sum()), ascending, int(keys[0]), int(keys[-1])

def added_up(batches):
    tables = list(batches)
    return sum(table.num_rows for table in tables), sum(int(table["id"].to_numpy().sum()) for table in tables)

def shuffled(kind, sort, reducer, **more):
    shuffle = Shuffle(by="k", kind=kind, sort=sort, partitions=4, **more)
    job = executor.map_reduce(mapper, range(6), reducer, shuffle=shuffle)
    found = job.get_result()
    return [sum(each[0] for each in found), sum(each[1] for each in found), job.summary.spilled_bytes, found]

def by_range():
    *sums, found = shuffled("range", True, reducer)
    bounds = [bound for *_, low, high in found for bound in (low, high)]
    return sums, all(each[2] for each in found), bounds == sorted(bounds)

def by_hash():
    return shuffled("hash", False, added_up, deliver="batches")[:3]

def nothing_is_left():
    return left(executor)

if __name__ == "__main__":
    executor = shm.FunctionExecutor(log_level=None)
    ask([by_range, by_hash, nothing_is_left])
"""
)


@pytest.mark.parametrize("more_settings", [{"budget_bytes": 15_000_000, "pool_bytes": 0}], ids=["15 MB"])
def test_more_data_than_memory_is_spilled(
    run: Callable[..., str], more_settings: dict[str, Any], settings: StoreSettings
) -> None:
    answers = json.loads(run(SPILLING).splitlines()[-1])
    count = 6 * 300_000
    total = count * (count - 1) // 2
    for name, sums in (("range", answers["by_range"][0]), ("hash", answers["by_hash"])):
        assert sums[:2] == [count, total], name
        # 43 MB in all; what fits is not spilled.
        assert 43_000_000 - more_settings["budget_bytes"] - 1_000_000 < sums[2] < 45_000_000, name
    assert answers["by_range"][1:] == [True, True]
    assert answers["nothing_is_left"] == []
    spill = Path(str(settings.spill_directory))
    assert [path for path in spill.rglob("*") if path.is_file()] == []


ENDLESS = (
    HEAD
    + """
def mapper(n, seconds):
    if seconds:
        open("running", "w").close()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(seconds)
    return pa.table({"k": np.arange(100_000)})

def reducer(table, seconds):
    open("running", "w").close()
    time.sleep(seconds)

if __name__ == "__main__":
    mapping, reducing = (600, 0) if sys.argv[1] == "map" else (0, 600)
    executor = shm.FunctionExecutor(log_level=None)
    job = executor.map_reduce(mapper, range(4), reducer, extra_args=(mapping,), extra_args_reduce=(reducing,),
        shuffle=Shuffle(by="k", partitions=4))
    eventually(lambda: os.path.exists("running"))
    print("ready", flush=True)
    job.get_result()
"""
)


@pytest.mark.parametrize("stage", ["map", "reduce"])
def test_a_client_killed_in_a_shuffle_leaves_nothing(start: Start, settings: StoreSettings, stage: str) -> None:
    process = start(ENDLESS, stage)
    assert any(Path(str(settings.directory)).rglob("data"))
    process.send_signal(signal.SIGKILL)
    process.wait(100)
    deadline = time.monotonic() + 60  # processes are counted when the test is over
    while Path(str(settings.directory)).exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(str(settings.directory)).exists()


ON_S3 = (
    HEAD
    + """
def mapper(n, name):
    open(f"{name}-{n}", "w").close()
    eventually(lambda: os.path.exists(f"{name}-go"))
    return pa.table({"k": [number % 100 for number in range(2000)], "id": list(range(n * 2000, (n + 1) * 2000))})

def reducer(table):
    return sorted(table["id"].to_pylist()), sorted(set(table["k"].to_pylist()))

def shuffled(name):
    job = executor.map_reduce(mapper, range(3), reducer, extra_args=(name,), shuffle=Shuffle(by="k", partitions=2))
    found = job.get_result()
    ids, keys = [id for each, _ in found for id in each], [key for _, each in found for key in each]
    return sorted(ids) == list(range(6000)), sorted(keys) == list(range(100)), job.summary.retried

if __name__ == "__main__":
    os.environ.update(AWS_ENDPOINT_URL=sys.argv[2], AWS_RESPONSE_CHECKSUM_VALIDATION="when_required")
    began = time.monotonic()
    print("ready", flush=True)
    answers = []
    for name in sys.argv[3:]:
        try:
            executor = shm.FunctionExecutor(config=json.loads(sys.argv[1]), log_level=None)
            answers.append(shuffled(name))
        except Exception as error:
            answers.append(f"{type(error).__name__}: {error}")
    print(json.dumps([answers, time.monotonic() - began]), flush=True)
"""
)


def _on_s3(url: str, section: dict[str, Any], secret_key: str = SECRET_KEY) -> str:
    keys = {"region": "us-east-1", "access_key_id": ACCESS_KEY, "secret_access_key": secret_key}
    lithops = {"backend": "shm", "storage": "aws_s3", "data_cleaner": False}
    # Loaded once for all workers, each of which would take a second for it.
    section = {**section, "preload": ["numpy", "pyarrow", "boto3"]}
    return json.dumps({"lithops": lithops, "aws": keys, "aws_s3": {"storage_bucket": new_bucket(url)}, "shm": section})


def test_a_server_that_fails_in_a_shuffle(
    start: Start,
    section: dict[str, Any],
    tmp_path: Path,
    rclone: Callable[..., Server],
    s3_proxy: Callable[[str], Proxy],
) -> None:
    """In the middle of one it answers 503 for a while, in the middle of another it is killed, and comes back."""
    server = rclone()
    proxy = s3_proxy(server.url)
    process = start(ON_S3, _on_s3(server.url, section), proxy.url, "storm", "outage")

    def mapping(name: str) -> None:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob(f"{name}-[0-9]")):
            assert time.monotonic() < deadline
            time.sleep(0.01)

    mapping("storm")
    proxy.trouble.unavailable = 12
    (tmp_path / "storm-go").touch()
    mapping("outage")
    server.kill()
    (tmp_path / "outage-go").touch()
    time.sleep(0.5)
    server.start()
    assert process.stdout is not None
    answers, _ = json.loads(process.stdout.readline())
    assert answers == [[True, True, 0]] * 2
    assert proxy.trouble.unavailable == 0
    process.wait(100)


def test_wrong_credentials_are_told_soon(start: Start, section: dict[str, Any], rclone_server: Server) -> None:
    url = rclone_server.url
    process = start(ON_S3, _on_s3(url, section, secret_key="NOTTHESECRET"), url, "refused")
    assert process.stdout is not None
    (answer,), seconds = json.loads(process.stdout.readline())
    assert "403" in answer or "SignatureDoesNotMatch" in answer, answer
    assert seconds < 60
    process.wait(100)


@contextmanager
def exchange_in(medium: Medium) -> Iterator[Exchange]:
    objects = open_objects(medium)
    try:
        yield Exchange(Shuffle(by="k", partitions=2), objects, "shuffles/one")
    finally:
        objects.close()


def _twice_planned(exchange: Exchange) -> list[Any]:
    """Two manifests of one shuffle, as of two clients that both take themselves for the one that commits."""
    planned = []
    for attempt in range(2):
        output = exchange.write(0, attempt, pa.table({"k": [1, 2, 3], "attempt": [attempt] * 3}))
        planned.append(exchange.plan("one", [output], 1))
    return planned


def test_of_two_manifests_one_is_committed(shm_directory: Path, tmp_path: Path, moto_server: Server) -> None:
    store = Store.open(StoreSettings(directory=str(shm_directory), spill_directory=str(tmp_path / "spill")))
    settings = S3Settings(new_bucket(moto_server.url), moto_server.url, "us-east-1", ACCESS_KEY, SECRET_KEY)
    for medium in (Medium.of_store(store, "bucket"), Medium.of_s3("boto3", settings), Medium.of_s3("s3fs", settings)):
        with exchange_in(medium) as exchange:
            first, second = _twice_planned(exchange)
            ref = exchange.commit(first)
            with pytest.raises(StaleAttemptError, match="one committed before does"):
                exchange.commit(second)
            assert exchange.manifest(ref).outputs[0].attempt == 0
            rows = [exchange.read(exchange.manifest(ref), number) for number in range(2)]
            assert pa.concat_tables(rows)["attempt"].to_pylist() == [0, 0, 0]
            exchange.clear()
    store.close()


def test_without_conditions_a_manifest_is_named_by_its_bytes(rclone_server: Server) -> None:
    settings = S3Settings(new_bucket(rclone_server.url), rclone_server.url, "us-east-1", ACCESS_KEY, SECRET_KEY)
    with exchange_in(Medium.of_s3("boto3", settings)) as exchange:
        first, second = _twice_planned(exchange)
        refs = [exchange.commit(first), exchange.commit(second), exchange.commit(first)]
        assert refs[0] == refs[2] != refs[1]
        assert [exchange.manifest(ref).outputs[0].attempt for ref in refs] == [0, 1, 0]
        exchange.clear()
        with pytest.raises((ShuffleError, LookupError)):
            exchange.manifest(refs[0])
