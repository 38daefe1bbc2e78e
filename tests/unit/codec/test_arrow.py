"""Arrow data comes back exactly, as views, and slices do not bring their parents."""

import datetime
import decimal

import numpy as np
import pyarrow as pa
import pytest

from lithops_shm.codec import decode, decode_with_report, encode
from lithops_shm.errors import NotSerializableError

N = 4000
STRINGS = [f"a string of some length {i}" if i % 7 else None for i in range(N)]
PAIRS = [[i, None] if i % 5 else None for i in range(N)]

ARRAYS = {
    "bool": pa.array([i % 3 == 0 if i % 5 else None for i in range(N)]),
    "int8": pa.array([i % 100 for i in range(N)], pa.int8()),
    "int64": pa.array([i if i % 3 else None for i in range(N)]),
    "half": pa.array([np.float16(1.5)] * N, pa.float16()),
    "double": pa.array([float("nan") if i % 2 else None if i % 3 else -0.0 for i in range(N)]),
    "string": pa.array(STRINGS),
    "large_string": pa.array(STRINGS, pa.large_string()),
    "string_view": pa.array(STRINGS, pa.string_view()),
    "binary": pa.array([b"\0" * (i % 4) for i in range(N)]),
    "binary_view": pa.array([b"\0\xff" * i for i in range(40)] * (N // 40), pa.binary_view()),
    "fixed binary": pa.array([b"abc"] * N, pa.binary(3)),
    "date": pa.array([datetime.date(2020, 1, 1)] * N),
    "time": pa.array([datetime.time(1, 2, 3)] * N, pa.time32("s")),
    "timestamp": pa.array([i if i % 4 else None for i in range(N)], pa.timestamp("ns", "Europe/Berlin")),
    "duration": pa.array(range(N), pa.duration("us")),
    "interval": pa.array([(1, 2, 3)] * N, pa.month_day_nano_interval()),
    "decimal": pa.array([decimal.Decimal(i) / 100 for i in range(N)], pa.decimal128(20, 2)),
    "decimal256": pa.array([decimal.Decimal(i) for i in range(N)], pa.decimal256(60, 0)),
    "null": pa.nulls(N),
    "list": pa.array(PAIRS, pa.list_(pa.int64())),
    "large_list": pa.array(PAIRS, pa.large_list(pa.field("x", pa.int16(), metadata={"k": "v"}))),
    "list of not null": pa.array([[1]] * N, pa.list_(pa.field("item", pa.int8(), nullable=False))),
    "list_view": pa.array(PAIRS, pa.list_view(pa.int64())),
    "large_list_view": pa.array(PAIRS, pa.large_list_view(pa.int64())),
    "fixed_size_list": pa.array([[i, 1] for i in range(N)], pa.list_(pa.int8() if N < 128 else pa.int32(), 2)),
    "struct": pa.array([{"a": i, "b": str(i)} if i % 3 else None for i in range(N)]),
    "map": pa.array([[("k", i)] for i in range(N)], pa.map_(pa.string(), pa.int64())),
    "dictionary": pa.array(STRINGS).dictionary_encode(),
    "ordered dictionary": pa.DictionaryArray.from_arrays(pa.array([0, 1, None] * N, "i1"), ["x", "y"], ordered=True),
    "dictionary in list": pa.ListArray.from_arrays(list(range(N + 1)), pa.array(STRINGS).dictionary_encode()),
    "run ends": pa.RunEndEncodedArray.from_arrays(pa.array(range(1, N + 1), pa.int32()), pa.array(range(N))),
    "dense union": pa.UnionArray.from_dense(
        pa.array([i % 2 for i in range(N)], pa.int8()),
        pa.array([i // 2 for i in range(N)], pa.int32()),
        [pa.array(range(N)), pa.array([str(i) for i in range(N)])],
    ),
    "sparse union": pa.UnionArray.from_sparse(
        pa.array([i % 2 for i in range(N)], pa.int8()), [pa.array(range(N)), pa.array([str(i) for i in range(N)])]
    ),
    "tensor": pa.FixedShapeTensorArray.from_storage(
        pa.fixed_shape_tensor(pa.int32(), [2]), pa.array([[1, 2]] * N, pa.list_(pa.int32(), 2))
    ),
}  # fmt: skip


if hasattr(pa, "uuid"):  # since pyarrow 18
    ARRAYS["uuid"] = pa.array([i.to_bytes(16, "big") for i in range(N)], pa.uuid())


@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS)
def test_arrays(round_trip, stored, array):
    for part in (array, array[:0], array[1001:1010], array[:9], array[-1:]):
        assert encode(part).codec == "arrow"
        round_trip(part)
        round_trip({"inside": part})
    assert decode_with_report(stored(array))[1].zero_copy


def can_compact_views() -> bool:
    """Whether this pyarrow casts string views, which is how they are compacted."""
    try:
        ARRAYS["string_view"].cast(pa.large_string()).cast(pa.string_view())
    except pa.ArrowNotImplementedError:
        return False
    return True


# Of a slice of 9 of 4,000 elements, what is stored besides the 9: whole dictionaries, the start of a dense union.
UNTRIMMED = {"dictionary", "dictionary in list", "dense union"}
if not can_compact_views():
    UNTRIMMED |= {"string_view", "binary_view"}


@pytest.mark.parametrize("name", sorted(ARRAYS.keys() - UNTRIMMED - {"null"}))
@pytest.mark.parametrize("start", [0, 3001])
def test_a_slice_does_not_carry_its_parent(name, start):
    array = ARRAYS[name].slice(start, 9)
    for wrapped in (array, pa.chunked_array([array]), pa.table({"a": array}), [array]):
        assert encode(wrapped).nbytes < 4096


def test_tables(round_trip, stored):
    fields = [pa.field(name, array.type, metadata={"of": name}) for name, array in ARRAYS.items()]
    columns = [array[:3000] for array in ARRAYS.values()]
    table = pa.Table.from_arrays(columns, schema=pa.schema(fields, metadata={"origin": b"\xff\0"}))
    assert round_trip(table).schema.metadata == {b"origin": b"\xff\0"}
    round_trip(table.to_batches()[0])
    round_trip(pa.concat_tables([table[:7], table[100:103], table[5:5]]))
    assert decode_with_report(stored(table))[1].zero_copy


EDGES = {
    "no columns": pa.table({}),
    "rows but no columns": pa.table({"a": range(3)}).select([]),
    "no rows": pa.table({"a": pa.array([], pa.string())}),
    "no chunks": pa.table({"a": pa.chunked_array([], pa.string_view())}),
    "same names": pa.Table.from_arrays([pa.array([1]), pa.array(["x"])], names=["a", "a"]),
    "not null": pa.table([pa.array([1])], schema=pa.schema([pa.field("a", pa.int64(), nullable=False)])),
    "batch without columns": pa.RecordBatch.from_arrays([], names=[]),
    "null": pa.table({"a": pa.nulls(3)}),
}


@pytest.mark.parametrize("data", EDGES.values(), ids=EDGES)
def test_edges(round_trip, data):
    round_trip(data)


def test_chunked_arrays_keep_their_chunks(round_trip):
    for chunks in ([], [[]], [[], [1], [], [2, 3]]):
        chunked = pa.chunked_array(chunks, pa.int64())
        assert list(map(len, round_trip(chunked).chunks)) == list(map(len, chunks))


def test_dictionaries_may_differ_between_chunks(round_trip):
    chunks = [pa.array(words, pa.string()).dictionary_encode() for words in (["a", "b"], ["c"], ["a"], [None])]
    chunked = pa.chunked_array(chunks)
    found = round_trip(chunked)
    assert [chunk.dictionary.to_pylist() for chunk in found.chunks] == [["a", "b"], ["c"], ["a"], []]
    round_trip(pa.table({"d": chunked}))
    round_trip(pa.chunked_array([pa.ListArray.from_arrays([0, len(chunk)], chunk) for chunk in chunks]))


def test_views_are_immutable(stored):
    found = decode(stored(ARRAYS["int64"]))
    assert not any(buffer.is_mutable for buffer in found.buffers())


class Celsius(pa.ExtensionType):
    """A type whose class only the writer may have registered."""

    def __init__(self) -> None:
        super().__init__(pa.float64(), "lithops-shm.celsius")

    def __arrow_ext_serialize__(self) -> bytes:
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type: pa.DataType, serialized: bytes) -> "Celsius":
        return cls()


def test_extension_types_defined_in_python_go_by_pickle(round_trip, stored):
    array = pa.ExtensionArray.from_storage(Celsius(), pa.array([float(i) for i in range(N)]))
    inside = pa.StructArray.from_arrays([array], fields=[pa.field("t", Celsius())])
    for data in (
        array,
        array[10:20],
        pa.chunked_array([array, array[:3]]),
        pa.table({"t": array, "i": range(N)}),
        inside,
    ):
        assert encode(data).codec == "pickle"
        round_trip(data)
    assert decode_with_report(stored(pa.table({"t": array})))[1].zero_copy
    assert encode(array[10:20]).nbytes < 4096
    with pytest.raises(NotSerializableError, match="defined in Python"):
        encode(array, codec="arrow")


@pytest.mark.skipif(not can_compact_views(), reason="this pyarrow cannot cast string views")
def test_slices_of_string_views_in_tables_are_compacted(round_trip):
    table = pa.table({"a": pa.chunked_array([ARRAYS["string_view"], ARRAYS["string_view"]]), "b": range(2 * N)})
    round_trip(table[10:20])
    assert encode(table[10:20]).nbytes < 4096
    assert encode(table).nbytes < 1.1 * table.nbytes


def test_data_that_is_not_arrow_is_refused_by_name():
    with pytest.raises(NotSerializableError, match=r"a dict: codec 'arrow' takes pyarrow Table.*codec='auto'"):
        encode({}, codec="arrow")


def test_many_chunks_are_few_parts():
    table = pa.concat_tables([pa.table({"a": range(10), "b": ["x"] * 10})] * 500)
    assert len(encode(table).parts) < 5
