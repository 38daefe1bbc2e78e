"""Partitions that are ranges of keys, by regular sampling of sorted tables.

Every mapper sorts its rows and gives evenly spaced ones as a sample; the bounds of the partitions are chosen from all
samples; each partition is then a slice of every sorted table, found by bisection. (Shi and Schaeffer, Parallel Sorting
by Regular Sampling, 1992; here samples have weights, and equal keys are never split.)
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lithops_shm.shuffle import physical
from lithops_shm.shuffle.digits import digits
from lithops_shm.shuffle.gather import gather
from lithops_shm.shuffle.refine import Indices, refine

__all__ = ["ROWS", "Keys", "Range", "bounds", "cut", "divide", "places", "sample"]

ROWS = "rows"
"""The name of the last column of a sample."""

_Key = tuple[int, Any]  # (0, value), (1, 0) for NaN, (2, 0) for null: Python's order of these is Arrow's of the values
_Read = Callable[[int], _Key]

_LARGE = {
    pa.string_view().id: pa.large_string(),
    pa.binary_view().id: pa.large_binary(),
}


def sample(table: Any, by: Sequence[str], count: int, order: Indices | None = None) -> Any:
    """Evenly spaced rows of a sorted table, the first and the last among them.

    A partition chosen from samples is larger or smaller than meant by up to the rows between two of them, on average
    by half of that at either end, for each table: take at least 16 times as many as there will be partitions.

    Parameters
    ----------
    table:
        A pa.Table.
    count:
        How many rows at most, 2 or more.
    order:
        Its rows in ascending order of the columns `by`; ``None`` if they are.

    Returns
    -------
    The columns `by`, and how many rows there are from each to the next, or the end (:data:`ROWS`, int64, the last
    column, whatever the names of the others), so that their sums are where the rows are in the table. A copy, which
    holds nothing of the table. Dictionaries are decoded, views are large strings, and extension types their storage.
    """
    if count < 2:
        raise ValueError(f"{count} rows are no sample, 2 are the least")
    rows = table.num_rows
    chosen = places(rows, count)
    if order is None:
        columns = [_picked(table.column(name), chosen) for name in by]
    else:
        # They are picked as they come, which needs no look at the rest, and then put in order.
        found, where = np.unique(order[chosen], return_inverse=True)
        columns = [_picked(table.column(name), found).take(pa.array(where)) for name in by]
    return pa.Table.from_arrays([*columns, pa.array(np.diff(chosen, append=rows))], names=[*by, ROWS])


def places(rows: int, count: int) -> npt.NDArray[np.int64]:
    """Which rows of a table of so many :func:`sample` takes: ascending and distinct, at most `count`."""
    taken = min(count, rows)
    return np.arange(taken) * (rows - 1) // max(taken - 1, 1)


def bounds(samples: Sequence[Any], by: Sequence[str], partitions: int) -> Any:
    """The least keys of all partitions but the first, such that the largest partition is as small as can be.

    Partition p has the keys from bounds[p - 1] (included) to bounds[p] (not included). Equal keys are in one partition;
    a key that is heavier than the other partitions has one of its own.

    Parameters
    ----------
    samples:
        What :func:`sample` returned for each mapper, at least one.
    partitions:
        How many partitions there may be, 1 or more.

    Returns
    -------
    The columns `by`, at most `partitions` - 1 rows, ascending and distinct; fewer when there are fewer keys.
    """
    return divide(samples, by, partitions)[0]


def divide(samples: Sequence[Any], by: Sequence[str], partitions: int) -> tuple[Any, list[npt.NDArray[np.int64]]]:
    """What :func:`bounds` gives, and for each sample what :func:`cut` would give of its rows, at once."""
    if partitions < 1:
        raise ValueError(f"{partitions} partitions cannot hold anything")
    keys = pa.Table.from_arrays([_together(samples, index) for index in range(len(by))], names=list(by))
    order, first = refine(digits(keys.columns), keys.num_rows)
    begins = np.flatnonzero(first)
    if not len(begins):
        return keys, [np.empty(0, np.int64) for _ in samples]
    weights = np.concatenate([_shares(each.column(len(by)).to_numpy()) for each in samples])
    heavy = np.add.reduceat(weights[order], begins)
    chosen = _least_largest(heavy, partitions)
    ranks = np.empty(keys.num_rows, np.int64)
    ranks[order] = np.cumsum(first) - 1
    of_each = np.split(ranks, np.cumsum([each.num_rows for each in samples])[:-1])
    return gather(keys, order[begins[chosen]]), [np.searchsorted(each, chosen) for each in of_each]


class Keys:
    """Reads keys of a table, row by row; made once for as many reads as there will be.

    Parameters
    ----------
    table:
        A pa.Table.
    by:
        Its key columns.
    """

    def __init__(self, table: Any, by: Sequence[str]) -> None:
        self._columns = [_reader(table.column(name)) for name in by]
        self.rows = table.num_rows

    def at(self, row: int) -> list[_Key]:
        """The key of a row."""
        return [read(row) for read in self._columns]

    def first_not_less(self, key: Sequence[_Key], low: int, high: int) -> int:
        """Of rows `low` to `high`, whose keys ascend, the first whose key is not less than `key`; `high` for none.

        Looks at a number of rows that grows with the logarithm of theirs, and so touches few pages of a mapped table.
        """
        return _position(self._columns, key, low, high)


def cut(sorted_table: Any, by: Sequence[str], least: Any) -> list[int]:
    """Where the partitions of a sorted table begin, but for the first: partition p is rows cuts[p - 1] to cuts[p].

    Parameters
    ----------
    sorted_table:
        A pa.Table in ascending order of the columns `by`.
    least:
        What :func:`bounds` returned.

    Returns
    -------
    For each bound the first row that is not less, ascending; the number of rows if there is none.
    """
    keys, bounds = Keys(sorted_table, by), Keys(least, by)
    cuts: list[int] = []
    for index in range(bounds.rows):
        cuts.append(keys.first_not_less(bounds.at(index), cuts[-1] if cuts else 0, keys.rows))
    return cuts


class Range:
    """The keys of one partition.

    Parameters
    ----------
    least:
        Of what :func:`bounds` returned.
    partition:
        Its number, 0 or more; one behind the last that has bounds has no keys.
    """

    def __init__(self, least: Keys, partition: int) -> None:
        if partition < 0:
            raise ValueError(f"there is no partition {partition}")
        self._is_empty = partition > least.rows
        self._from = least.at(partition - 1) if partition and not self._is_empty else None
        self._to = least.at(partition) if partition < least.rows else None

    def rows_in(
        self, keys: Keys, low: int, high: int, begun_by: int | None = None, ends_from: int | None = None
    ) -> tuple[int, int]:
        """Of rows `low` to `high` of a sorted table those with such keys, from and to; as in :func:`cut`.

        Parameters
        ----------
        keys:
            Of the table.
        begun_by, ends_from:
            Of these rows one at which they have begun, if there are any, and one before which they have not ended.
        """
        if self._is_empty:
            return high, high
        start = low
        if self._from is not None:
            start = keys.first_not_less(self._from, low, high if begun_by is None else begun_by)
        if self._to is None:
            return start, high
        return start, keys.first_not_less(self._to, start if ends_from is None else max(start, ends_from), high)


def _together(samples: Sequence[Any], index: int) -> Any:
    """A column of all samples. Those where it is all null may have it as any type, as may those with dictionaries."""
    arrays = [_picked(each.column(index), np.arange(each.num_rows)) for each in samples]
    kind = next((array.type for array in arrays if not pa.types.is_null(array.type)), pa.null())
    return pa.chunked_array([array.cast(kind) if pa.types.is_null(array.type) else array for array in arrays], kind)


def _shares(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """How many rows are nearest to each of a sample, from how many there are from each to the next."""
    if not len(rows):
        return rows
    begins = np.cumsum(rows) - rows
    middles = (begins[1:] + begins[:-1] + 1) // 2
    return np.diff(middles, prepend=0, append=int(rows.sum()))


def _least_largest(weights: npt.NDArray[np.int64], partitions: int) -> list[int]:
    """Where partitions begin, other than the first, so that the largest of more than one weight is the smallest."""
    ends = np.cumsum(weights)
    if not len(ends):
        return []
    low, high = 0, int(ends[-1])  # the least capacity that will do is above low and at most high
    while high - low > 1:
        middle = (low + high) // 2
        if len(_filled(ends, middle, partitions)) < partitions:
            high = middle
        else:
            low = middle
    return _filled(ends, high, partitions)


def _filled(ends: npt.NDArray[np.int64], capacity: int, most: int) -> list[int]:
    """Where partitions begin, other than the first, that are filled one by one; no more than `most` of these.

    Each takes what it can hold, or one key that is heavier.
    """
    begins: list[int] = []
    begin, before = 0, 0
    while len(begins) < most:
        begin = max(int(np.searchsorted(ends, before + capacity, side="right")), begin + 1)
        if begin >= len(ends):
            break
        begins.append(begin)
        before = int(ends[begin - 1])
    return begins


def _position(columns: Sequence[_Read], key: Sequence[_Key], low: int, high: int) -> int:
    """The first row, of those from `low` to `high`, whose key is not less; `high` if there is none."""
    for number, (read, wanted) in enumerate(zip(columns, key, strict=True)):
        span = range(high)
        low = bisect_left(span, wanted, low, high, key=read)
        if low == high or number == len(key) - 1:
            break
        high = bisect_right(span, wanted, low, high, key=read)
    return low


def _reader(column: Any) -> _Read:
    """How to read the value at a row of a column as something to compare."""
    chunks = [chunk for chunk in column.chunks if len(chunk)]
    direct = [_direct(chunk) for chunk in chunks]
    if len(direct) == 1 and direct[0] is not None:
        return direct[0]
    if direct and None not in direct:
        begins = np.cumsum([0, *map(len, chunks)]).tolist()
        readers = cast("list[_Read]", direct)

        def read_chunk(row: int) -> _Key:
            index = bisect_right(begins, row) - 1
            return readers[index](row - begins[index])

        return read_chunk
    array = chunks[0] if len(chunks) == 1 else column
    kind = array.type
    while isinstance(kind, (pa.DictionaryType, pa.BaseExtensionType)):
        kind = kind.value_type if isinstance(kind, pa.DictionaryType) else kind.storage_type
    is_text = physical.family(kind) == "text"
    is_float = pa.types.is_floating(kind)
    # By their numbers: as Python's objects they lose their nanoseconds, or need pandas.
    is_temporal = pa.types.is_temporal(kind)

    def read(row: int) -> _Key:
        scalar = array[row]
        while isinstance(scalar, (pa.DictionaryScalar, pa.ExtensionScalar)) and scalar.is_valid:
            scalar = scalar.value
        if scalar is None or not scalar.is_valid:
            return 2, 0
        if is_text:
            return 0, bytes(scalar.as_buffer())
        value = scalar.value if is_temporal else scalar.as_py()
        return (1, 0) if is_float and value != value else (0, value)

    return read


def _direct(array: Any) -> _Read | None:
    """How to read an array from its buffers, five times as fast; None for those with nulls, and for some types."""
    family = physical.family(array.type)
    if array.null_count or isinstance(array, (pa.DictionaryArray, pa.ExtensionArray)):
        return None
    if family == "integers" and not pa.types.is_boolean(array.type):
        numbers: Any = memoryview(physical.integers(array).data)
        return lambda row: (0, numbers[row])
    if family == "floats" and not pa.types.is_float16(array.type):
        floats: Any = memoryview(physical.floats(array).data)
        return lambda row: (0, value) if (value := floats[row]) == value else (1, 0)
    if array.type.id in (pa.large_string().id, pa.large_binary().id):
        offsets = memoryview(np.ndarray((len(array) + 1,), np.int64, array.buffers()[1], 8 * array.offset))
        text = memoryview(array.buffers()[2] or b"")
        return lambda row: (0, bytes(text[offsets[row] : offsets[row + 1]]))
    return None


def _picked(column: Any, chosen: npt.NDArray[np.int64]) -> Any:
    """The values of a column at ascending places `chosen`, as one array of a plain type."""
    found, begin = [], 0
    for chunk in column.chunks:
        end = begin + len(chunk)
        within = chosen[np.searchsorted(chosen, begin) : np.searchsorted(chosen, end)] - begin
        if len(within):
            found.append(_taken(chunk, pa.array(within)))
        begin = end
    return pa.concat_arrays(found) if found else _taken(pa.array([], column.type), pa.array([], pa.int64()))


def _taken(array: Any, chosen: Any) -> Any:
    if isinstance(array, pa.ExtensionArray):
        return _taken(array.storage, chosen)
    if isinstance(array, pa.DictionaryArray):
        return _taken(array.dictionary, array.indices.take(chosen))
    if array.type.id not in _LARGE:
        return array.take(chosen)
    # Arrow takes nothing from views. Casting all of them would read all the text.
    kind = _LARGE[array.type.id]
    null = pa.nulls(1, kind)
    picked = [null if place is None else array.slice(place, 1).cast(kind) for place in chosen.to_pylist()]
    return pa.concat_arrays(picked) if picked else pa.array([], kind)
