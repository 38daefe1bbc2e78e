"""Rows for people, as a table, and for programs, as a file."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, BinaryIO

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from lithops_shm.cli.terminal import escaped, plural, table

__all__ = ["ENDINGS", "printed", "written"]


def printed(rows: pa.Table, most: int, heading: str = "") -> None:
    """Print the first rows, and how many there are.

    Parameters
    ----------
    rows:
        All of them.
    most:
        To print.
    heading:
        A line before them; none when it is empty.
    """
    if heading:
        print(escaped(heading))
    shown = rows.slice(0, most)
    names = [escaped(name) for name in rows.column_names]
    numbers = [name for name, kind in zip(names, rows.schema.types, strict=True) if _is_number(kind)]
    cells = zip(*([_cell(value) for value in column.to_pylist()] for column in shown.columns), strict=True)
    table(names, list(cells), right=" ".join(numbers), shrink=[name for name in names if name not in numbers])
    more = f"the first {shown.num_rows:,} of " if shown.num_rows < rows.num_rows else ""
    print(f"({more}{plural(rows.num_rows, 'row')})")


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _cell(value: Any) -> str:
    if value is None:
        return "null"
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def written(rows: pa.Table, path: str) -> None:
    """Write a file, of the format that its name ends in, whole or not at all.

    Raises
    ------
    OSError
        When it cannot be written; nothing of it is left.
    """
    write = ENDINGS[os.path.splitext(path)[1].lower()]
    partial = f"{path}.{os.getpid()}.partial"
    try:
        with open(partial, "wb") as file:
            write(rows, file)
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(partial)
        raise


def _csv(rows: pa.Table, file: BinaryIO) -> None:
    pyarrow.csv.write_csv(rows, file)


def _parquet(rows: pa.Table, file: BinaryIO) -> None:
    pyarrow.parquet.write_table(rows, file)


def _ipc(rows: pa.Table, file: BinaryIO) -> None:
    with pa.ipc.new_file(file, rows.schema) as writer:
        writer.write_table(rows)


def _jsonl(rows: pa.Table, file: BinaryIO) -> None:
    frame = rows.to_pandas(types_mapper=pd.ArrowDtype)
    frame.to_json(file, orient="records", lines=True, date_format="iso", date_unit="us")


ENDINGS: Mapping[str, Callable[[pa.Table, BinaryIO], None]] = MappingProxyType(
    {".csv": _csv, ".parquet": _parquet, ".arrow": _ipc, ".jsonl": _jsonl}
)
"""What writes a file, by the end of its name."""
