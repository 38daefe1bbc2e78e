"""The figures of jobs: beside the shuffle written by hand, Lithops' disk, DuckDB, no cache, and no index."""

from __future__ import annotations

import importlib
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from contestants import Stage
from figures import Figure, told
from shuffle import datasets

import lithops_shm as shm
from lithops_shm import host
from lithops_shm.bench.race import spread, turns
from lithops_shm.bench.shuffled import Shuffled
from lithops_shm.bench.terasort import ROW, check_sorted, generate
from seer_integration import Exchange, Filter, Job, Scan, Select, Sort, Write

__all__ = ["STEPS"]

GB = 1_000_000_000
_ITERATIONS = 10
_OBJECTS = 64


@contextmanager
def _directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="seer-") as found:
        yield Path(found)


@contextmanager
def _executor(stage: Stage, directory: Path, **lithops: Any) -> Iterator[Any]:
    section = {"directory": f"{stage.directory}-seer", "spill_directory": str(directory / "spill")}
    config: dict[str, Any] = {"lithops": lithops or {"backend": "shm", "storage": "shm"}, "shm": section}
    if lithops:
        del config["shm"]
        config["localhost"] = {"runtime": sys.executable, "worker_processes": host.usable_cpus()}
    with shm.FunctionExecutor(config=config, log_level=None) as executor:
        yield executor


def _raced(names: dict[str, Callable[[], float]], repeat: int, nbytes: int) -> dict[str, list[float]]:
    """Seconds of each, in alternating order; a contestant gives those that count."""
    samples: dict[str, list[float]] = {name: [] for name in names}
    for name, counts in turns(list(names), repeat, lambda: Stage.touch(nbytes)):
        seconds = names[name]()
        told(f"{name}: {seconds:.2f} s")
        if counts:
            samples[name].append(seconds)
    return samples


def _timed(work: Callable[[], Any], check: Callable[[Any], object]) -> float:
    started = time.perf_counter()
    found = work()
    seconds = time.perf_counter() - started
    check(found)
    return seconds


def terasort(stage: Stage) -> list[Figure]:
    """Terasort of 1 GB as a job, beside map_reduce, and over Lithops' disk"""
    rows = GB // ROW
    with _directory() as directory:
        path = directory / "terasort.csv"
        checksum = generate(path, rows)
        scratch = str(directory / "direct")
        os.makedirs(scratch)
        direct = Shuffled(host.usable_cpus(), scratch, f"{stage.directory}-direct")

        def job(executor: Any) -> pa.Table:
            found = Job(num_stages=2, executor=executor, show_progress=False)
            found.add(stage=0, op=Scan, file=str(path), types=["str", "str"], names=["key", "value"])
            found.add(stage=0, op=Exchange)
            found.add(stage=1, op=Sort, key="key")
            found.dependency(parent=0, child=1)
            return found.result(library="arrow")

        def sorted_(table: pa.Table) -> None:
            check_sorted([table], rows, checksum)

        disk = {"backend": "localhost", "storage": "localhost", "data_cleaner": False}
        try:
            with _executor(stage, directory) as here, _executor(stage, directory, **disk) as there:
                contestants = {
                    "job": lambda: _timed(lambda: job(here), sorted_),
                    "map_reduce": lambda: _timed(
                        lambda: direct.sort(str(path)), lambda tables: check_sorted(tables, rows, checksum)
                    ),
                    "job on disk": lambda: _timed(lambda: job(there), sorted_),
                }
                found = _raced(contestants, stage.repeat, 5 * GB)
        finally:
            direct.close()
            shutil.rmtree(f"{stage.directory}-direct", ignore_errors=True)
    mine, hand, slow = (statistics.median(found[name]) for name in ("job", "map_reduce", "job on disk"))
    return [
        Figure(
            "terasort of 1 GB as a job, against `map_reduce(shuffle=...)`",
            "under 1.1x",
            f"{mine / hand:.2f}x ({spread(found['job'], 's')}, {spread(found['map_reduce'], 's')})",
            mine < 1.1 * hand,
            "From the CSV file, in the page cache, to one sorted Arrow table in the client. Every result is verified.",
        ),
        Figure(
            "the same job on Lithops' disk storage",
            "3x slower",
            f"{slow / mine:.1f}x ({spread(found['job on disk'], 's')})",
            slow >= 3 * mine,
            "`backend: localhost, storage: localhost`, which starts an interpreter for every call.",
        ),
    ]


