"""Columns of pandas and frames of Polars, handed on as the Arrow data that they are.

The names `extension_array`, `column` and `polars_frame` are in stored objects: they must stay importable.
"""

from __future__ import annotations

import sys
from typing import Any

from lithops_shm.codec.pickles import Reducer, Regions

__all__ = ["column", "extension_array", "polars_frame", "reducer"]

# In memory a string of Polars has a view of 16 bytes, which the estimated size of a frame leaves out.
_VIEW_BYTES = 16

# Up to here Polars' own pickling, which copies, is the faster one: 15 us for both ends against 300.
_SMALL_FRAME_BYTES = 1 << 16


def reducer(cls: type) -> Reducer | None:
    """How objects of this class leave a pickle; None for the many that need no help."""
    polars, pandas = sys.modules.get("polars"), sys.modules.get("pandas")
    if polars is not None and cls in (polars.DataFrame, polars.Series):  # subclasses would be lost
        return _reduce_frame if cls is polars.DataFrame else _reduce_series
    if pandas is None:
        return None
    if issubclass(cls, pandas.DataFrame):
        return _gather_columns
    return _reduce_extension_array if issubclass(cls, pandas.arrays.ArrowExtensionArray) else None


def extension_array(cls: Any, state: dict[str, Any]) -> Any:
    """An Arrow-backed array of pandas over its chunks."""
    array = cls.__new__(cls)
    array.__dict__.update(state)
    return array


def column(table: Any, index: int) -> Any:
    """A column of a table, without copying."""
    return table.column(index)


def polars_frame(table: Any, is_sorted: dict[str, bool], as_series: bool) -> Any:
    """A Polars frame or series over an Arrow table: a view, as far as Polars can.

    Parameters
    ----------
    table:
        Its columns.
    is_sorted:
        Columns marked as sorted, and whether in descending order.
    as_series:
        Whether to return the only column.
    """
    frame = _from_arrow(table)
    if is_sorted:
        frame = frame.with_columns(frame[name].set_sorted(descending=down) for name, down in is_sorted.items())
    return frame.to_series() if as_series else frame


def _gather_columns(frame: Any, regions: Regions) -> Any:
    """Let the Arrow columns of a pandas frame share streams, and leave the frame itself to pandas.

    One stream per column would take five times as long for 200 columns. Only columns with the same chunks are put
    together, so that each keeps the chunks it has.
    """
    alike: dict[tuple[int, ...], list[Any]] = {}
    for block in getattr(frame._mgr, "blocks", ()):
        data = getattr(block.values, "_pa_array", None)
        if data is not None:
            alike.setdefault(tuple(map(len, data.chunks)), []).append(data)
    for group in alike.values():
        if len(group) > 1:
            regions.share(group, sys.modules["pyarrow"].table(group, names=list(map(str, range(len(group))))), column)
    return NotImplemented


def _reduce_extension_array(array: Any, _regions: Regions) -> Any:
    # pandas would join the chunks, which copies them.
    state = array.__dict__.copy()
    if "_cache" in state:
        state["_cache"] = {}
    return extension_array, (type(array), state)


def _reduce_series(series: Any, _regions: Regions) -> Any:
    return _reduce_polars(series.to_frame(), True)


def _reduce_frame(frame: Any, _regions: Regions) -> Any:
    return _reduce_polars(frame, False)


def _reduce_polars(frame: Any, as_series: bool) -> Any:
    # Before version 2 Polars' own pickling, too, gives a column without a name another one.
    small = frame.estimated_size() < _SMALL_FRAME_BYTES and "" not in frame.columns
    table = None if small else _to_arrow(frame)
    if table is None:
        return NotImplemented  # Polars' own pickling
    is_sorted = {
        name: bool(flags["SORTED_DESC"])
        for name, flags in frame.flags.items()
        if flags.get("SORTED_ASC") or flags.get("SORTED_DESC")
    }
    return polars_frame, (table, is_sorted, as_series)


def _to_arrow(frame: Any) -> Any:
    """A Polars frame as an Arrow table that gives it back exactly, or None if there is none.

    The newest types are the ones Polars uses itself, so that nothing is copied. With the oldest ones strings are
    copied, without those around them: right for a small slice of a large frame.
    """
    import polars as pl

    # Types that pyarrow does not have. The last one is how Polars 1 says so.
    unknown = (ValueError, TypeError, NotImplementedError, pl.exceptions.PolarsError, pl.exceptions.PanicException)
    try:
        table = frame.to_arrow(compat_level=pl.CompatLevel.newest())
        if table.get_total_buffer_size() > 2 * frame.estimated_size() + _VIEW_BYTES * frame.height * frame.width:
            table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
        back = _from_arrow(table.slice(0, 0))
    except unknown:
        return None
    return table if back.schema == frame.schema else None


def _from_arrow(table: Any) -> Any:
    import polars as pl

    frame: Any = pl.from_arrow(table, rechunk=False)
    frame.columns = table.column_names  # Polars gives a column without a name another one
    return frame
