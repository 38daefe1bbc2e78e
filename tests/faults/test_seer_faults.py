"""Jobs whose workers, clients or functions fail: datasets are there once, as a whole, or as they were."""

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from programs import ASK

from seer_integration.datasets.committed import MANIFEST

pytestmark = pytest.mark.usefixtures("cleaner_finishes")

HEAD = (
    ASK
    + """
import os, signal, sys, threading
import pyarrow as pa, pyarrow.parquet as pq
import lithops_shm as shm
from seer_integration import *

HERE = sys.argv[1]
ROWS = 3000

def first_time(name):
    try:
        os.close(os.open(f"{HERE}/{name}", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True

def source():
    if not os.path.exists(f"{HERE}/in.parquet"):
        pq.write_table(pa.table({"k": list(range(ROWS)), "v": [n % 7 for n in range(ROWS)]}), f"{HERE}/in.parquet")
    return Scan(f"{HERE}/in.parquet")

def job_of(at=None, action=None, out="out", settings={}):
    # Three stages of tasks; at one of them `action` is called, with each part.
    job = Job(executor=executor, show_progress=False)
    def step(name):
        def called(table):
            if name == at:
                action(table)
            return table
        return Transform(called, library="arrow")
    for stage, operations in {
        "scan": [source(), step("scan"), Exchange()],
        "sort": [Sort("k"), step("sort"), Exchange()],
        "group": [Groupby("v"), step("group"), Write(key=f"{HERE}/{out}", **settings)],
    }.items():
        for operation in operations:
            job.add(stage, operation)
    job.dependency("scan", "sort")
    job.dependency("sort", "group")
    return job

def left():
    keys = executor.storage.list_keys(executor.internal_storage.bucket)
    return [key for key in keys if key.startswith("lithops-shm.seer")]
"""
)

DYING = (
    HEAD
    + """
def workers_die():
    found = {}
    for stage in ("scan", "sort", "group"):
        def die(table, stage=stage):
            if table.num_rows and first_time(f"died-{stage}"):
                os.kill(os.getpid(), signal.SIGKILL)
        summary = job_of(stage, die, out=f"out-{stage}").run()
        rows = Job(executor=executor, show_progress=False)
        rows.add(0, Scan, file=f"{HERE}/out-{stage}")
        rows.add(0, Aggregate, values={"n": "count", "sum": ("sum", "k")})
        found[stage] = [sum(each.retried for each in summary.stages), *map(int, rows.result().iloc[0])]
    return found

def functions_fail():
    job_of(out="kept").run()
    def fail(table):
        raise LookupError("of the function")
    try:
        job_of("group", fail, out="kept").run()
    except LookupError as error:
        rows = Job(executor=executor, show_progress=False)
        rows.add(0, Scan, file=f"{HERE}/kept")
        return [str(error), len(rows.result()), sorted(name[:4] for name in os.listdir(f"{HERE}/kept"))]

def two_at_once():
    jobs = [job_of(out="both"), job_of(out="both")]
    jobs[1].add("group", Write, key=f"{HERE}/other")
    errors = []
    def run(job):
        try:
            job.run()
        except Exception as error:
            errors.append(repr(error))
    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    rows = Job(executor=executor, show_progress=False)
    rows.add(0, Scan, file=f"{HERE}/both")
    runs = {name.partition("-run-")[2].rpartition("-")[0] for name in os.listdir(f"{HERE}/both") if name[0] != "_"}
    return [errors, sorted(rows.result()["k"]) == list(range(ROWS)), len(runs)]

def nothing_is_left():
    return left()

if __name__ == "__main__":
    executor = shm.FunctionExecutor(log_level=None)
    ask([workers_die, functions_fail, two_at_once, nothing_is_left])
"""
)

KILLED = (
    HEAD
    + """
def block(table):
    if table.num_rows:
        open(f"{HERE}/reached", "w").close()  # opening the FIFO tells the test, and waits for it
        signal.pause()

if __name__ == "__main__":
    executor = shm.FunctionExecutor(log_level=None)
    stage = sys.argv[2]
    print("ready", flush=True)
    summary = job_of(stage or None, block if stage else None).run()
    print(json.dumps([summary.written, left()]))
"""
)


def rows_of(directory: Path) -> list[int]:
    """What the parts of all attempts hold that are there, counting or not."""
    tables = [pq.read_table(path) for path in sorted(directory.glob("part-*"))]
    return sorted(pa.concat_tables(tables)["k"].to_pylist()) if tables else []


def test_a_worker_that_dies_costs_its_task_alone(run: Callable[..., str], tmp_path: Path) -> None:
    answers = json.loads(run(DYING, str(tmp_path)).splitlines()[-1])
    assert answers["workers_die"] == {stage: [1, 3000, 4_498_500] for stage in ("scan", "sort", "group")}
    said, rows, names = answers["functions_fail"]
    assert (said, rows) == ("of the function", 3000)
    assert set(names) == {"_SUC", "part"}, "the dataset from before, and nothing of the run that failed"
    assert answers["two_at_once"] == [[], True, 1], "one of both, as a whole"
    assert answers["nothing_is_left"] == []


def test_a_killed_job_that_is_run_again_leaves_one_dataset(
    start: Callable[..., "subprocess.Popen[str]"], run: Callable[..., str], tmp_path: Path
) -> None:
    fifo = tmp_path / "reached"
    os.mkfifo(fifo)
    for stage in ("scan", "sort", "group"):
        client = start(KILLED, str(tmp_path), stage)
        with open(fifo):  # until a worker is in that stage
            client.send_signal(signal.SIGKILL)
        client.communicate()
        assert rows_of(tmp_path / "out") in ([], list(range(3000)))
    written, left = json.loads(run(KILLED, str(tmp_path), "").splitlines()[-1])
    assert written == [f"{tmp_path}/out/"]
    assert left == []
    assert rows_of(tmp_path / "out") == list(range(3000))
    manifest = json.loads((tmp_path / "out" / MANIFEST).read_text())
    assert {part["key"] for part in manifest["parts"]} == {path.name for path in (tmp_path / "out").glob("part-*")}
