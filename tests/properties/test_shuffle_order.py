"""Order, hashes, gathering and ranges agree with Arrow, for all types of keys, however the table is cut into chunks."""

import datetime
import decimal
import string
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lithops_shm.shuffle.gather import gather
from lithops_shm.shuffle.keys import check_keys, hashes
from lithops_shm.shuffle.order import sort_indices
from lithops_shm.shuffle.ranges import ROWS, Keys, Range, bounds, cut, divide, sample

modest = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

# --- Tables of any key types -----------------------------------------------------------------------------------------

numbers = st.floats(width=16) | st.sampled_from([0.0, -0.0, float("nan"), float("inf"), -float("inf")])
letters = st.text(string.ascii_lowercase[:2] + "\0\u00e9\U0001f600", max_size=5)
prefixes = st.sampled_from(["", "a" * 7, "a" * 8, "a" * 9, "a" * 33, "a" * 64, "b" * 70])
texts = st.builds(str.__add__, prefixes, letters) | st.text(max_size=40)
data = texts.map(str.encode) | st.binary(max_size=40)


def decimals(digits: int) -> st.SearchStrategy[decimal.Decimal]:
    most = 10**digits - 1
    return (st.integers(-most, most) | st.integers(-9, 9)).map(lambda number: decimal.Decimal(number).scaleb(-2, WIDE))


def integers(bits: int, unsigned: bool = False) -> st.SearchStrategy[int]:
    least, most = (0, 2**bits - 1) if unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return st.integers(least, most) | st.sampled_from([least, most, 0, 1])


WIDE = decimal.Context(prec=80)
TYPES: dict[Any, st.SearchStrategy[Any]] = {
    pa.null(): st.none(),
    pa.bool_(): st.booleans(),
    pa.int8(): integers(8),
    pa.int32(): integers(32),
    pa.int64(): integers(64),
    pa.uint16(): integers(16, unsigned=True),
    pa.uint64(): integers(64, unsigned=True),
    pa.float16(): numbers.map(np.float16),
    pa.float32(): numbers,
    pa.float64(): numbers | st.floats(),
    pa.decimal32(9, 2): decimals(9),
    pa.decimal64(18, 2): decimals(18),
    pa.decimal128(38, 2): decimals(38),
    pa.decimal256(70, 2): decimals(70),
    pa.date32(): st.dates(),
    pa.date64(): st.dates(),
    pa.time32("ms"): st.times().map(lambda time: time.replace(microsecond=0)),
    pa.time64("ns"): st.times(),
    pa.timestamp("ns", "UTC"): integers(64),
    pa.duration("us"): st.timedeltas(datetime.timedelta(-9999), datetime.timedelta(9999)),
    pa.string(): texts,
    pa.large_string(): texts,
    pa.string_view(): texts,
    pa.binary(): data,
    pa.large_binary(): data,
    pa.binary_view(): data,
    pa.binary(3): st.binary(min_size=3, max_size=3),
    pa.binary(11): st.binary(min_size=11, max_size=11),
    pa.dictionary(pa.int8(), pa.string()): texts,
    pa.dictionary(pa.uint16(), pa.int64()): integers(64),
    pa.dictionary(pa.int32(), pa.float64()): numbers,
}


@st.composite
def columns(draw: st.DrawFn, kind: Any, rows: int) -> Any:
    """A column of chunks, each a slice of something longer, over few values or many."""
    values = draw(st.lists(TYPES[kind], min_size=1, max_size=10))
    if draw(st.booleans()):
        values.append(None)
    random = np.random.default_rng(draw(st.integers(0, 99)))
    edges = np.sort(random.integers(0, rows + 1, random.integers(0, 4)))
    chunks = []
    for begin, end in zip([0, *edges], [*edges, rows], strict=True):
        before, after = random.integers(0, 3, 2)
        items = [values[place] for place in random.integers(0, len(values), before + end - begin + after)]
        chunks.append(array_of(items, kind).slice(before, end - begin))
    return pa.chunked_array(chunks, kind)


def array_of(items: list[Any], kind: Any) -> Any:
    if isinstance(kind, pa.DictionaryType):
        return pa.array(items, kind.value_type).dictionary_encode().cast(kind)
    if kind.id == pa.timestamp("ns").id:
        return pa.array(items, pa.int64()).cast(pa.timestamp("ns")).view(kind)
    return pa.array(items, kind)


@st.composite
def tables(draw: st.DrawFn, most_keys: int = 3) -> Any:
    rows = draw(st.integers(0, 30))
    kinds = draw(st.lists(st.sampled_from(list(TYPES)), min_size=1, max_size=most_keys))
    names = [f"key {index}" for index in range(len(kinds))]
    return pa.table([draw(columns(kind, rows)) for kind in kinds], names=names)


# --- What Arrow says -------------------------------------------------------------------------------------------------


