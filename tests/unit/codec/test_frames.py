"""pandas and Polars come back exactly, and their data as views."""

import datetime
import decimal
import enum
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from lithops_shm.codec import decode, decode_with_report, encode
from lithops_shm.errors import NotSerializableError

N = 6000


class Colour(enum.Enum):
    """A value that only pickle can carry."""

    RED = 1


PANDAS_3 = int(pd.__version__.split(".")[0]) >= 3

# What strings are in pandas 3, and the closest to it before.
STR = pd.StringDtype("pyarrow", na_value=np.nan) if PANDAS_3 else pd.StringDtype("pyarrow")


def cycle(*values):
    return [values[i % len(values)] for i in range(N)]


# Name -> values of a column or index. All of N elements.
COLUMNS = {
    "int64": np.arange(N),
    "uint8": np.arange(N).astype("u1"),
    "float16": np.arange(N).astype("f2"),
    "float64": np.array(cycle(1.5, float("nan"), -0.0, float("inf"))),
    "complex": np.arange(N) * 1j,
    "bool": np.array(cycle(True, False)),
    "str": pd.array(cycle("a", None, "long enough to be no inline string"), dtype=STR),
    "object": np.array(cycle(1, "1", None, float("nan"), pd.NA, pd.NaT, 1.0, True, b"1"), dtype=object),
    "object of str": np.array(cycle("a", None, "b"), dtype=object),
    "enum": np.array(cycle(Colour.RED, None), dtype=object),
    "dates": np.array(cycle(datetime.date(2020, 1, 1), None), dtype=object),
    "decimals": np.array(cycle(decimal.Decimal("1.50"), None), dtype=object),
    "lists": pd.Series(cycle([1], None)).to_numpy(),
    "datetime[s]": pd.Series(cycle(0, 1), dtype="i8").astype("M8[s]").array,
    "datetime[ns]": pd.DatetimeIndex(cycle("2020-01-01", None)).as_unit("ns").array,
    "datetime tz": pd.DatetimeIndex(cycle("2020-01-01", None)).tz_localize("Europe/Berlin").array,
    "datetime utc": pd.date_range("2020", periods=N, freq="h", tz="UTC").array,
    "datetime offset": pd.date_range(
        "2020", periods=N, freq="h", tz=datetime.timezone(datetime.timedelta(hours=2))
    ).array,
    "timedelta": pd.to_timedelta(cycle(1, None), unit="s").array,
    "period": pd.period_range("1900", periods=N, freq="M").array,
    "interval": pd.IntervalIndex.from_breaks(np.arange(N + 1), closed="left").array,
    "interval of time": pd.IntervalIndex.from_breaks(pd.date_range("2020", periods=N + 1, tz="UTC")).array,
    "category": pd.Categorical(cycle("b", "a", None), categories=["c", "b", "a"], ordered=True),
    "category of int": pd.Categorical(cycle(3, 1), categories=[1, 2, 3]),
    "category of time": pd.Categorical(cycle(*pd.date_range("2020", periods=3, tz="UTC"))),
    "sparse": pd.arrays.SparseArray(cycle(0.0, 0.0, 1.0), fill_value=0.0),
    "sparse nan": pd.arrays.SparseArray(np.repeat(cycle(np.nan, 1.0), 500)[:N], kind="block"),
    "Int64": pd.array(cycle(1, None), dtype="Int64"),
    "Float32": pd.array(cycle(1.5, None), dtype="Float32"),
    "boolean": pd.array(cycle(True, None), dtype="boolean"),
    "string[python]": pd.array(cycle("a", None), dtype="string[python]"),
    "string[pyarrow]": pd.array(cycle("a", None), dtype="string[pyarrow]"),
    "arrow int": pd.array(cycle(1, None), dtype=pd.ArrowDtype(pa.int32())),
    "arrow string": pd.array(cycle("a", None), dtype=pd.ArrowDtype(pa.string())),
    "arrow timestamp": pd.array(cycle(0, None), dtype=pd.ArrowDtype(pa.timestamp("ms", "Asia/Tokyo"))),
    "arrow decimal": pd.array(cycle(decimal.Decimal("1.25"), None), dtype=pd.ArrowDtype(pa.decimal128(9, 2))),
    "arrow list": pd.array(cycle([1, None], None), dtype=pd.ArrowDtype(pa.list_(pa.int64()))),
    "arrow struct": pd.array(cycle({"a": 1}, None), dtype=pd.ArrowDtype(pa.struct([("a", pa.int8())]))),
    "arrow dictionary": pd.arrays.ArrowExtensionArray(pa.array(cycle("a", None)).dictionary_encode()),
    "arrow chunks": pd.arrays.ArrowExtensionArray(pa.chunked_array([range(N // 2), [], range(N - N // 2)])),
    "arrow no chunks": pd.arrays.ArrowExtensionArray(pa.chunked_array([], pa.int8())),
    "arrow null": pd.arrays.ArrowExtensionArray(pa.chunked_array([pa.nulls(N)])),
}
# Their data are Python objects, of which only copies can be made.
PYTHON = {"object", "object of str", "enum", "dates", "decimals", "lists", "string[python]"}


@pytest.mark.parametrize("name", COLUMNS)
def test_columns(round_trip, stored, name):
    series = pd.Series(COLUMNS[name], name=name, dtype=COLUMNS[name].dtype)
    round_trip(series)
    round_trip(series.iloc[10:20])
    round_trip(series.iloc[:0])
    round_trip(pd.DataFrame({name: series, 1: series}))
    assert decode_with_report(stored(series))[1].zero_copy == (name not in PYTHON)


@pytest.mark.parametrize("name", sorted(COLUMNS.keys() - PYTHON - {"sparse", "sparse nan", "arrow no chunks"}))
def test_a_slice_does_not_carry_its_parent(name):
    series = pd.Series(COLUMNS[name])
    assert encode(series.iloc[100:103]).nbytes < 4096 < encode(series).nbytes or name == "arrow null"


@pytest.mark.parametrize(
    "name", sorted(COLUMNS.keys() - {"lists", "arrow list", "arrow struct", "arrow null", "float16"})
)
def test_indexes(round_trip, name):
    round_trip(pd.Index(COLUMNS[name], name=("a", 1)))
    round_trip(pd.Series(1, index=pd.Index(COLUMNS[name][:5], name=name)))


INDEXES = {
    "range": pd.RangeIndex(3, 30, 9, name="r"),
    "freq": pd.date_range("2020", periods=3, freq="ME", tz="Europe/Berlin", name="t"),
    "business days": pd.bdate_range("2020", periods=3),
    "timedelta freq": pd.timedelta_range(0, periods=3, freq="90min"),
    "multi": pd.MultiIndex.from_product(
        [[1, 2], ["a", None], pd.date_range("2020", periods=2, tz="UTC")], names=["x", None, 3]
    ),
    "multi, unused levels": pd.MultiIndex.from_product([[1, 2], ["a", "b"]])[:1],
    "empty multi": pd.MultiIndex.from_arrays([[], []], names=["a", "b"]),
    "mixed": pd.Index([1, "1", None, 2.5], dtype=object),
    "categorical": pd.CategoricalIndex(["a", "b"], categories=["c", "b", "a"], ordered=True, name="c"),
    "empty": pd.Index([]),
}


@pytest.mark.parametrize("index", INDEXES.values(), ids=INDEXES)
def test_index_metadata(round_trip, index):
    round_trip(index)
    round_trip(pd.DataFrame({"a": range(len(index))}, index=index))
    round_trip(pd.DataFrame([range(len(index))], columns=index))


def with_attributes():
    frame = pd.DataFrame({"a": [1]}).set_flags(allows_duplicate_labels=False)
    frame.attrs = {"units": {"a": "m"}, 1: np.arange(3)}
    return frame


FRAMES = {
    "everything": pd.DataFrame({name: pd.Series(COLUMNS[name]) for name in COLUMNS if name != "arrow no chunks"}),
    "wide": pd.DataFrame(np.arange(5 * N).reshape(N, 5)),
    "wide, F": pd.DataFrame(np.asfortranarray(np.arange(5 * N).reshape(N, 5))),
    "rows of a wide one": pd.DataFrame(np.arange(5 * N).reshape(N, 5)).iloc[7 : N // 2],
    "every second row": pd.DataFrame(np.arange(5 * N).reshape(N, 5)).iloc[::2],
    "interleaved dtypes": pd.DataFrame({i: np.arange(N).astype(kind) for i, kind in enumerate("ldl?dl")}),
    "broadcast": pd.DataFrame(np.broadcast_to(np.arange(3.0), (N, 3))),
    "empty": pd.DataFrame(),
    "no columns": pd.DataFrame(index=pd.date_range("2020", periods=3, name="t")),
    "no rows": pd.DataFrame({"a": pd.Series([], dtype=STR), "b": pd.Series([], dtype="M8[ns]")}),
    "same names": pd.DataFrame([[1, "x", 2.0]], columns=["a", "a", "b"]),
    "mixed names": pd.DataFrame([[1, 2, 3, 4]], columns=[1, "1", None, (1, 2)]),
    "nested names": pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", 1), ("b", "1")], names=["x", 0])),
    "chunks that differ": pd.DataFrame({
        "a": COLUMNS["arrow chunks"],
        "b": COLUMNS["arrow string"],
        "c": COLUMNS["arrow chunks"],
        "d": COLUMNS["str"],
    }),
    "attributes": with_attributes(),
    "frame in attrs": pd.DataFrame({"a": [1]}),
}  # fmt: skip


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_frames(round_trip, frame):
    round_trip(frame)
    round_trip({"x": [frame, frame.columns], "y": frame.index})


@pytest.mark.parametrize("name", ["wide", "wide, F", "every second row", "interleaved dtypes", "chunks that differ"])
def test_frames_are_views(stored, name):
    assert decode_with_report(stored(FRAMES[name]))[1].zero_copy


def test_arrow_columns_keep_their_chunks_and_share_a_stream(round_trip):
    frame = FRAMES["chunks that differ"]
    found = round_trip(frame)
    chunks = [len(found[name].array._pa_array.chunks) for name in frame]
    assert chunks == [3, 1, 3, 1]
    strings = pd.DataFrame({f"c{i}": COLUMNS["str"] for i in range(50)})
    one = encode(strings[["c0"]])
    assert encode(strings.copy()).nbytes < 50 * one.nbytes


def test_writing_to_frames(stored):
    for name in ("wide", "interleaved dtypes"):
        frame = FRAMES[name]
        view = decode(stored(frame))
        with pytest.raises(ValueError, match="read-only"):
            view.iloc[0, 0] = 7
        writable = decode(stored(frame), writable=True)
        writable.iloc[0, 0] = 7
        assert writable.iloc[0, 0] == 7
        assert frame.iloc[0, 0] != 7
    everything = decode(stored(FRAMES["everything"]), writable=True)
    for position in range(everything.shape[1]):
        if everything.columns[position] not in ("sparse", "sparse nan"):  # pandas cannot write to these at all
            everything.iloc[0, position] = everything.iloc[1, position]


def test_views_can_be_computed_with(stored):
    frame = pd.DataFrame({"k": COLUMNS["category"], "s": COLUMNS["str"], "v": np.arange(N), "f": np.arange(N) / 7})
    found = decode(stored(frame))
    pd.testing.assert_frame_equal(
        found.groupby("k", observed=True)[["v", "f"]].sum(), frame.groupby("k", observed=True)[["v", "f"]].sum()
    )
    pd.testing.assert_frame_equal(found.sort_values(["s", "f"]), frame.sort_values(["s", "f"]))
    pd.testing.assert_frame_equal(found.merge(found, on="v"), frame.merge(frame, on="v"))
    found["new"] = found["v"] * 2
    found["v"] = found["v"] + 1
    assert found["v"].iloc[0] == 1


class Labelled(pd.DataFrame):
    """A subclass with a property of its own that pandas carries along."""

    _metadata = ["label"]  # noqa: RUF012  # as pandas wants it

    @property
    def _constructor(self):
        return Labelled


def test_subclasses(stored):
    frame = Labelled({"a": COLUMNS["str"], "b": COLUMNS["arrow int"]})
    frame.label = "kept"
    found = decode(stored(frame))
    assert type(found) is Labelled
    assert found.label == "kept"


POLARS = {
    "int8": pl.Series(cycle(1, None), dtype=pl.Int8),
    "sorted": pl.Series(range(N)),
    "sorted down": pl.Series(range(N)).sort(descending=True),
    "float": pl.Series(cycle(1.5, None, float("nan"))),
    "bool": pl.Series(cycle(True, None)),
    "string": pl.Series(cycle("a", None, "long enough to be no inline string")),
    "binary": pl.Series(cycle(b"\0", None)),
    "date": pl.Series(cycle(datetime.date(2020, 1, 1), None)),
    "datetime": pl.Series(cycle(datetime.datetime(2020, 1, 1), None)).dt.replace_time_zone("Europe/Berlin"),  # noqa: DTZ001
    "duration": pl.Series(cycle(datetime.timedelta(1), None)),
    "time": pl.Series(cycle(datetime.time(1), None)),
    "null": pl.Series([None] * N),
    "decimal": pl.Series(cycle(decimal.Decimal("1.25"), None), dtype=pl.Decimal(38, 2)),
    "categorical": pl.Series(cycle("a", None, "b"), dtype=pl.Categorical),
    "enum": pl.Series(cycle("a", None), dtype=pl.Enum(["b", "a"])),
    "list": pl.Series(cycle([1, None], None, [])),
    "list of strings": pl.Series(cycle(["a", None], None, [])),
    "array": pl.Series(cycle([1, 2], None), dtype=pl.Array(pl.Int64, 2)),
    "struct": pl.Series(cycle({"a": 1, "b": "x"}, None)),
    "int128": pl.Series(cycle(1, None), dtype=pl.Int128),
}


@pytest.mark.parametrize("name", POLARS)
def test_polars(round_trip, name):
    series = POLARS[name].alias(name)
    for part in (series, series[10:20], series[:0], series.rename("")):
        round_trip(part)
        # Polars pickles 128-bit integers by itself, and before version 2 it then gives columns without a name another.
        if part.name or name != "int128":
            round_trip(part.to_frame())
    assert encode(series).nbytes < 1.5 * series.estimated_size() + 16 * N + 1024


def test_polars_frames(round_trip, stored):
    frame = pl.DataFrame({name: POLARS[name] for name in POLARS if name != "int128"})
    round_trip(frame)
    round_trip(pl.concat([frame, frame], rechunk=False))
    round_trip(pl.DataFrame())
    round_trip({"same": frame, "again": frame})
    # Arrow decimals are 16-byte integers, Polars wants them at multiples of 16, and Arrow's stream aligns them to 8.
    assert decode_with_report(stored(frame.drop("decimal")))[1].viewed_bytes > 0.9 * frame.estimated_size()


def test_polars_numbers_and_strings_are_views(stored):
    frame = pl.DataFrame({name: POLARS[name] for name in ("sorted", "string", "date", "float")})
    assert decode_with_report(stored(frame))[1].zero_copy


def test_a_slice_of_polars_strings_does_not_carry_its_parent():
    frame = pl.DataFrame({"s": [f"a string of some length {i}" for i in range(20 * N)], "i": range(20 * N)})
    assert encode(frame[N : 3 * N]).nbytes < 1.5 * frame[N : 3 * N].estimated_size()
    assert encode(frame[100:103]).nbytes < 4096


def test_polars_objects_are_refused_by_name():
    with pytest.raises(NotSerializableError, match=r"polars\.\S*Series: .*Object"):
        encode(pl.Series([object()]))
    with pytest.raises(NotSerializableError, match="Object"):
        encode(pl.DataFrame({"o": [object()] * N}))


def test_subclasses_of_polars_frames_are_left_to_polars_even_without_pandas(tmp_path):
    (tmp_path / "polars_mine.py").write_text("import polars\nclass DataFrame(polars.DataFrame): pass\n")
    script = """if True:
        import sys
        from polars_mine import DataFrame
        from lithops_shm.codec import decode, encode
        found = decode(b"".join(encode(DataFrame({"a": range(100_000)})).parts))
        assert "pandas" not in sys.modules
        print(type(found).__module__, len(found))"""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")])),
    }
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == ["polars_mine", "100000"]


def test_a_reader_that_has_not_imported_pandas(stored, tmp_path):
    (tmp_path / "frame").write_bytes(stored(FRAMES["everything"][["int64", "str", "category"]]))
    script = "import sys; from lithops_shm.codec import decode; print(len(decode(open(sys.argv[1], 'rb').read())))"
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "frame"], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) == N
