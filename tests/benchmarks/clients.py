"""A program that runs functions of ours, to be told what to do by a client of `lithops_shm.bench.program`."""

from __future__ import annotations

__all__ = ["LITHOPS"]

LITHOPS = """
import json, os, sys, time
import lithops
from lithops_shm.bench.program import serve

def nothing(x):
    return x

def map_nothing(count):
    assert executor.get_result(executor.map(nothing, range(count))) == list(range(count))

def give(ref):
    import lithops_shm as shm
    time.sleep(0.1)  # as long as it takes to start a reducer, which is not what is measured
    return shm.get(ref)

def look(x, frame=None):
    return len(frame)

def look_at_all(results):
    now = time.time()
    assert all(memoryview(chunk.buffers()[2])[0] for table in results for chunk in table.column(0).chunks)
    return now, private(os.getpid()), results[0].num_rows

def private(pid):
    with open(f"/proc/{pid}/status") as file:
        return int(file.read().partition("RssAnon:")[2].split()[0]) * 1024

def tree(pid):
    lists = [open(f"/proc/{pid}/task/{thread}/children").read() for thread in os.listdir(f"/proc/{pid}/task")]
    return [pid, *(each for children in lists for child in children.split() for each in tree(int(child)))]

def memory():
    # Private memory of this process and all below it, and what is in the store's directory.
    while True:
        try:
            anonymous = sum(private(pid) for pid in tree(os.getpid()))
            files = [os.path.join(at, name) for at, _, names in os.walk(directory) for name in names]
            return anonymous + sum(os.stat(file).st_blocks * 512 for file in files)
        except (OSError, IndexError):  # something ended meanwhile
            pass

def stored():
    global large, small
    import lithops_shm as shm
    large, small = shm.put(make_table(int(sys.argv[2]))), shm.put(make_table(1_000_000))
    return large.nbytes

def touch():
    import numpy as np
    np.zeros(2 * int(sys.argv[2]), dtype=np.uint8)[::4096] = 1

def put_again():
    import lithops_shm as shm
    table = shm.get(large)
    touch()
    started = time.perf_counter()
    ref = shm.put(table)
    seconds = time.perf_counter() - started
    shm.delete(ref)
    return seconds

def give_to_client():
    touch()
    before = private(os.getpid())
    future = executor.call_async(give, large)
    table = future.result()
    assert memoryview(table.column(0).chunk(0).buffers()[2])[0]
    seconds = time.time() - future.stats["worker_func_end_tstamp"]
    growth = private(os.getpid()) - before
    executor.get_result()
    return seconds, growth, table.num_rows

def give_to_reducer():
    memory = {}
    for ref in (small, large):
        touch()  # right before: the memory of a virtual machine goes cold in a moment
        futures = executor.map_reduce(give, [ref], look_at_all, spawn_reducer=0)
        started, memory[ref], rows = executor.get_result(futures)
    return started - futures[0].stats["worker_func_end_tstamp"], memory[large] - memory[small], rows

def pass_to_many(count):
    import threading
    frame = make_table(int(sys.argv[2])).to_pandas(types_mapper=pd.ArrowDtype)
    map_nothing(8)
    before, peak, over = memory(), 0, threading.Event()
    def watch():
        nonlocal peak
        while not over.wait(0.02):
            peak = max(peak, memory())
    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.perf_counter()
    lengths = executor.get_result(executor.map(look, range(count), extra_args=(frame,)))
    seconds = time.perf_counter() - started
    over.set()
    watcher.join()
    assert set(lengths) == {len(frame)}
    return seconds, peak - before

def upkeep():
    workers = [pid for pid in tree(os.getpid())[1:]]
    return {
        "client": private(os.getpid()),
        "workers": sum(private(pid) for pid in workers if os.path.exists(f"/proc/{pid}")),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": len(os.listdir("/proc/self/task")),
    }

def make_table(size):
    global pd
    import numpy as np, pandas as pd, pyarrow as pa
    numbers = np.random.default_rng(1).integers(0, 2**62, size // 16)
    text = pa.array(np.char.mod("%08d", numbers[: size // 16] % 10**8))
    return pa.table({"text": text.cast(pa.large_string())})

if __name__ == "__main__":
    options = json.loads(sys.argv[1])
    directory = options.get("config", {}).get("shm", {}).get("directory", "")
    executor = (__import__("lithops_shm") if options.pop("ours", False) else lithops).FunctionExecutor(
        log_level=None, **options
    )
    map_nothing(1)
    serve(globals())
"""
