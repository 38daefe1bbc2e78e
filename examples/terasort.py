"""Terasort with Lithops, through shared memory, disk and S3, verified and timed.

Rows are 100 bytes of CSV: a key of 10 characters and a value of 88. The job is one `map_reduce` with a shuffle: mappers
read a part of the file each, and reducers get a range of keys each, sorted. What differs between the runs is the
configuration alone: where functions run, and where their rows go in between.

    python examples/terasort.py --size 1GB --repeat 3
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv

import lithops_shm as shm
from lithops_shm.bench.race import touch
from lithops_shm.bench.servers import S3Server, no_server
from lithops_shm.bench.terasort import ROW, check_sorted, generate
from lithops_shm.config import parse_bytes

# The share of the rows that each place sorts first, unmeasured: modules are loaded then, and connections opened.
_WARM_UP = 100
COLUMNS = {"key": pa.large_string(), "value": pa.large_string()}


def read_part(path: str, start: int, rows: int) -> pa.Table:
    """The mapper: `rows` rows of the file, from row `start` on."""
    with pa.memory_map(path) as file:
        file.seek(start * ROW)
        part = file.read_buffer(rows * ROW)
    # One block makes columns of one chunk, which are sorted without joining them first.
    read = pa.csv.ReadOptions(column_names=list(COLUMNS), use_threads=False, block_size=part.size)
    convert = pa.csv.ConvertOptions(column_types=COLUMNS)
    return pa.csv.read_csv(pa.BufferReader(part), read_options=read, convert_options=convert)


def keep(rows: pa.Table) -> pa.Table:
    """The reducer: a range of keys comes in, sorted, and is the result."""
    return rows


@dataclass(frozen=True)
class Run:
    """One sort: its times in seconds, and the sorted ranges."""

    map_s: float
    reduce_s: float
    total_s: float
    ranges: list[pa.Table]


def sort(executor: Any, path: Path, rows: int, functions: int) -> Run:
    """Sort the file with so many mappers and reducers."""
    share = -(-rows // functions)
    parts = [(str(path), start, min(share, rows - start)) for start in range(0, rows, share)]
    shuffle = shm.Shuffle(by="key", kind="range", sort=True, partitions=functions)
    started = time.perf_counter()
    partitions = executor.map_reduce(read_part, parts, keep, shuffle=shuffle)
    ranges = partitions.get_result()
    total_s = time.perf_counter() - started
    summary = partitions.summary
    return Run(summary.map_s + summary.commit_s, summary.reduce_s, total_s, ranges)


@contextmanager
def places(directory: Path) -> Iterator[dict[str, dict[str, Any]]]:
    """The configurations to compare; the S3 ones need a server on this machine."""
    # What jobs leave on disk and in S3 goes with the directory: Lithops need not start a process to delete it.
    local = {"backend": "localhost", "storage": "localhost", "data_cleaner": False}
    found: dict[str, dict[str, Any]] = {
        "shm": {"lithops": {"backend": "shm", "storage": "shm"}},
        "localhost": {"lithops": local, "localhost": {"runtime": sys.executable}},
    }
    missing = no_server()
    if missing is not None:
        print(f"S3 is skipped: {missing}")
        yield found
        return
    with S3Server(str(directory / "s3"), "terasort") as server:
        minio = server.section
        for engine in ("boto3", "s3fs"):
            found[f"s3, {engine}"] = {
                "lithops": {"backend": "shm", "storage": "minio", "data_cleaner": False},
                "minio": {**minio, "storage_bucket": "terasort"},
                "shm": {"shuffle_engine": engine},
            }
        yield found


def draw(medians: dict[str, Run], title: str, path: Path) -> None:
    """A bar for each place, its map and its reduce stage on top of each other."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.0), layout="constrained")
    axes = figure.subplots()
    names = list(medians)
    maps = [medians[name].map_s for name in names]
    rest = [medians[name].total_s - medians[name].map_s for name in names]
    axes.barh(names, maps, label="map", color="#4477aa")
    axes.barh(names, rest, left=maps, label="reduce", color="#ccbb44")
    for row, name in enumerate(names):
        axes.text(medians[name].total_s, row, f" {medians[name].total_s:.2f} s", va="center")
    axes.set(xlabel="seconds, less is better", title=title, xlim=(0, 1.18 * max(m.total_s for m in medians.values())))
    axes.invert_yaxis()
    figure.legend(loc="outside right center")
    figure.savefig(path, dpi=120)


