"""Our own ways to sort: `map_reduce(shuffle=...)`, in shared memory, over a disk and over S3."""

from __future__ import annotations

import os
import sys
from typing import Any

import pyarrow as pa
import pyarrow.csv

from lithops_shm.bench.servers import S3Server
from lithops_shm.bench.sorters import Sorter
from lithops_shm.bench.terasort import ROW
from lithops_shm.shuffle.spec import Shuffle

__all__ = [
    "Shuffled",
    "ShuffledBy4",
    "ShuffledBy64",
    "ShuffledInLittle",
    "ShuffledOverBoto3",
    "ShuffledOverDisk",
    "ShuffledOverS3fs",
    "keep",
    "read_part",
]

_COLUMNS = {"key": pa.large_string(), "value": pa.large_string()}
_BUCKET = "terasort"
_PART_BYTES = 64 << 20


def read_part(path: str, start: int, rows: int) -> pa.Table:
    """The mapper: `rows` rows of the file, from row `start` on."""
    with pa.memory_map(path) as file:
        file.seek(start * ROW)
        part = file.read_buffer(rows * ROW)
    # One block makes columns of one chunk, which are sorted without joining them first.
    read = pa.csv.ReadOptions(column_names=list(_COLUMNS), use_threads=False, block_size=max(1, part.size))
    convert = pa.csv.ConvertOptions(column_types=_COLUMNS)
    return pa.csv.read_csv(pa.BufferReader(part), read_options=read, convert_options=convert)


def keep(rows: pa.Table) -> pa.Table:
    """The reducer: what comes in, sorted, is the result."""
    return rows


class Shuffled(Sorter):
    """In shared memory, by warm workers; with as many mappers and reducers as asked for, or parts of up to 64 MiB."""

    def __init__(self, cpus: int, scratch: str, shared: str, functions: int | None = None, **store: Any) -> None:
        from lithops_shm.executor import FunctionExecutor

        super().__init__(cpus, scratch, shared)
        self._functions = functions
        self.summary: Any = None
        self._executor = FunctionExecutor(config=self._config(store), log_level=None)

    def sort(self, path: str) -> list[pa.Table]:
        rows = os.stat(path).st_size // ROW
        mappers = self._functions or self.cpus * -(-rows * ROW // (self.cpus * _PART_BYTES))
        share = -(-rows // mappers)
        parts = [(path, start, min(share, rows - start)) for start in range(0, rows, share)]
        shuffle = Shuffle(by="key", kind="range", sort=True, partitions=self._functions)
        partitions = self._executor.map_reduce(read_part, parts, keep, shuffle=shuffle)
        tables: list[pa.Table] = self._executor.get_result(partitions)
        self.summary = partitions.summary
        return tables

    def close(self) -> None:
        self._executor.__exit__(None, None, None)

    def _config(self, store: dict[str, Any]) -> dict[str, Any]:
        return {"lithops": {"backend": "shm", "storage": "shm"}, "shm": {**self._workers(), **store}}

    def _workers(self) -> dict[str, Any]:
        places = {"directory": os.path.join(self.shared, "store"), "spill_directory": os.path.join(self.scratch, "sp")}
        return {**places, "worker_processes": self.cpus}


class ShuffledBy4(Shuffled):
    """By four mappers and four reducers."""

    def __init__(self, cpus: int, scratch: str, shared: str) -> None:
        super().__init__(cpus, scratch, shared, functions=4)


class ShuffledBy64(Shuffled):
    """By 64 mappers and 64 reducers."""

    def __init__(self, cpus: int, scratch: str, shared: str) -> None:
        super().__init__(cpus, scratch, shared, functions=64)


class ShuffledInLittle(Shuffled):
    """With no more than 1.5 GB of memory for segments; the rest goes to disk."""

    def __init__(self, cpus: int, scratch: str, shared: str) -> None:
        super().__init__(cpus, scratch, shared, budget_bytes="1.5 GB")

    def sort(self, path: str) -> list[pa.Table]:
        tables = super().sort(path)
        if not self.summary.spilled_bytes and os.stat(path).st_size >= 10**9:
            raise RuntimeError("nothing was spilled")
        return tables


class ShuffledOverDisk(Shuffled):
    """Over Lithops' localhost storage, files on a disk or in its page cache. Lithops wants its own workers for it."""

    def _config(self, store: dict[str, Any]) -> dict[str, Any]:
        lithops = {"backend": "localhost", "storage": "localhost", "data_cleaner": False}
        return {"lithops": lithops, "localhost": {"runtime": sys.executable, "worker_processes": self.cpus}}


class ShuffledOverBoto3(Shuffled):
    """Over S3 on this machine, by warm workers; the reducers' tables come back through S3, too."""

    engine = "boto3"

    def __init__(self, cpus: int, scratch: str, shared: str) -> None:
        self._server = S3Server(os.path.join(scratch, "s3"), _BUCKET)
        super().__init__(cpus, scratch, shared)

    def close(self) -> None:
        super().close()
        self._server.close()

    def _config(self, store: dict[str, Any]) -> dict[str, Any]:
        return {
            "lithops": {"backend": "shm", "storage": "minio", "data_cleaner": False},
            "minio": {**self._server.section, "storage_bucket": _BUCKET},
            "shm": {**self._workers(), "shuffle_engine": self.engine},
        }


class ShuffledOverS3fs(ShuffledOverBoto3):
    """The same by the other engine."""

    engine = "s3fs"
