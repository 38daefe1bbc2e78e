"""Ways to sort terasort's CSV file into Arrow tables in memory, each in a process of its own; see `contestants`.

A sorter is made once, which imports and starts what it needs; `sort` is what is timed. It begins with the path of the
file, and ends when all rows can be read as Arrow in this process: tables that follow each other, of columns key and
value. Engines are imported when their sorter is made, so that a missing one is missed by name; and by a text, so that
Lithops, when it sends this package along with a function, does not follow it into them.
"""

from __future__ import annotations

import itertools
import os
import pickle
import sys
from importlib import import_module
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from lithops_shm.bench.terasort import KEY, ROW

__all__ = ["Dask", "DuckDB", "Polars", "Ray", "Sorter", "StockLithops"]

_COLUMNS = ["key", "value"]
_FUNCTIONS = 4  # mappers, and as many reducers, at least
_BUCKET = "terasort"
_HERE = ["lithops_shm"]  # Lithops need not look for what to send along


class Sorter:
    """An engine that is ready to sort.

    Parameters
    ----------
    cpus:
        As many threads or processes as it may compute with.
    scratch:
        A directory on a disk for what it leaves; its path is short. It is removed afterwards.
    shared:
        The same on the tmpfs; what is in it counts as memory.
    """

    def __init__(self, cpus: int, scratch: str, shared: str) -> None:
        self.cpus, self.scratch, self.shared = cpus, scratch, shared

    def sort(self, path: str) -> list[pa.Table]:
        """The rows of the file by key, in tables that follow each other."""
        raise NotImplementedError

    def close(self) -> None:
        """Stop what the sorter has started."""


class DuckDB(Sorter):
    """One query, in a connection with that many threads."""

    def __init__(self, cpus: int, scratch: str, shared: str) -> None:
        duckdb = import_module("duckdb")

        super().__init__(cpus, scratch, shared)
        self._connection = duckdb.connect(config={"threads": cpus, "temp_directory": scratch})

    def sort(self, path: str) -> list[pa.Table]:
        query = f"""SELECT * FROM read_csv('{path}', auto_detect=false, header=false, delim=',', quote='', escape='',
            new_line='\\n', columns={{'key': 'VARCHAR', 'value': 'VARCHAR'}}) ORDER BY key"""
        return [self._connection.sql(query).to_arrow_table()]

    def close(self) -> None:
        self._connection.close()


class Polars(Sorter):
    """A lazy frame, by the streaming engine; its texts stay views (`pa.string_view`), which saves copying them."""

    def __init__(self, cpus: int, scratch: str, shared: str) -> None:
        os.environ["POLARS_MAX_THREADS"] = str(cpus)
        polars = import_module("polars")

        super().__init__(cpus, scratch, shared)
        self._polars = polars

    def sort(self, path: str) -> list[pa.Table]:
        pl = self._polars
        schema = dict.fromkeys(_COLUMNS, pl.String)
        rows = pl.scan_csv(path, has_header=False, schema=schema, quote_char=None)
        frame = rows.sort("key").collect(engine="streaming")
        return [frame.to_arrow(compat_level=pl.CompatLevel.newest())]


class Dask(Sorter):
    """A Dask frame of pandas frames of Arrow texts, by threads.

    Other ways to do it took longer: on two CPUs, processes 5 times as long, `distributed` 4, and `set_index` 1.5 times.
    """

    def __init__(self, cpus: int, scratch: str, shared: str) -> None:
        dask = import_module("dask")
        import_module("dask.dataframe")

        super().__init__(cpus, scratch, shared)
        self._frames = dask.dataframe
        dask.config.set(
            {"scheduler": "threads", "num_workers": cpus, "temporary_directory": scratch}
            | {"dataframe.convert-string": True, "dataframe.shuffle.method": "tasks"}
        )

    def sort(self, path: str) -> list[pa.Table]:
        rows = self._frames.read_csv(
            path, header=None, names=_COLUMNS, dtype="string[pyarrow]", engine="pyarrow", blocksize=64 << 20
        )
        return [pa.Table.from_pandas(rows.sort_values("key").compute(), preserve_index=False)]