def plain(column: Any) -> Any:
    """The same values in a type that Arrow can sort."""
    kind = column.type
    if isinstance(kind, pa.DictionaryType):
        column = plain(pa.chunked_array([chunk.dictionary_decode() for chunk in column.chunks], kind.value_type))
    elif pa.types.is_decimal(kind):
        column = column.cast(pa.decimal256(76, 2))
    elif pa.types.is_float16(kind):
        column = column.cast(pa.float32())
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind) or kind in (pa.string_view(), pa.binary_view()):
        column = column.cast(pa.large_binary())
    elif pa.types.is_timestamp(kind):
        column = column.cast(pa.int64())
    elif pa.types.is_null(kind):
        column = pa.chunked_array([pa.nulls(len(column), pa.int8())])
    return column


def expected_order(table: Any) -> Any:
    """Arrow's order; by rows at last, which makes it stable."""
    named = pa.table([*map(plain, table.columns), np.arange(table.num_rows)], names=[*table.column_names, "row"])
    return pc.sort_indices(named, sort_keys=[(name, "ascending") for name in named.column_names]).to_numpy()


def keys_of(table: Any) -> list[Any]:
    """For each row something that is equal when the keys are."""
    columns = [plain(column).to_pylist() for column in table.columns]
    return [tuple("NaN" if value != value else value for value in row) for row in zip(*columns, strict=True)]


@modest
@given(tables())
def test_the_order_is_arrows(table: Any) -> None:
    check_keys(table.schema, tuple(table.column_names), ordered=True)
    assert sort_indices(table, table.column_names).tolist() == expected_order(table).tolist()


@modest
@given(tables(), st.data())
def test_gathered_rows_are_the_rows(table: Any, draw: st.DataObject) -> None:
    rows = table.num_rows
    random = np.random.default_rng(draw.draw(st.integers(0, 99)))
    indices = random.integers(0, max(rows, 1), random.integers(0, 2 * rows + 1))
    gathered = gather(table, indices)
    gathered.validate(full=True)
    assert gathered.schema == table.schema
    assert all(column.num_chunks == 1 for column in gathered.columns)
    before = keys_of(table)
    assert keys_of(gathered) == [before[index] for index in indices]


@modest
@given(tables())
def test_equal_keys_have_equal_hashes_and_others_do_not(table: Any) -> None:
    found = hashes(table, table.column_names)
    by_key: dict[Any, int] = {}
    for key, value in zip(keys_of(table), found.tolist(), strict=True):
        assert by_key.setdefault(key, value) == value
    assert len(set(by_key.values())) == len(by_key)


@modest
@given(tables(2), st.integers(1, 6), st.integers(2, 12), st.integers(1, 3))
def test_ranges_cut_where_keys_differ(table: Any, partitions: int, count: int, mappers: int) -> None:
    by = table.column_names
    step = -(-table.num_rows // mappers)
    parts = [table.slice(index * step, step) for index in range(mappers)]
    sorted_parts = [gather(part, sort_indices(part, by)) for part in parts]
    samples = [sample(part, by, count) for part in sorted_parts]
    for part, sampled in zip(sorted_parts, samples, strict=True):
        places = np.cumsum(sampled[ROWS].to_numpy()) - sampled[ROWS].to_numpy()
        assert keys_of(sampled.select(by)) == keys_of(gather(part, places))
        if part.num_rows:
            assert places[0] == 0
            assert len(places) <= count
            assert places[-1] == part.num_rows - 1
            assert pc.sum(sampled[ROWS]).as_py() == part.num_rows
    assert all(
        keys_of(sample(part, by, count, sort_indices(part, by)).select(by)) == keys_of(sampled.select(by))
        for part, sampled in zip(parts, samples, strict=True)
    )
    least, places_in = divide(samples, by, partitions)
    assert [each.tolist() for each in places_in] == [cut(sampled, by, least) for sampled in samples]
    assert keys_of(bounds(samples, by, partitions)) == keys_of(least)
    assert least.num_rows < partitions
    assert len(set(keys_of(least))) == least.num_rows
    assert sort_indices(least, by).tolist() == list(range(least.num_rows))
    seen: dict[Any, int] = {}
    together = []
    cuts = [[0, *cut(part, by, least), part.num_rows] for part in sorted_parts]
    for partition in range(least.num_rows + 1):
        for part, edges in zip(sorted_parts, cuts, strict=True):
            found = Range(Keys(least, by), partition).rows_in(Keys(part, by), 0, part.num_rows)
            assert found == (edges[partition], edges[partition + 1])
            keys = keys_of(part.slice(edges[partition], edges[partition + 1] - edges[partition]))
            assert {seen.setdefault(key, partition) for key in keys} <= {partition}
            together += keys
    whole = gather(table, sort_indices(table, by))
    order = {key: place for place, key in reversed(list(enumerate(keys_of(whole))))}
    ranks = [[order[key] for key, at in seen.items() if at == partition] for partition in range(least.num_rows + 1)]
    assert all(max(left) < min(right) for left, right in pairwise(ranks) if left and right)
    assert len(together) == table.num_rows