_QUERIES = {
    "selection": 'SELECT "pageURL", "pageRank" FROM rankings WHERE "pageRank" > 1000',
    "aggregation": 'SELECT substr("sourceIP", 1, 8) AS source, sum("adRevenue") AS revenue FROM visits GROUP BY 1',
    "join": """SELECT "sourceIP", sum("adRevenue") AS revenue, avg("pageRank") AS rank
        FROM rankings JOIN visits ON "pageURL" = "destURL"
        WHERE "visitDate" BETWEEN DATE '1980-01-01' AND DATE '1990-01-01' GROUP BY 1 ORDER BY revenue DESC LIMIT 1""",
}


def queries(stage: Stage) -> list[Figure]:
    """The Big Data Benchmark's queries on 1 GB, beside DuckDB"""
    examples = _example("queries")
    with _directory() as directory:
        pages = datasets.rankings(1_000_000)
        visits = datasets.user_visits(6_000_000, pages)
        for name, table in (("rankings", pages), ("visits", visits)):
            os.makedirs(directory / name)
            step = -(-table.num_rows // 8)
            for number in range(8):
                pa.csv.write_csv(table.slice(number * step, step), directory / name / f"{number}.csv")
        del pages, visits
        nbytes = sum(path.stat().st_size for path in directory.glob("*/*.csv"))
        places = {name: f"{directory}/{name}/" for name in ("rankings", "visits")}
        note = f"{nbytes / 1e6:,.0f} MB of CSV, as the benchmark has it, in 8 files for each table, in the page cache. "
        note += "Types are inferred by both."
        database = duckdb.connect(config={"threads": host.usable_cpus(), "temp_directory": str(directory)})
        for name, place in places.items():
            database.execute(f"CREATE VIEW {name} AS SELECT * FROM read_csv('{place}*.csv', header = true)")
        figures = []
        with _executor(stage, directory) as executor:
            jobs = {
                "selection": lambda: examples.selection(executor, places["rankings"], header=True),
                "aggregation": lambda: examples.aggregation(executor, places["visits"], header=True),
                "join": lambda: examples.join(executor, places["rankings"], places["visits"], header=True),
            }
            for name, query in _QUERIES.items():
                wanted = _ordered(database.sql(query).to_arrow_table())

                def same(found: pa.Table, wanted: pd.DataFrame = wanted) -> None:
                    pd.testing.assert_frame_equal(_ordered(found), wanted, check_dtype=False)

                found = _raced(
                    {
                        "job": lambda name=name, same=same: _timed(lambda: _quiet(jobs[name]()), same),
                        "duckdb": lambda query=query, same=same: _timed(
                            lambda: database.sql(query).to_arrow_table(), same
                        ),
                    },
                    stage.repeat,
                    2 * GB,
                )
                mine, theirs = statistics.median(found["job"]), statistics.median(found["duckdb"])
                figures.append(
                    Figure(
                        f"Big Data Benchmark, {name}, against DuckDB",
                        "results equal, under 3x the time",
                        f"{mine / theirs:.2f}x ({spread(found['job'], 's')}, {spread(found['duckdb'], 's')})",
                        mine < 3 * theirs,
                        note if name == "selection" else "",
                    )
                )
        database.close()
    return figures


def iterations(stage: Stage) -> list[Figure]:
    """PageRank and k-means, cached beside uncached"""
    return [_page_rank(stage), _k_means(stage)]


def _page_rank(stage: Stage) -> Figure:
    example = _example("pagerank")
    pages, per_page = 200_000, 20
    random = np.random.default_rng(1)
    sources = np.repeat(np.arange(pages), per_page)
    targets = (pages * random.random(sources.size) ** 3).astype(int)
    with _directory() as directory, _executor(stage, directory) as executor:
        file = str(directory / "links.csv")
        pa.csv.write_csv(pa.table([sources, targets], ["0", "1"]), file, pa.csv.WriteOptions(include_header=False))

        def ranks(count: int) -> float:
            def whole(found: pd.DataFrame) -> None:
                assert len(found) == pages
                assert abs(found["rank"].sum() - 1) < 1e-6

            return _timed(lambda: example.ranked(executor, file, pages, count), whole)

        # What an iteration takes is the difference of runs of many and of one. Uncached, one run is each iteration.
        found = _raced({"one": lambda: ranks(1), "all": lambda: ranks(_ITERATIONS)}, stage.repeat, GB)
    one, more = statistics.median(found["one"]), statistics.median(found["all"])
    each = (more - one) / (_ITERATIONS - 1)
    return Figure(
        f"PageRank, {_ITERATIONS} iterations, {sources.size / 1e6:.0f} million links: each after the first",
        "3x faster than uncached",
        f"{one / each:.1f}x ({each:.2f} s; {spread(found['one'], 's')} for one from the file)",
        one >= 3 * each,
        "Uncached, an iteration reads and prepares the links from a CSV file again.",
    )


def _k_means(stage: Stage) -> Figure:
    example = _example("kmeans")
    points = 20_000_000
    random = np.random.default_rng(1)
    with _directory() as directory, _executor(stage, directory) as executor:
        file = str(directory / "points.csv")
        table = pa.table({"x": random.normal(size=points), "y": random.normal(size=points)})
        pa.csv.write_csv(table, file)
        del table
        centres = [(float(number), float(-number)) for number in range(5)]

        def scan() -> Job:
            job = Job(executor=executor, show_progress=False)
            job.add("points", Scan, file=file, header=True)
            return job

        def clustered(source: Any, **scan: Any) -> tuple[Any, Any]:
            return example.clustered(executor, source, centres, 1, **scan)

        expected = clustered(file, header=True)

        def same(found: tuple[Any, Any]) -> None:
            np.testing.assert_allclose(found[0], expected[0])
            np.testing.assert_allclose(found[1], expected[1])

        cached = scan().cache("points")
        found = _raced(
            {
                "cached": lambda: _timed(lambda: clustered(cached), same),
                "uncached": lambda: _timed(lambda: clustered(file, header=True), same),
            },
            max(stage.repeat, _ITERATIONS),
            GB,
        )
        cached.release()
    mine, slow = statistics.median(found["cached"]), statistics.median(found["uncached"])
    return Figure(
        f"k-means, {_ITERATIONS} iterations, {points / 1e6:.0f} million points: each after the first",
        "3x faster than uncached",
        f"{slow / mine:.1f}x ({spread(found['cached'], 's')}, {spread(found['uncached'], 's')})",
        slow >= 3 * mine,
        "Each is an iteration: the points from memory, or from a CSV file.",
    )


def skipping(stage: Stage) -> list[Figure]:
    """A query of 1 % of 2 GB in 64 objects, with an index and without"""
    with _directory() as directory, _executor(stage, directory) as executor:
        out, rows = str(directory / "clustered"), 2 * GB // (_OBJECTS * 40)
        os.makedirs(directory / "in")
        random = np.random.default_rng(1)
        for number in range(_OBJECTS):  # by day, as logs are
            columns = {"day": np.full(rows, number), "second": np.sort(random.integers(0, 86_400, rows))}
            columns |= {name: random.integers(0, 2**62, rows) for name in ("a", "b", "c")}
            pq.write_table(pa.table(columns), directory / "in" / f"{number:02}.parquet", compression="none")

        def job(*operations: tuple[Any, dict[str, Any]]) -> Job:
            made = Job(executor=executor, show_progress=False)
            for operation, parameters in operations:
                made.add(0, operation, **parameters)
            return made

        source = (Scan, {"file": f"{directory}/in/"})
        job(source, (Write, {"key": out, "format": "ipc", "index": ["day", "second"]})).run()
        where = (Filter, {"action": "day = 40 AND second < 55000"})
        query = [where, (Select, {"columns": ["a", "b"]})]
        found, read, seconds = {}, {}, {}
        for name, index in (("index", True), ("none", False)):
            made = job((Scan, {"file": out, "index": index}), *query)
            summary = made.run()
            found[name] = made.result(library="arrow")
            read[name] = sum(each.bytes_read for each in summary.stages)
            seconds[name] = summary.seconds
        assert _ordered(found["index"]).equals(_ordered(found["none"]))
    share = found["index"].num_rows / (_OBJECTS * rows)
    ratio = read["none"] / read["index"]
    return [
        Figure(
            f"a query of {share:.1%} of a clustered dataset of 2 GB in {_OBJECTS} objects, with an index",
            "10x fewer bytes read",
            f"{ratio:.0f}x ({read['index'] / 1e6:,.0f} MB in {seconds['index']:.2f} s, {read['none'] / 1e6:,.0f} MB in "
            f"{seconds['none']:.2f} s)",
            ratio >= 10,
            "Arrow IPC, indexed as it was written. Both give the same rows.",
        )
    ]


def _quiet(job: Job) -> pa.Table:
    return job.result(library="arrow")


def _ordered(table: pa.Table) -> pd.DataFrame:
    frame = table.to_pandas()
    return frame.sort_values(list(frame.columns)).reset_index(drop=True)


def _example(name: str) -> Any:
    """A module of the examples."""
    examples = str(Path(__file__).parents[2] / "examples")
    if examples not in sys.path:
        sys.path.append(examples)
    return importlib.import_module(name)


STEPS = [terasort, queries, iterations, skipping]