class Ray(Sorter):
    """Ray Data on a local Ray; the blocks are mapped from its object store.

    Its default shuffle took 10 s on two CPUs whatever the size; the pull-based one was the fastest of the others, with
    few blocks.
    """

    def __init__(self, cpus: int, scratch: str, shared: str) -> None:
        os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DATA_DEFAULT_SHUFFLE_STRATEGY": "sort_shuffle_pull_based"}
        ray = import_module("ray")
        import_module("ray.data")

        super().__init__(cpus, scratch, shared)
        self._ray = ray
        ray.init(num_cpus=cpus, include_dashboard=False, log_to_driver=False, logging_level="ERROR", _temp_dir=scratch)
        ray.data.DataContext.get_current().enable_progress_bars = False

    def sort(self, path: str) -> list[pa.Table]:
        rows = self._ray.data.read_csv(
            path,
            override_num_blocks=4 * self.cpus,
            read_options=pa.csv.ReadOptions(column_names=_COLUMNS),
            convert_options=_converted(pa.string()),
        )
        found: list[pa.Table] = self._ray.get(rows.sort("key").to_arrow_refs())
        return found

    def close(self) -> None:
        self._ray.shutdown()


class StockLithops(Sorter):
    """Lithops on localhost: mappers leave a pickled table for each reducer in its storage, as objects on the disk.

    The reducers' tables come back as results. Lithops starts an interpreter for each call; that is in the time.
    """

    def __init__(self, cpus: int, scratch: str, shared: str) -> None:
        import lithops

        super().__init__(cpus, scratch, shared)
        # Its workers would be run with the first `python` in PATH. A process that cleans up would follow each job, take
        # part of the next one's time, and outlive the scratch directory.
        config = {
            "lithops": {"backend": "localhost", "storage": "localhost", "data_cleaner": False},
            "localhost": {"runtime": sys.executable, "worker_processes": cpus},
        }
        self._executor = lithops.FunctionExecutor(config=config, log_level=None)
        self._runs = 0

    def sort(self, path: str) -> list[pa.Table]:
        executor, rows = self._executor, os.stat(path).st_size // ROW
        self._runs += 1
        functions = max(_FUNCTIONS, self.cpus)
        bounds = _sample(path, rows, functions)
        cuts = [rows * number // functions for number in range(functions + 1)]
        common = {"path": path, "bounds": bounds, "prefix": f"sort-{self._runs}"}
        parts = [{"number": n, "start": cuts[n], "end": cuts[n + 1], **common} for n in range(functions)]
        pieces = executor.get_result(executor.map(_map_part, parts, exclude_modules=_HERE))
        ranges = [{"keys": keys} for keys in zip(*pieces, strict=True)]
        found: list[pa.Table] = executor.get_result(executor.map(_reduce_range, ranges, exclude_modules=_HERE))
        return found


def _map_part(number: int, start: int, end: int, path: str, bounds: list[str], prefix: str, storage: Any) -> list[str]:
    """Read rows `start` to `end`, and leave those of each range of keys as an object; gives their keys."""
    with pa.memory_map(path) as file:
        file.seek(start * ROW)
        part = pa.BufferReader(file.read_buffer((end - start) * ROW))
    read = pa.csv.ReadOptions(column_names=_COLUMNS, block_size=16 << 20)
    table = pa.csv.read_csv(part, read_options=read, convert_options=_converted(pa.large_string()))
    key, keys = pc.field("key"), []
    for index, (low, high) in enumerate(itertools.pairwise(["", *bounds, "~"])):  # "~" is above all keys
        keys.append(f"{prefix}/{number}-{index}")
        piece = table.filter((key >= low) & (key < high))
        storage.put_object(_BUCKET, keys[-1], pickle.dumps(piece, protocol=5))
    return keys


def _reduce_range(keys: list[str], storage: Any) -> pa.Table:
    """Sort what the mappers left of one range."""
    pieces = [pickle.loads(storage.get_object(_BUCKET, key)) for key in keys]
    return pa.concat_tables(pieces).combine_chunks().sort_by("key")


def _sample(path: str, rows: int, ranges: int) -> list[str]:
    """Keys that cut the file into ranges of about the same size, from 10,000 rows."""
    picks = np.sort(np.random.default_rng(3).integers(0, rows, min(rows, 10_000)))
    file = np.memmap(path, dtype=np.uint8, mode="r", shape=(rows, ROW))
    keys = np.sort(np.ascontiguousarray(file[picks, :KEY]).view(f"S{KEY}")[:, 0])
    return [keys[len(keys) * number // ranges].decode() for number in range(1, ranges)]


def _converted(kind: pa.DataType) -> pa.csv.ConvertOptions:
    return pa.csv.ConvertOptions(column_types=dict.fromkeys(_COLUMNS, kind))
