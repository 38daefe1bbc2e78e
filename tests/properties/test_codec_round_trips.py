"""Whatever is stored comes back identical: as a view, and as a copy."""

import datetime
import decimal
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lithops_shm.codec import decode, encode

# As a path: in pytest's importlib mode tests cannot import one another.
_HELPER = Path(__file__).parents[1] / "unit" / "codec" / "identical.py"
assert_identical = runpy.run_path(str(_HELPER))["assert_identical"]

modest = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def check(obj: Any) -> None:
    encoded = encode(obj)
    data = b"".join(encoded.parts)
    assert len(data) == encoded.nbytes
    assert_identical(obj, decode(data))
    assert_identical(obj, decode(data, writable=True))


# --- NumPy: any dtype, any layout ------------------------------------------------------------------------------------

plain = st.one_of(
    hnp.scalar_dtypes(),
    hnp.unicode_string_dtypes(),
    hnp.byte_string_dtypes(),
    st.sampled_from([np.dtype(name) for name in ("g", "G", "V0", "V5", "S0", "U0")]),
)
dtypes = plain | hnp.array_dtypes(plain)


@st.composite
def arrays(draw: st.DrawFn) -> np.ndarray:
    """An array of random bytes, seen through random transposing, slicing, reversing and broadcasting."""
    dtype = draw(dtypes)
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=9))
    count = int(np.prod(shape, dtype=int))
    if dtype.kind in "bOSU" or dtype.names or not dtype.itemsize:
        array = np.zeros(shape, dtype)  # not every pattern of bits is a value
    else:
        seed = draw(st.integers(0, 1000))
        array = np.random.default_rng(seed).bytes(count * dtype.itemsize)
        array = np.frombuffer(array, dtype).reshape(shape) if count else np.zeros(shape, dtype)
    array = array.transpose(draw(st.permutations(range(array.ndim))))
    array = array[(..., *(slice(None, None, draw(st.sampled_from([1, 1, 2, -1, -3]))) for _ in array.shape))]
    if draw(st.booleans()):
        array = np.broadcast_to(array, (draw(st.integers(0, 3)), *array.shape))
    if draw(st.booleans()):
        array = np.asfortranarray(array) if array.ndim else array
    return array


@modest
@given(arrays())
def test_arrays(array: np.ndarray) -> None:
    check(array)


@modest
@given(arrays())
def test_writable_arrays_own_every_element(array: np.ndarray) -> None:
    found = decode(b"".join(encode(array).parts), writable=True)
    assert found.flags.writeable
    if found.size and found.dtype.kind in "iuf":
        found[...] = np.arange(found.size, dtype="i8").astype(found.dtype).reshape(found.shape)
        assert (found.ravel() == np.arange(found.size, dtype="i8").astype(found.dtype)).all()


# --- Arrow: any type, nested ------------------------------------------------------------------------------------------

