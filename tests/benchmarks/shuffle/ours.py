"""Our own ways to sort: `map_reduce(shuffle=...)`, in shared memory and over S3."""

from __future__ import annotations

import os
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

__all__ = [
    "Shuffled",
    "ShuffledBy4",
    "ShuffledBy64",
    "ShuffledInLittle",
    "ShuffledOverBoto3",
    "ShuffledOverS3fs",
    "count_rows",
    "count_words",
    "hand_over",
    "keep",
    "read_part",
    "sum_up",
    "words_of",
]

_ROW = 100  # bytes
_COLUMNS = {"key": pa.large_string(), "value": pa.large_string()}
_BUCKET = "terasort"
_PART_BYTES = 16 << 20


def read_part(path: str, start: int, rows: int) -> pa.Table:
    """The mapper: `rows` rows of the file, from row `start` on."""
    with open(path, "rb") as file:
        file.seek(start * _ROW)
        part = pa.BufferReader(file.read(rows * _ROW))
    read = pa.csv.ReadOptions(column_names=list(_COLUMNS), use_threads=False)
    return pa.csv.read_csv(part, read_options=read, convert_options=pa.csv.ConvertOptions(column_types=_COLUMNS))


def keep(rows: pa.Table) -> pa.Table:
    """The reducer: what comes in, sorted, is the result."""
    return rows


def hand_over(part: pa.Table) -> pa.Table:
    """A mapper that has its rows already."""
    return part


def count_rows(rows: pa.Table) -> int:
    return int(rows.num_rows)


def words_of(path: str, start: int, stop: int) -> pa.Table:
    """A mapper: each word of the lines that begin in the file's bytes `start` to `stop`, with a one."""
    with open(path, "rb") as file:
        if start:
            file.seek(start - 1)
            file.readline()
        text = file.read(max(stop - file.tell(), 0)) + file.readline()
    words = pc.list_flatten(pc.split_pattern(pa.array(text.split(b"\n"), pa.large_string()), " "))
    words = words.filter(pc.not_equal(words, ""))
    return pa.table({"word": words, "count": pa.repeat(pa.scalar(1, pa.int64()), len(words))})


def sum_up(rows: pa.Table) -> pa.Table:
    """The combiner."""
    return rows.group_by("word").aggregate([("count", "sum")]).rename_columns(["word", "count"])


def count_words(rows: pa.Table) -> pa.Table:
    """The reducer."""
    return sum_up(rows)


class Shuffled:
    """In shared memory, by warm workers; as many mappers and reducers as asked for, or parts of 16 MiB and ours."""

    def __init__(self, cpus: int, scratch: str, shared: str, functions: int | None = None, **store: Any) -> None:
        import lithops_shm as shm

        self._shm = shm
        self._functions = functions
        self.summary: Any = None
        self._executor = shm.FunctionExecutor(config=self._config(cpus, scratch, shared, store), log_level=None)

    def sort(self, path: str) -> list[pa.Table]:
        rows = os.stat(path).st_size // _ROW
        mappers = self._functions or max(1, -(-rows * _ROW // _PART_BYTES))
        share = -(-rows // mappers)
        parts = [(path, start, min(share, rows - start)) for start in range(0, rows, share)]
        shuffle = self._shm.Shuffle(by="key", kind="range", sort=True, partitions=self._functions)
        partitions = self._executor.map_reduce(read_part, parts, keep, shuffle=shuffle)
        tables: list[pa.Table] = self._executor.get_result(partitions)
        self.summary = partitions.summary
        return tables

    def close(self) -> None:
        self._executor.__exit__(None, None, None)

    def _config(self, cpus: int, scratch: str, shared: str, store: dict[str, Any]) -> dict[str, Any]:
        places = {"directory": os.path.join(shared, "store"), "spill_directory": os.path.join(scratch, "spill")}
        return {"lithops": {"backend": "shm", "storage": "shm"}, "shm": {**places, "worker_processes": cpus, **store}}


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
        assert self.summary.spilled_bytes > 0 or os.stat(path).st_size < 10**9, "nothing was spilled"
        return tables


class ShuffledOverBoto3(Shuffled):
    """Over S3 on this machine, by warm workers; the reducers' tables come back through S3, too."""

    engine = "boto3"

    def __init__(self, cpus: int, scratch: str, shared: str) -> None:
        from servers import S3Server

        self._server = S3Server(os.path.join(scratch, "s3"), _BUCKET)
        super().__init__(cpus, scratch, shared)

    def close(self) -> None:
        super().close()
        self._server.close()

    def _config(self, cpus: int, scratch: str, shared: str, store: dict[str, Any]) -> dict[str, Any]:
        workers = {"directory": os.path.join(shared, "store"), "worker_processes": cpus}
        return {
            "lithops": {"backend": "shm", "storage": "minio", "data_cleaner": False},
            "minio": {**self._server.section, "storage_bucket": _BUCKET},
            "shm": {**workers, "shuffle_engine": self.engine},
        }


class ShuffledOverS3fs(ShuffledOverBoto3):
    """The same by the other engine."""

    engine = "s3fs"
