"""Where rows come from, and where they go."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from seer_integration.errors import OperationError
from seer_integration.operations.base import Operation

__all__ = ["FORMATS", "Collect", "Scan", "Write"]

FORMATS = ("csv", "parquet", "ipc", "jsonl")
WRITTEN_FORMATS = ("parquet", "ipc", "csv")
WRITE_MODES = ("error", "overwrite")
ON_MALFORMED = ("fail", "skip")

# By the end of a name, what is in it, unless `format` says so.
_ENDINGS = {".csv": "csv", ".tsv": "csv", ".txt": "csv", ".parquet": "parquet", ".pq": "parquet"}
_ENDINGS |= {".arrow": "ipc", ".feather": "ipc", ".ipc": "ipc", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_ENDINGS |= {".json": "jsonl"}


@dataclass(frozen=True)
class Scan(Operation):
    """Read a dataset: one object or file, all that begin with a prefix, or all that match a pattern.

    Parameters
    ----------
    file:
        Its key, a prefix that ends in ``/``, or a glob. Without `bucket` a path of this machine, or a URI:
        ``s3://bucket/key``, ``shm://bucket/key``, ``file:///path``. Or what :meth:`Job.cache` gave.
    bucket:
        Of the storage of the job's Lithops configuration, or of `storage`.
    types:
        Of the columns, as names NumPy knows (``"int64"``, ``"float64"``, ``"object"`` or ``"str"`` for text,
        ``"datetime64[s]"``) or Arrow does: a list with one for each, or a mapping of some. Else they are inferred.
    delimiter:
        Of CSV: one character.
    names:
        Of the columns of a CSV without a header; ``"0"``, ``"1"``, ... by default, as in Seer.
    header:
        Whether the first row of a CSV has the names.
    quote:
        The character that encloses values of CSV in which delimiters or ends of lines are; ``None`` for no such.
    format:
        ``"csv"``, ``"parquet"``, ``"ipc"`` or ``"jsonl"``; by default what the names end in, else CSV.
    columns:
        Those to read; all by default. The planner leaves out by itself what no later operation needs.
    storage:
        Name of a Lithops storage backend other than the job's.
    malformed:
        ``"fail"``, or ``"skip"``: rows of CSV or lines of JSON that are not like the others are left out and counted.
    index:
        Whether to leave out objects and row groups that an index, or Parquet's own statistics, prove not to match a
        Filter.
    """

    file: Any
    bucket: str | None = None
    types: Sequence[str] | Mapping[str, str] | None = None
    delimiter: str = ","
    names: Sequence[str] | None = None
    header: bool = False
    quote: str | None = '"'
    format: str | None = None
    columns: Sequence[str] | None = None
    storage: str | None = None
    malformed: str = "fail"
    index: bool = True
    is_source: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if isinstance(self.file, os.PathLike):
            object.__setattr__(self, "file", os.fspath(self.file))
        if isinstance(self.file, str) and not self.file:
            raise OperationError(self.name, "file", self.file, "names nothing")
        if self.format is not None:
            self._check_choice("format", FORMATS)
        self._check_choice("malformed", ON_MALFORMED)
        for parameter in ("delimiter", "quote"):
            value = getattr(self, parameter)
            if not (parameter == "quote" and value is None) and (
                not isinstance(value, str) or len(value.encode()) != 1
            ):
                raise OperationError(self.name, parameter, value, "is not one character of ASCII")
        if self.columns is not None:
            self._columns("columns")
        if self.names is not None:
            self._columns("names")
            if self.header:
                raise OperationError(self.name, "names", self.names, "and header=True: the names are in the first row")

    @property
    def cached(self) -> bool:
        """Whether it reads what another job cached."""
        return not isinstance(self.file, str)

    @property
    def format_of_names(self) -> str:
        """The format asked for, or by what the name ends in; CSV when nothing tells."""
        if self.format is not None:
            return self.format
        ending = os.path.splitext(str(self.file))[1].lower()
        return _ENDINGS.get(ending, "csv")


@dataclass(frozen=True)
class Collect(Operation):
    """Give the rows to :meth:`Job.result`."""


@dataclass(frozen=True)
class Write(Operation):
    """Write a dataset, a part by each task, and commit it with a ``_SUCCESS`` manifest.

    Parameters
    ----------
    bucket:
        Of the job's storage, or of `storage`. Without it `key` is a path of this machine, or a URI.
    key:
        Where: the prefix of all its parts.
    format:
        ``"parquet"``, ``"ipc"`` or ``"csv"``.
    compression:
        Of Parquet (``"snappy"``, ``"zstd"``, ``"none"``, ...) or IPC (``"zstd"``, ``"lz4"``); by default Parquet's.
    storage:
        Name of a Lithops storage backend other than the job's.
    mode:
        ``"overwrite"``: what was committed there before is replaced when this is; ``"error"``: it is refused.
    index:
        Columns of which least and greatest values are written down, so that readers can skip; ``True`` for all.
    """

    bucket: str | None = None
    key: str | None = None
    format: str = "parquet"
    compression: str | None = None
    storage: str | None = None
    mode: str = "overwrite"
    index: bool | Sequence[str] = False

    def __post_init__(self) -> None:
        if not isinstance(self.key, (str, os.PathLike)) or not os.fspath(self.key):
            raise OperationError(self.name, "key", self.key, "does not say where to write")
        object.__setattr__(self, "key", os.fspath(self.key))
        self._check_choice("format", WRITTEN_FORMATS)
        self._check_choice("mode", WRITE_MODES)
        if not isinstance(self.index, bool):
            self._columns("index")
