"""What gathering makes of each column, in memory of its own and where it is to be."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lithops_shm import codec
from lithops_shm.config import StoreSettings
from lithops_shm.shuffle import gather as gathering
from lithops_shm.shuffle.gather import Gatherer, gather
from lithops_shm.store import Store


def of_seed(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


VALUES: dict[str, Any] = {
    "one width": pa.array([f"{number:010}" for number in range(100)]),
    "one width, large": pa.array([f"{number:010}" for number in range(100)], pa.large_string()),
    "widths": pa.array(["x" * number for number in range(100)], pa.large_string()),
    "nulls": pa.array([None if number % 3 else str(number) for number in range(100)], pa.large_string()),
    "all null": pa.array([None] * 100, pa.string()),
    "empty": pa.array([""] * 100),
    "binary": pa.array([bytes(number) for number in range(100)]),
    "views": pa.array([f"view {number}" * 3 for number in range(100)], pa.string_view()),
    "binary views": pa.array([None if number == 5 else b"v" * number for number in range(100)], pa.binary_view()),
    "fixed": pa.array([b"abc"] * 100, pa.binary(3)),
    "booleans": pa.array([number % 3 == 0 for number in range(100)]),
    "dictionary": pa.array([f"{number % 7}" for number in range(100)]).dictionary_encode(),
    "lists": pa.array([[number, None] for number in range(100)]),
    "structs": pa.array([{"x": number, "y": str(number)} for number in range(100)]),
    "uuids": pa.ExtensionArray.from_storage(
        pa.uuid(), pa.array([bytes([number]) * 16 for number in range(100)], pa.binary(16))
    ),
    "null": pa.nulls(100),
    "integers": pa.array(range(100), pa.int16()),
    "integers, some missing": pa.array([None if number % 7 == 0 else number for number in range(100)]),
    "floats": pa.array([number / 7 for number in range(100)]),
    "times": pa.array(range(100), pa.timestamp("ns", "UTC")),
    "decimals": pa.array([None if number == 9 else number for number in range(100)]).cast(pa.decimal128(30, 2)),
    "nothing, fixed": pa.array([b""] * 100, pa.binary(0)),
    "large binary": pa.array([bytes(number % 9) for number in range(100)], pa.large_binary()),
}


@pytest.mark.parametrize("chunks", [1, 3])
@pytest.mark.parametrize("name", VALUES)
def test_columns_of_all_types_are_gathered(name: str, chunks: int) -> None:
    array = VALUES[name]
    parts = [array.slice(5 + index * 30, 30) for index in range(chunks)]
    schema = pa.schema([pa.field("v", array.type, metadata={"of": "field"})], metadata={"of": "schema"})
    table = pa.table([pa.chunked_array(parts, array.type)], schema=schema)
    indices = of_seed().integers(0, table.num_rows, 200)
    found = gather(table, indices)
    found.validate(full=True)
    assert found.schema.equals(schema, check_metadata=True)
    values = array.slice(5, 30 * chunks).to_pylist()
    assert found.column(0).to_pylist() == [values[index] for index in indices]
    assert found.column(0).num_chunks == 1


def test_dictionaries_of_chunks_are_unified() -> None:
    chunks = [pa.array(["a", "b"]).dictionary_encode(), pa.array(["c", "b"]).dictionary_encode()]
    found = gather(pa.table({"k": pa.chunked_array(chunks)}), np.array([3, 2, 1, 0]))
    assert found.column(0).to_pylist() == ["b", "c", "b", "a"]
    assert found.column(0).num_chunks == 1


def test_gathered_views_do_not_hold_their_parents() -> None:
    views = pa.array(["x" * 100] * 1000, pa.string_view())
    found = gather(pa.table({"v": views}), np.array([5, 6])).column(0).chunk(0)
    assert sum(buffer.size for buffer in found.buffers() if buffer is not None) < 1000


def test_a_copy_is_gathered() -> None:
    data = np.frombuffer(bytearray(b"aabbcc"), np.uint8)
    array = pa.StringArray.from_buffers(3, pa.py_buffer(np.array([0, 2, 4, 6], np.int32)), pa.py_buffer(data))
    found = gather(pa.table({"k": array}), np.arange(3))
    data[:] = ord("z")
    assert found.column(0).to_pylist() == ["aa", "bb", "cc"]


def test_no_chunks_and_no_rows_are_gathered() -> None:
    table = pa.schema([("s", pa.string()), ("v", pa.string_view()), ("u", pa.uuid()), ("n", pa.int64())]).empty_table()
    assert gather(table, np.empty(0, np.int64)).equals(table)
    missing = pa.table(
        {"s": pa.chunked_array([], pa.string()), "d": pa.chunked_array([], pa.dictionary(pa.int8(), pa.string()))}
    )
    assert gather(missing, np.empty(0, np.int64)).num_rows == 0


def test_indices_outside_are_refused() -> None:
    table = pa.table({"s": ["aa", "bb"]})
    with pytest.raises(IndexError):
        gather(table, np.array([2]))


@pytest.mark.parametrize("chunks", [1, 3])
@pytest.mark.parametrize("name", VALUES)
def test_columns_of_all_types_are_made_where_they_are_to_be(
    name: str, chunks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "_BLOCK_BYTES", 10_000)
    array = VALUES[name]
    parts = [array.slice(5 + index * 30, 30) for index in range(chunks)]
    table = pa.table({"v": pa.chunked_array(parts, array.type), "n": pa.array(range(30 * chunks))})
    gatherer = Gatherer(table)
    for rows in (1, 200, 40_000):
        indices = of_seed(rows).integers(0, table.num_rows, rows)
        made = gatherer.at(indices)
        target = memoryview(bytearray(b"\xff" * made.nbytes))
        made.write(target)
        found = codec.decode(target)
        found.validate(full=True)
        assert found.equals(gather(table, indices))
        assert b"".join(made) == target
    assert isinstance(found, pa.Table)


def test_only_small_buffers_are_made_before_they_have_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    table = pa.table({"n": np.arange(100_000), "s": pa.array([f"{n:08}" for n in range(100_000)], pa.large_string())})
    filled: list[int] = []
    fill = gathering._Fixed._fill

    def counted(self: Any, target: memoryview, rows: Any) -> None:
        filled.append(target.nbytes)
        fill(self, target, rows)

    monkeypatch.setattr(gathering._Fixed, "_fill", counted)
    made = Gatherer(table).at(np.arange(100_000)[::-1])
    assert filled == []
    made.write(memoryview(bytearray(made.nbytes)))
    assert filled == [800_000, 800_000]


def test_a_buffer_that_arrow_does_not_take_as_it_is_would_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    table = pa.table({"n": np.arange(100_000)})
    encode = codec.encode
    monkeypatch.setattr(
        codec, "encode", lambda data, codec: encode(pa.table({"n": data["n"].to_numpy().copy()}), codec=codec)
    )
    with pytest.raises(RuntimeError, match="1 buffers"):
        Gatherer(table).at(np.arange(100_000))


@pytest.mark.parametrize("budget", [None, "1 MiB"])
def test_rows_are_made_in_a_segment_or_go_to_disk(budget: str | None, shm_directory: Path, tmp_path: Path) -> None:
    section = {"directory": str(shm_directory), "spill_directory": str(tmp_path / "spill")}
    table = pa.table({"n": np.arange(1_000_000), "s": pa.array(["x" * (n % 9) for n in range(1_000_000)])})
    indices = of_seed().permutation(1_000_000)
    with Store.open(StoreSettings.from_mapping({**section, **({"budget_bytes": budget} if budget else {})})) as store:
        info = store.put("b", "k", Gatherer(table).at(indices))
        assert info.spilled == (budget is not None)
        assert codec.decode(store.attach("b", "k").view).equals(gather(table, indices))


def test_rows_outside_are_refused_before_anything_is_made() -> None:
    with pytest.raises(IndexError, match="rows 0 to 3"):
        Gatherer(pa.table({"n": [1, 2, 3]})).at(np.array([3, 0]))