def arguments() -> argparse.Namespace:
    def size(text: str) -> int:
        try:
            return parse_bytes(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    def positive(text: str) -> int:
        if not text.isdigit() or int(text) < 1:
            raise argparse.ArgumentTypeError("must be a whole number from 1 up")
        return int(text)

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--size", type=size, default="200MB", help="input, such as 200MB or 1GB (default: %(default)s)")
    add(
        "--functions",
        type=positive,
        default=2 * (os.cpu_count() or 1),
        help="mappers, and reducers (default: two a CPU)",
    )
    add("--repeat", type=positive, default=3, help="runs of each, alternating; medians count (default: %(default)s)")
    add("--chart", type=Path, default=Path("terasort.png"), help="the bar chart (default: %(default)s)")
    add("--directory", type=Path, help="where the input is generated (default: the temporary directory)")
    options = parser.parse_args()
    if options.size < ROW * options.functions:
        parser.error(f"--size must be at least {ROW * options.functions} bytes: a row of {ROW} for each function")
    return options


def compare(
    configs: dict[str, dict[str, Any]], repeat: int, warm_up: Callable[[Any], Any], once: Callable[[Any, str], Run]
) -> dict[str, list[Run]]:
    """Run all places in turn, the order alternating; executors stay, as those of a program that has several jobs do."""
    runs: dict[str, list[Run]] = {place: [] for place in configs}
    with ExitStack() as stack:
        executors = {
            place: stack.enter_context(shm.FunctionExecutor(config=config, log_level=None))
            for place, config in configs.items()
        }
        for executor in executors.values():
            warm_up(executor)
        for turn in range(repeat):
            for place in list(executors) if turn % 2 == 0 else reversed(executors):
                run = once(executors[place], place)
                runs[place].append(replace(run, ranges=[]))
                print(f"  run {turn + 1} of {repeat}, {place:>9}: {run.total_s:6.2f} s, verified", flush=True)
    return runs


def main() -> None:
    options = arguments()
    rows = options.size // ROW
    with tempfile.TemporaryDirectory(prefix="terasort-", dir=options.directory) as directory:
        path = Path(directory) / "terasort.csv"
        print(f"Generating {rows:,} rows ({rows * ROW / 1e6:,.0f} MB) ...", flush=True)
        checksum = generate(path, rows)
        touch(3 * options.size)

        def warm_up(executor: Any) -> None:
            sort(executor, path, max(options.functions, rows // _WARM_UP), options.functions)

        def once(executor: Any, place: str) -> Run:
            run = sort(executor, path, rows, options.functions)
            try:
                check_sorted(run.ranges, rows, checksum)
            except ValueError as error:
                sys.exit(f"{place}: {error}")
            return run

        with places(Path(directory)) as configs:
            runs = compare(configs, options.repeat, warm_up, once)
    medians = {place: sorted(done, key=lambda run: run.total_s)[len(done) // 2] for place, done in runs.items()}
    functions = f"{options.functions} + {options.functions} functions"
    title = f"terasort of {rows * ROW / 1e6:,.0f} MB, {functions}, {os.cpu_count()} CPUs"
    print(f"\n{title}: order, count and checksum verified in every run\n")
    print(f"{'place':<10} {'map':>8} {'reduce':>8} {'total':>8} {'min - max':>15}")
    slowest = max(run.total_s for run in medians.values())
    for place, run in medians.items():
        totals = [each.total_s for each in runs[place]]
        spread = f"{min(totals):.2f} - {max(totals):.2f}"
        stages = f"{run.map_s:7.2f}s {run.reduce_s:7.2f}s {run.total_s:7.2f}s"
        print(f"{place:<10} {stages} {spread:>14}s  {slowest / run.total_s:.2f}x")
    draw(medians, title, options.chart)
    print(f"\nChart: {options.chart}")


if __name__ == "__main__":
    main()
