"""What is written and read: frames like those of the study, the same each time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

__all__ = ["DTYPES", "Kind", "brain_table", "make_frame", "terasort_table", "to_frame"]

_KEY, _VALUE = 10, 88  # characters


@dataclass(frozen=True, slots=True)
class Kind:
    """A data set and how pandas holds it.

    Parameters
    ----------
    dataset:
        ``terasort``: two columns of texts. ``brain``: an int32 and two float64.
    row_bytes:
        Of its data, without what a frame needs besides; `size_bytes` of a row of the file it is from.
    """

    dataset: str
    row_bytes: int
    size_bytes: int


_TERASORT, _BRAIN = Kind("terasort", _KEY + _VALUE, 100), Kind("brain", 20, 20)
DTYPES = {
    "object": _TERASORT,
    "string[python]": _TERASORT,
    "string[pyarrow]": _TERASORT,
    "numpy": _BRAIN,
    "arrow": _BRAIN,
}


def make_frame(dtype: str, rows: int) -> pd.DataFrame:
    """The frame with columns of that dtype; it owns its memory, and its table is gone."""
    make = terasort_table if DTYPES[dtype] is _TERASORT else brain_table
    frame = to_frame(make(rows), dtype)
    return frame.copy() if dtype == "numpy" else frame


def to_frame(table: pa.Table, dtype: str) -> pd.DataFrame:
    """A table as a frame with columns of that dtype; of the table's memory, where pandas can."""
    if dtype == "object":  # to_pandas makes the default dtype of texts, which is not object from pandas 3 on
        columns = {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names}
        return pd.DataFrame({name: pd.Series(values, dtype="object") for name, values in columns.items()})
    if dtype == "numpy":
        return table.to_pandas(split_blocks=True)
    if dtype == "arrow":
        return table.to_pandas(types_mapper=pd.ArrowDtype)
    texts = pd.StringDtype(dtype.removeprefix("string[").removesuffix("]"))
    return table.to_pandas(types_mapper={pa.string(): texts, pa.large_string(): texts}.get)


def terasort_table(rows: int) -> pa.Table:
    """Two columns of texts, 10 and 88 capital letters, as terasort has them."""
    random = np.random.default_rng(5)

    def texts(width: int) -> pa.Array:
        data = random.integers(65, 91, rows * width, dtype=np.uint8)
        offsets = np.arange(0, (rows + 1) * width, width, dtype=np.int64)[: rows + 1]
        return pa.LargeStringArray.from_buffers(rows, pa.py_buffer(offsets), pa.py_buffer(data))

    return pa.table({"key": texts(_KEY), "value": texts(_VALUE)})


def brain_table(rows: int) -> pa.Table:
    """A number and two measured values a row, as the study's scans of brains have them."""
    random = np.random.default_rng(6)
    number = random.integers(0, 2**31, rows, dtype=np.int32)
    return pa.table({"id": number, "x": random.random(rows), "y": random.normal(size=rows)})
