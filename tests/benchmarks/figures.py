"""The figures: each step measures one or a few rows of the table, beside their baselines."""

from __future__ import annotations

import json
import pickle
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from bench_hook import bench_hook
from contestants import TEXT_BYTES, Stage, in_fresh_process

from lithops_shm import codec
from lithops_shm.bench.frames import terasort_table


def told(step: str) -> None:
    """What is measured next, for whoever waits."""
    print(f"  {step}", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Figure:
    """A row: what, what is required of it, what was measured, whether that is enough, and how it was done."""

    what: str
    required: str
    measured: str
    met: bool
    note: str = ""


_ATTACH = """
import json, sys, time
from lithops_shm import codec
from lithops_shm.bench.memory import Usage
from lithops_shm.config import StoreSettings
from lithops_shm.store import Store
store = Store.open(StoreSettings(directory=sys.argv[1]))
codec.decode(store.attach("bench", sys.argv[2]).view)  # imports, and the first of everything
before, times = Usage.now(), []
for _ in range(int(sys.argv[3])):
    started = time.perf_counter()
    table = codec.decode(store.attach("bench", sys.argv[2]).view)
    times.append(time.perf_counter() - started)
    assert table.num_rows == int(sys.argv[4])
total = sum(chunk.nbytes for column in table.columns for chunk in column.chunks)
for column in table.columns:
    for chunk in column.chunks:
        assert len(bytes(memoryview(chunk.buffers()[2])[::4096])) > 0  # read something of every page
print(json.dumps([times, Usage.now().since(before)[0], total]))
"""


def attach(stage: Stage) -> list[Figure]:
    """Attaching a table, large and small"""
    tables = {"large": stage.table, "small": terasort_table(1_000_000 // TEXT_BYTES)}
    medians, growth = {}, 0.0
    for name, table in tables.items():
        stage.store.put("bench", name, codec.encode(table).parts)
        rows = str(table.num_rows)
        times, grown, total = json.loads(in_fresh_process(_ATTACH, stage.directory, name, "200", rows))
        medians[name] = statistics.median(times) * 1e3
        if name == "large":
            growth = grown / total
        stage.drop(name)
    ratio = medians["large"] / medians["small"]
    return [
        Figure(
            f"attach and open a {stage.size / 1e6:.0f} MB Arrow table",
            "under 2 ms, and under 3x the time for 1 MB",
            f"{medians['large']:.3f} ms, {ratio:.2f}x the {medians['small']:.3f} ms of 1 MB",
            medians["large"] < 2 and ratio < 3,
            "In a process of its own that did not write it; 200 times each, after one that does not count.",
        ),
        Figure(
            "private memory that opening and reading it adds",
            "under 1 % of its size",
            f"{growth:.3%}",
            growth < 0.01,
            "`Anonymous` of `/proc/self/smaps_rollup`, after a byte of every page was read.",
        ),
    ]


def write(stage: Stage) -> list[Figure]:
    """Writing a table: fresh pages, recycled pages, bare write(2), the study's way"""
    ways = {
        "bare write(2)": stage.write_bare,
        "fresh": stage.write_fresh,
        "recycled": stage.write_recycled,
        "fresh, small pages": stage.write_fresh_small,
        "recycled, small pages": stage.write_recycled_small,
        "study": stage.write_study,
    }
    times = stage.race(ways, touch=4 * stage.size)
    nbytes = stage.flat.size
    fresh, recycled = times["fresh"].median, times["recycled"].median
    bare, study = times["bare write(2)"].median, times["study"].median
    speeds = "\n".join(f"- {name}: {each.speed(nbytes)}" for name, each in times.items())
    return [
        Figure(
            f"write the {stage.size / 1e6:.0f} MB table to fresh pages",
            "0.9x the speed of its IPC bytes through bare write(2)",
            f"{bare / fresh:.2f}x ({times['fresh'].speed(nbytes)})",
            bare / fresh >= 0.9,
            "The time of ours includes encoding; that of write(2) does not. Small pages are what kernels before "
            f"Linux 6.1 have, or those told to deny huge ones.\n\n{speeds}",
        ),
        Figure(
            "write it to recycled pages",
            "3x the speed of bare write(2) into fresh ones",
            f"{bare / recycled:.2f}x ({times['recycled'].speed(nbytes)}); {fresh / recycled:.2f}x our own fresh ones",
            bare / recycled >= 3,
            "The measure is write(2), as for fresh pages: it was meant as three times our own speed into fresh pages "
            "when that was write(2)'s, and on huge pages the fresh write itself became twice as fast.",
        ),
        Figure(
            "write it against the study's way",
            "1.5x fresh, 4x recycled",
            f"{study / fresh:.2f}x fresh, {study / recycled:.2f}x recycled ({times['study'].speed(nbytes)})",
            study / fresh >= 1.5 and study / recycled >= 4,
            "The study sized a segment with a mock stream, made a `multiprocessing.shared_memory` of that size and "
            "wrote the table again through its mapping.",
        ),
    ]


def read(stage: Stage) -> list[Figure]:
    """Reading a table against unpickling it from shared memory"""
    stage.store.put("bench", "arrow", codec.encode(stage.table).parts)
    stage.store.put("bench", "pickled", pickle.dumps(stage.table.to_pandas(), protocol=5))
    times = stage.race({"arrow": stage.read_arrow, "pickle": stage.read_pickled})
    stage.drop("arrow")
    stage.drop("pickled")
    ratio = times["pickle"].median / times["arrow"].median
    return [
        Figure(
            f"read {stage.size / 1e6:.0f} MB of Arrow strings against pickle in shared memory",
            "over 100x faster",
            f"{ratio:,.0f}x ({times['arrow'].median * 1e3:.2f} ms, {times['pickle'].median * 1e3:.0f} ms)",
            ratio > 100,
            "The pickle is one stream, as `pickle.dumps` makes it of the same data in a pandas frame of Arrow strings.",
        )
    ]


def views(stage: Stage) -> list[Figure]:
    """NumPy arrays and NumPy-backed frames come back as views"""
    rows = stage.size // 24
    frame = pd.DataFrame({"x": np.arange(rows, dtype="int64"), "y": np.ones(rows), "z": np.zeros(rows, "float64")})
    results = []
    for name, thing in (("NumPy-backed frame", frame), ("NumPy array", np.ones(2 * stage.size // 8))):
        stage.store.put("bench", "views", codec.encode(thing).parts)
        started = time.perf_counter()
        found, report = codec.decode_with_report(stage.store.attach("bench", "views").view)
        seconds = time.perf_counter() - started
        same = found.equals(thing) if isinstance(thing, pd.DataFrame) else np.array_equal(found, thing)
        size = sum(frame.memory_usage(index=False)) if isinstance(thing, pd.DataFrame) else thing.nbytes
        results.append(
            Figure(
                f"{name} of {size / 1e6:,.0f} MB",
                "read without a copy",
                f"{report.viewed_bytes / 1e6:,.0f} MB viewed, {report.copied_bytes:,} bytes copied",
                same and report.zero_copy,
                f"By the addresses of its buffers: inside the mapping, or not. It took {seconds * 1e3:.2f} ms.",
            )
        )
        del found
        stage.drop("views")
    return results


def small(stage: Stage) -> list[Figure]:
    """Small objects, and many of them"""
    body = bytes(1024)

    def pairs(start: int, count: int) -> float:
        started = time.perf_counter()
        for number in range(start, start + count):
            stage.store.put("small", f"job-{number // 1000:03}/{number % 1000:03}", body)
            stage.store.read("small", f"job-{number // 1000:03}/{number % 1000:03}")
        return count / (time.perf_counter() - started)

    pairs(0, 500)
    first = statistics.median(pairs(0, 5000) for _ in range(stage.repeat))
    for number in range(5000, 95_000):
        stage.store.put("small", f"job-{number // 1000:03}/{number % 1000:03}", b"")
    last = pairs(95_000, 5000)
    times = []
    for _ in range(50):
        started = time.perf_counter()
        assert len(stage.store.keys("small", "job-042/")) == 1000
        times.append(time.perf_counter() - started)
    stage.store.delete_many("small", stage.store.keys("small"))
    return [
        Figure(
            "small objects (1 KB), put + get in one process", "5,000 pairs/s", f"{first:,.0f} pairs/s", first >= 5000
        ),
        Figure(
            "the same beside 95,000 other objects",
            "stays fast",
            f"{last:,.0f} pairs/s; listing 1,000 of 100,000 by prefix {statistics.median(times) * 1e3:.2f} ms",
            last >= 0.7 * first,
        ),
    ]


def start_up(stage: Stage) -> list[Figure]:
    """What the import hook adds to the start of an interpreter"""
    cost = bench_hook(20 * stage.repeat)
    return [
        Figure(
            "interpreter start-up added by the hook",
            "under 1 ms",
            f"{cost.added:.2f} ms [{cost.low:.2f}, {cost.high:.2f}] of {cost.without:.1f} ms",
            cost.added < 1,
            "`python -c pass` in two environments in turn, with the hook and without; in brackets the quartiles of the "
            f"differences. A .pth file whose line does nothing adds {cost.empty:.2f} ms; two environments without any "
            f"differ by {cost.noise:.2f} ms.",
        )
    ]


STEPS: list[Callable[[Stage], list[Figure]]] = [attach, write, read, views, small, start_up]