_EPOCH = datetime.datetime(1970, 1, 1)  # noqa: DTZ001
_SIMPLE: list[tuple[pa.DataType, st.SearchStrategy]] = [
    (pa.null(), st.none()),
    (pa.bool_(), st.booleans()),
    (pa.int8(), st.integers(-128, 127)),
    (pa.uint16(), st.integers(0, 65535)),
    (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    (pa.float32(), st.floats(width=32)),
    (pa.float64(), st.floats()),
    (pa.string(), st.text(max_size=20)),
    (pa.large_string(), st.text(max_size=20)),
    (pa.string_view(), st.text(max_size=20)),
    (pa.binary(), st.binary(max_size=20)),
    (pa.binary_view(), st.binary(max_size=20)),
    (pa.binary(3), st.binary(min_size=3, max_size=3)),
    (pa.date32(), st.dates()),
    (pa.timestamp("us"), st.datetimes()),
    (pa.timestamp("s", "Europe/Berlin"), st.integers(0, 10**9)),
    (pa.duration("ms"), st.integers(-(10**12), 10**12)),
    (pa.time64("us"), st.times()),
    (pa.decimal128(12, 3), st.decimals(-(10**6), 10**6, places=3)),
    (pa.month_day_nano_interval(), st.tuples(*[st.integers(-100, 100)] * 3)),
]  # fmt: skip


def _nested(inner: st.SearchStrategy) -> st.SearchStrategy:
    def lists(one: tuple[pa.DataType, st.SearchStrategy]) -> list[tuple[pa.DataType, st.SearchStrategy]]:
        kind, values = one
        several = st.lists(st.none() | values, max_size=4)
        field = pa.field("item", kind, metadata={"m": "x"})
        pair = st.lists(st.none() | values, min_size=2, max_size=2)
        entries = st.lists(st.tuples(st.text(max_size=3), st.none() | values), max_size=3)
        struct = pa.struct([pa.field("a", kind), pa.field("b", pa.int8(), metadata={"m": "y"})])
        return [
            (pa.list_(field), several),
            (pa.large_list(field), several),
            (pa.list_view(kind), several),
            (pa.list_(kind, 2), pair),
            (pa.map_(pa.string(), kind), entries),
            (struct, st.fixed_dictionaries({"a": st.none() | values, "b": st.none() | st.integers(0, 9)})),
        ]

    return inner.flatmap(lambda one: st.sampled_from(lists(one)))


arrow_types = st.recursive(st.sampled_from(_SIMPLE), _nested, max_leaves=3)


@st.composite
def arrow_arrays(draw: st.DrawFn) -> pa.Array:
    """An array with nulls of any type; perhaps dictionary or run-end encoded; perhaps a slice."""
    kind, values = draw(arrow_types)
    array = pa.array(draw(st.lists(st.none() | values, max_size=20)), kind)
    if kind in (pa.string(), pa.int64(), pa.large_string()):
        encoding = draw(st.sampled_from(["", "dictionary", "runs"]))
        if encoding:
            array = array.dictionary_encode() if encoding == "dictionary" else pa.compute.run_end_encode(array)
    start = draw(st.integers(0, len(array)))
    return array.slice(start, draw(st.integers(0, len(array) - start)))


@modest
@given(arrow_arrays())
def test_arrow_arrays(array: pa.Array) -> None:
    check(array)
    check([array])


@modest
@given(st.lists(arrow_arrays(), max_size=4), st.data())
def test_arrow_tables(arrays: list[pa.Array], data: st.DataObject) -> None:
    length = min(map(len, arrays), default=0)
    cuts = sorted(data.draw(st.lists(st.integers(0, length), max_size=3)))
    columns = [
        pa.chunked_array([array.slice(a, b - a) for a, b in zip([0, *cuts], [*cuts, length], strict=True)])
        for array in arrays
    ]
    fields = [
        pa.field(data.draw(st.text(max_size=3)), array.type, metadata=data.draw(metadata)) for array in arrays
    ]  # fmt: skip
    schema = pa.schema(fields, metadata=data.draw(metadata))
    table = pa.Table.from_arrays(columns, schema=schema)
    check(table)
    check(table.slice(length // 3, length // 2))
    check({"batches": table.to_batches(), "columns": table.columns})


metadata = st.none() | st.dictionaries(st.binary(max_size=5), st.binary(max_size=5), min_size=1, max_size=3)


# --- pandas: any columns, any index -----------------------------------------------------------------------------------

_NAN = float("nan")
_COLUMNS: list[tuple[Any, st.SearchStrategy]] = [
    ("int64", st.integers(-(2**63), 2**63 - 1)),
    ("uint8", st.integers(0, 255)),
    ("float64", st.floats()),
    ("float32", st.floats(width=32)),
    ("complex128", st.complex_numbers()),
    ("bool", st.booleans()),
    ("M8[ns]", st.integers(0, 10**15)),
    ("M8[s]", st.integers(0, 10**9)),
    ("m8[ms]", st.integers(0, 10**9)),
    ("datetime64[us, Asia/Tokyo]", st.integers(0, 10**15)),
    ("str", st.none() | st.text(max_size=20)),
    ("string[python]", st.none() | st.text(max_size=20)),
    ("string[pyarrow]", st.none() | st.text(max_size=20)),
    ("Int16", st.none() | st.integers(-100, 100)),
    ("UInt64", st.none() | st.integers(0, 2**64 - 1)),
    ("Float64", st.none() | st.floats(allow_nan=False)),
    ("boolean", st.none() | st.booleans()),
    ("category", st.none() | st.sampled_from(["a", "b", "c"])),
    (pd.CategoricalDtype([3, 2, 1], ordered=True), st.none() | st.sampled_from([1, 2])),
    (pd.PeriodDtype("D"), st.integers(0, 9999).map(lambda day: pd.Period(ordinal=day, freq="D"))),
    (pd.IntervalDtype("int64", "both"), st.integers(0, 99).map(lambda i: pd.Interval(i, i + 1, "both"))),
    (pd.SparseDtype("float64", 0.0), st.sampled_from([0.0, 0.0, 1.5])),
    (pd.ArrowDtype(pa.string()), st.none() | st.text(max_size=20)),
    (pd.ArrowDtype(pa.int32()), st.none() | st.integers(0, 9)),
    (pd.ArrowDtype(pa.timestamp("ns", "UTC")), st.none() | st.integers(0, 10**15)),
    (pd.ArrowDtype(pa.list_(pa.int8())), st.none() | st.lists(st.integers(0, 9), max_size=3)),
    ("object", st.sampled_from([1, "1", 1.0, True, None, _NAN, pd.NA, pd.NaT, b"1", decimal.Decimal(1), (1, "1")])),
]  # fmt: skip


@st.composite
def series(draw: st.DrawFn, length: int) -> pd.Series:
    dtype, values = draw(st.sampled_from(_COLUMNS))
    column = draw(st.lists(values, min_size=length, max_size=length))
    if dtype == "object":
        found = np.empty(length, object)
        found[:] = column
        return pd.Series(found, dtype=object)
    return pd.Series(pd.array(column, dtype=dtype) if not str(dtype).startswith("Sparse") else column, dtype=dtype)


labels = st.none() | st.text(max_size=3) | st.integers(0, 3) | st.tuples(st.integers(0, 3), st.text(max_size=2))


@st.composite
def indexes(draw: st.DrawFn, length: int) -> pd.Index:
    name = draw(labels)
    kind = draw(st.sampled_from(["range", "dates", "multi", "values"]))
    if kind == "range":
        start, step = draw(st.integers(-9, 9)), draw(st.sampled_from([1, 2, -3]))
        return pd.RangeIndex(start, start + step * length, step, name=name)
    if kind == "dates":
        freq, tz = draw(st.sampled_from(["D", "h", "MS", "B"])), draw(st.sampled_from([None, "UTC", "Europe/Berlin"]))
        return pd.date_range("2020-01-01", periods=length, freq=freq, tz=tz, name=name)
    if kind == "multi":
        levels = [draw(series(length)) for _ in range(draw(st.integers(1, 3)))]
        levels = [level for level in levels if level.dtype.kind in "iufbM"] or [pd.Series(range(length))]
        return pd.MultiIndex.from_arrays(levels, names=[draw(labels) for _ in levels])
    return pd.Index(draw(series(length)), name=name)


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    length = draw(st.integers(0, 12))
    columns = [draw(series(length)) for _ in range(draw(st.integers(0, 6)))]
    index = draw(indexes(length))
    frame = pd.concat(columns, axis=1) if columns else pd.DataFrame(index=range(length))
    frame.index = index
    names = [draw(labels) for _ in columns]
    frame.columns = pd.Index(names, dtype=object, tupleize_cols=False, name=draw(labels))
    frame.attrs = draw(st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=3), max_size=2))
    if draw(st.booleans()) and isinstance(index, pd.RangeIndex) and frame.columns.is_unique:
        frame = frame.set_flags(allows_duplicate_labels=False)
    start = draw(st.integers(0, length))
    return frame.iloc[start : draw(st.integers(start, length)) : draw(st.sampled_from([1, 1, 2]))]


@modest
@given(frames())
def test_frames(frame: pd.DataFrame) -> None:
    check(frame)


@modest
@given(st.integers(0, 12).flatmap(lambda length: st.tuples(series(length), indexes(length))))
def test_series_and_indexes(parts: tuple[pd.Series, pd.Index]) -> None:
    values, index = parts
    values.index = index
    check(values)
    check(index)
    check(values.iloc[1:3])


# --- Polars, and Python around all of it ------------------------------------------------------------------------------

_POLARS = [
    pl.Int8, pl.UInt64, pl.Float32, pl.Float64, pl.Boolean, pl.String, pl.Binary, pl.Date, pl.Time, pl.Null,
    pl.Datetime("ms", "UTC"), pl.Duration("ns"), pl.Categorical, pl.Decimal(12, 2), pl.Enum(["a", "b"]),
    pl.List(pl.String), pl.Struct({"a": pl.Int8, "b": pl.String}), pl.List(pl.List(pl.Int16)), pl.Array(pl.Int32, 2),
]  # fmt: skip


@modest
@given(st.data(), st.lists(st.sampled_from(_POLARS), max_size=4), st.sampled_from([1, 3000]))
def test_polars(data: st.DataObject, kinds: list[Any], repeat: int) -> None:
    from polars.testing.parametric import series as polars_series

    length = data.draw(st.integers(0, 10))
    columns = [
        data.draw(polars_series(name=f"c{i}", dtype=kind, min_size=length, max_size=length, allow_chunks=False))
        for i, kind in enumerate(kinds)
    ]
    frame = pl.DataFrame(columns)
    if repeat > 1:  # past the size up to which Polars pickles by itself
        frame = pl.concat([frame] * repeat, rechunk=data.draw(st.booleans()) or length * repeat > 100)
    check(frame)
    check(frame[1 : frame.height // 2])


python = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | arrays() | arrow_arrays(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
        | st.tuples(inner, inner)
    ),
    max_leaves=6,
)


@modest
@given(python)
def test_nested_objects(obj: Any) -> None:
    check(obj)
