"""Datasets read: one table through all formats and places, divided in all ways; and what is wrong with files."""

import io
import pickle
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from lithops_shm.placement.storages import storages_of
from seer_integration.datasets import boundaries
from seer_integration.datasets.formats import text
from seer_integration.datasets.places import Location, Places, location_of
from seer_integration.datasets.sources import ReadReport, Split, Survey, read, splits, survey
from seer_integration.errors import DatasetError, MalformedRowError, OperationError
from seer_integration.operations import Scan

pacsv.read_csv(io.BytesIO(b"a\n1"))  # the first one opens a pipe for signals, which stays

TABLE = pa.table(
    {
        "id": pa.array(range(1000), pa.int64()),
        "name": pa.array([f"né, {number}" for number in range(1000)], pa.large_string()),
        "share": pa.array([number / 7 for number in range(1000)], pa.float64()),
        "at": pa.array([date(2024, 1, 1 + number % 28) for number in range(1000)]).cast(pa.timestamp("s")),
    }
)


def as_csv(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pacsv.write_csv(table, sink)
    return sink.getvalue()


def as_parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, row_group_size=100)
    return sink.getvalue()


def as_ipc(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=100)
    return sink.getvalue()


def as_jsonl(table: pa.Table) -> bytes:
    rows = (
        f'{{"id": {row["id"]}, "name": "{row["name"]}", "share": {row["share"]}, "at": "{row["at"]}"}}\n'
        for row in table.to_pylist()
    )
    return "".join(rows).encode()


WRITTEN = {"csv": as_csv, "parquet": as_parquet, "ipc": as_ipc, "jsonl": as_jsonl}


@pytest.fixture(params=["files", "shm", "remote"])
def place(request: pytest.FixtureRequest, tmp_path: Path, shm_directory: Path) -> Iterator[tuple[Location, Places]]:
    """Where a test may store datasets; the last is one that does not map."""
    if request.param == "files":
        yield location_of(f"{tmp_path}/", None, None, "shm"), Places(lambda name: None)
        return
    if request.param == "remote":
        storage = Remote()
        yield Location("dict", "bucket", "data/"), Places(lambda name: storage)
        return
    config = {"lithops": {"storage": "shm"}, "shm": {"directory": str(shm_directory)}}
    with storages_of(config) as storage_of, Places(storage_of) as places:
        yield location_of("data/", "bucket", None, "shm"), places
    storage_of("shm").storage_handler.store.close()


class Remote:
    """As much of a `lithops.Storage` as is used; its objects are of all of one test."""

    backend = "dict"

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def put_object(self, bucket: str, key: str, body: bytes) -> None:
        self.objects[key] = body

    def get_object(self, bucket: str, key: str, stream: bool = False, extra_get_args: Any = None) -> bytes:
        if key not in self.objects:
            raise StorageNoSuchKeyError(key)
        first, last = extra_get_args["Range"].removeprefix("bytes=").split("-")
        return self.objects[key][int(first) : int(last) + 1]

    def head_object(self, bucket: str, key: str) -> dict[str, str]:
        if key not in self.objects:
            raise StorageNoSuchKeyError(key)
        return {"content-length": str(len(self.objects[key])), "etag": f'"{hash(self.objects[key])}"'}

    def list_objects(self, bucket: str, prefix: str) -> list[dict[str, Any]]:
        found = ((key, body) for key, body in self.objects.items() if key.startswith(prefix))
        return [{"Key": key, "Size": len(body), "ETag": f'"{hash(body)}"'} for key, body in found]

    def delete_objects(self, bucket: str, keys: list[str]) -> None:
        for key in keys:
            self.objects.pop(key, None)


class StorageNoSuchKeyError(Exception):
    """As Lithops' own is known: by its name."""


def stored(place: tuple[Location, Places], **objects: bytes) -> Location:
    """The prefix below which they are, ``__`` for the dot of a name."""
    location, places = place
    for name, data in objects.items():
        places.put(location.at(location.key + name.replace("__", ".")), [data])
    return location


def looked_at(place: tuple[Location, Places], name: str = "", **parameters: Any) -> Survey:
    location, places = place
    scan = Scan(location.key + name, location.bucket or None, storage=location.storage, **parameters)
    return survey(scan, places, "shm")


def gathered(
    place: tuple[Location, Places], found: Survey, target: int, **how: Any
) -> tuple[pa.Table, list[Split], list[ReadReport]]:
    """All splits read, each as by another process."""
    divided = splits(found, target, places=place[1], kept=how.pop("kept", None))
    source, divided = pickle.loads(pickle.dumps((found.source, divided)))
    parts = [read(source, each, place[1], **how) for each in divided]
    return pa.concat_tables(part[0] for part in parts), divided, [part[1] for part in parts]


@pytest.mark.parametrize("name", WRITTEN)
def test_a_table_comes_back_through_each_format(place: tuple[Location, Places], name: str) -> None:
    half = WRITTEN[name](TABLE.slice(0, 600)), WRITTEN[name](TABLE.slice(600))
    stored(place, **{f"a__{name}": half[0], f"b__{name}": half[1], "_note__txt": b"no data"})
    header = {"header": True} if name == "csv" else {}
    found = looked_at(place, f"*.{name}", types={"at": "timestamp[s]"}, **header)
    assert found.source.format == name
    assert found.source.schema == TABLE.schema
    assert found.nbytes == len(half[0]) + len(half[1])
    for target in (1 << 30, len(half[0]), 2000):
        table, divided, reports = gathered(place, found, target)
        assert table.schema == TABLE.schema
        assert table.equals(TABLE)
        assert len(divided) == 1 if target == 1 << 30 else len(divided) >= 2
        assert sum(each.rows for each in reports) == 1000
    some, _, _ = gathered(place, found, 2000, columns=["share", "id"], where=pc.field("name") == "né, 17")
    assert some.to_pydict() == {"id": [17], "share": [17 / 7]}
    assert gathered(place, found, 2000, columns=[])[0].num_rows == 1000


@pytest.mark.parametrize("name", ["parquet", "ipc"])
def test_less_is_read_of_what_is_left_out(place: tuple[Location, Places], name: str) -> None:
    table = pa.table({"k": range(10_000), "v": [f"{number:0100}" for number in range(10_000)]})
    stored(place, **{f"a__{name}": WRITTEN[name](table)})
    found = looked_at(place, f"a.{name}")
    key = found.objects[0].key
    everything, _, whole = gathered(place, found, 1 << 30)
    column, _, one = gathered(place, found, 1 << 30, columns=["k"])
    groups, divided, some = gathered(place, found, 1 << 30, kept={key: [3, 5]})
    assert column["k"].equals(everything["k"])
    assert groups["k"].to_pylist() == [*range(300, 400), *range(500, 600)]
    assert divided[0].nbytes < found.nbytes / 2
    assert splits(found, 1 << 30, {}, places=place[1]) == []
    if place[0].storage != "dict":  # what is read ahead there is most of it
        assert some[0].bytes_read < whole[0].bytes_read / 2
        assert one[0].bytes_read < whole[0].bytes_read
    if name == "parquet":
        few, _, _ = gathered(place, found, 1 << 30, where=pc.field("k") < 150)
        assert few.num_rows == 150


@pytest.mark.parametrize("place", ["files", "shm"], indirect=True)
def test_arrow_in_files_and_memory_is_not_copied(place: tuple[Location, Places]) -> None:
    numbers = pa.table(
        {"n": pa.array(range(100_000), pa.int64()), "t": pa.array(["x" * 50] * 100_000, pa.large_string())}
    )
    stored(place, a__arrow=as_ipc(numbers))
    before = pa.total_allocated_bytes()
    table, _, _ = gathered(place, looked_at(place, "a.arrow"), 1 << 30)
    assert pa.total_allocated_bytes() - before < 100_000
    assert table.equals(numbers)


@pytest.mark.parametrize("place", ["files", "remote"], indirect=True)
@pytest.mark.parametrize("quoted", [False, True])
def test_rows_longer_than_pieces_and_blocks(
    place: tuple[Location, Places], quoted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "_BLOCK", 10_000)
    value = '"' + "line\n" * 60_000 + '"' if quoted else "x" * 300_000
    stored(place, a__csv=f"a,b\n1,{value}\n2,c\n".encode())
    table, divided, _ = gathered(place, looked_at(place, "a.csv", header=True), 50_000)
    assert table["a"].to_pylist() == [1, 2]
    assert table["b"].to_pylist() == [value.strip('"'), "c"]
    assert len(divided) == 2
    stored(place, a__jsonl=b'{"a": "' + b"x" * 300_000 + b'"}\n{"a": "y"}\n')
    table, divided, _ = gathered(place, looked_at(place, "a.jsonl"), 50_000)
    assert [len(value.as_py()) for value in table["a"]] == [300_000, 1]


@pytest.fixture
def short_sighted(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is looked at to tell where rows begin: no more than a few rows."""
    monkeypatch.setattr(text, "_LOOK", 100)
    monkeypatch.setattr(boundaries, "_WINDOW", 200)


@pytest.mark.usefixtures("short_sighted")
@pytest.mark.parametrize("place", ["files"], indirect=True)
def test_what_follows_tells_whether_a_piece_begins_within_quotes(place: tuple[Location, Places]) -> None:
    rows = [(number, f'first\nsecond "{number}"\n\nlast, 3') for number in range(100)]
    lines = ["0,nothing\n"] * 10 + [
        f'{number},"{value}"\n'.replace(' "', ' ""').replace('"\n\n', '""\n\n') for number, value in rows
    ]
    stored(place, a__csv="".join(lines).encode())
    table, divided, _ = gathered(place, looked_at(place, "a.csv"), 300)
    assert len(divided) > 10
    assert not any(piece.proven for each in divided for piece in each.pieces)
    assert table.slice(10).to_pydict() == {"0": [row[0] for row in rows], "1": [row[1] for row in rows]}


@pytest.mark.usefixtures("short_sighted")
@pytest.mark.parametrize("place", ["files"], indirect=True)
def test_a_guess_that_was_wrong_is_never_taken_for_data(place: tuple[Location, Places]) -> None:
    stored(place, a__csv=b"0,nothing\n" * 20 + b'1,"' + b"looks,like\n" * 200 + b'"\n' + b"2,end\n" * 20)
    with pytest.raises(
        DatasetError, match=r"a\.csv: it was divided at byte [\d,]+, which seemed to be between two rows"
    ):
        gathered(place, looked_at(place, "a.csv"), 400)
    table, _, _ = gathered(place, looked_at(place, "a.csv", quote=None, malformed="skip", types=["str", "str"]), 400)
    assert table.num_rows == 239


@pytest.mark.parametrize("place", ["files", "remote"], indirect=True)
def test_malformed_rows_are_named_or_counted(place: tuple[Location, Places]) -> None:
    rows = [f"{number},a{number}\n" for number in range(50_000)]
    rows[40_000] = "40000,one,too many\n"
    rows[45_000] = "text,a45000\n"
    stored(place, a__csv="".join(rows).encode())
    byte = f"{sum(map(len, rows[:40_000])):,}"
    where = f"line 40,001, at byte {byte}," if place[0].storage is None else f"the row at byte {byte}"
    with pytest.raises(MalformedRowError, match=rf"a\.csv: {where} cannot be read: .*Expected 2 columns, got 3"):
        gathered(place, looked_at(place, "a.csv", types={"0": "int64"}), 100_000)
    table, _, reports = gathered(place, looked_at(place, "a.csv", types={"0": "int64"}, malformed="skip"), 100_000)
    assert table["0"].to_pylist() == [number for number in range(50_000) if number not in (40_000, 45_000)]
    assert sum(each.malformed for each in reports) == 2
    said = "\n".join(example for each in reports for example in each.examples)
    assert "a.csv: 3 values, and not 2, in '40000,one,too many'" in said
    assert "conversion error to int64: invalid value 'text' (it begins 'text,a45000')" in said


@pytest.mark.parametrize("place", ["files"], indirect=True)
def test_malformed_json_is_named_or_counted(place: tuple[Location, Places]) -> None:
    stored(place, a__jsonl=b'{"a": 1}\n' * 1000 + b'{"a": \n\n' + b'{"a": "text"}\n{"a": 2, "b": 3}\n')
    with pytest.raises(
        MalformedRowError, match=r"a\.jsonl: line 1,001, at byte 9,000, cannot be read: JSON parse error"
    ):
        gathered(place, looked_at(place, "a.jsonl", types={"a": "int64", "b": "int64"}), 2000)
    found = looked_at(place, "a.jsonl", types={"a": "int64", "b": "int64"}, malformed="skip")
    table, _, reports = gathered(place, found, 2000)
    assert table["a"].to_pylist() == [1] * 1000 + [2]
    assert table["b"].to_pylist() == [None] * 1000 + [3]
    assert sum(each.malformed for each in reports) == 2


@pytest.mark.parametrize("place", ["files"], indirect=True)
def test_types_names_and_what_is_wrong_with_them(place: tuple[Location, Places]) -> None:
    stored(place, a__csv=b"1,x,2024-01-01\n", b__csv=b"2.5,y,2024-01-02\n")
    found = looked_at(place, "*.csv")
    assert found.source.schema == pa.schema([("0", pa.float64()), ("1", pa.large_string()), ("2", pa.date32())])
    named = looked_at(place, "a.csv", names=["n", "t", "d"], types=["int32", "object", "datetime64[s]"])
    assert named.source.schema == pa.schema([("n", pa.int32()), ("t", pa.large_string()), ("d", pa.timestamp("s"))])
    expected = pa.table({"n": [1], "t": ["x"], "d": [date(2024, 1, 1)]})
    assert gathered(place, named, 1)[0].equals(expected.cast(named.source.schema))
    for types, said in [
        (["int32"], "has 1 types, and there are 3 columns"),
        ({"4": "int32"}, "names a column '4' that is not there; there are 0, 1, 2"),
        ({"0": "int46"}, "is no type that NumPy or Arrow know; did you mean 'int64'?"),
    ]:
        with pytest.raises(OperationError) as caught:
            looked_at(place, "a.csv", types=types)
        assert said in str(caught.value)
    with pytest.raises(DatasetError, match="its first row has 3 values, for 2 names"):
        looked_at(place, "a.csv", names=["a", "b"])
    stored(place, twice__csv=b"a,a\n1,2\n", packed__csv=b"\x1f\x8b\x08\n")
    with pytest.raises(DatasetError, match="two columns have one name"):
        looked_at(place, "twice.csv", header=True)
    with pytest.raises(DatasetError, match="compressed with gzip"):
        looked_at(place, "packed.csv")


@pytest.mark.parametrize("place", ["files", "remote"], indirect=True)
@pytest.mark.parametrize("name", WRITTEN)
def test_files_that_do_not_fit_together(place: tuple[Location, Places], name: str) -> None:
    first, other = TABLE, TABLE.set_column(0, "id", pa.array(["x"] * 1000))
    stored(
        place,
        **{f"a__{name}": WRITTEN[name](first), f"b__{name}": WRITTEN[name](other).replace(b'"id": x', b'"id": "x"')},
    )
    header = {"header": True} if name == "csv" else {}
    with pytest.raises(
        DatasetError, match=rf"b\.{name}: its column 'id' is large_string, and that of .*a\.{name} is int64"
    ):
        looked_at(place, f"*.{name}", **header)
    if name != "jsonl":
        stored(place, **{f"b__{name}": WRITTEN[name](TABLE.drop_columns(["share"]))})
        with pytest.raises(DatasetError, match=rf"b\.{name}: it has no column 'share', which .*a\.{name} has"):
            looked_at(place, f"*.{name}", **header)


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("place", ["files"], indirect=True)
def test_what_is_empty_and_what_is_damaged(place: tuple[Location, Places], name: str) -> None:
    header = {"header": True} if name == "csv" else {}
    data = WRITTEN[name](TABLE.slice(0, 0))
    if data:
        stored(place, **{f"none__{name}": data})
        found = looked_at(place, f"none.{name}", **header)
        table = pa.concat_tables(
            [
                found.source.schema.empty_table(),
                *(read(found.source, each, place[1])[0] for each in splits(found, 10, places=place[1])),
            ]
        )
        assert (table.num_rows, table.column_names) == (0, TABLE.column_names)
    if name in ("csv", "jsonl"):
        stored(place, **{f"a__{name}": b"", f"b__{name}": WRITTEN[name](TABLE)})
        assert gathered(place, looked_at(place, f"?.{name}", **header), 5000)[0].num_rows == 1000
        assert (
            splits(looked_at(place, f"a.{name}", types={"x": "str"} if name == "csv" else None), 10, places=place[1])
            == []
        )
    else:
        stored(place, **{f"b__{name}": WRITTEN[name](TABLE)[:-100]})
        with pytest.raises(DatasetError, match=rf"b\.{name}: it cannot be read as"):
            looked_at(place, f"b.{name}")


def test_what_is_missing_is_said_with_what_is_near(place: tuple[Location, Places]) -> None:
    stored(place, sales__csv=b"1\n")
    with pytest.raises(DatasetError, match=r"sale\.csv: no .*; did you mean sales\.csv\?"):
        looked_at(place, "sale.csv")
    with pytest.raises(DatasetError, match=r"\*\.parquet: nothing matches"):
        looked_at(place, "*.parquet")
    found = looked_at(place, "sales.csv")
    place[1].delete([place[0].at(found.objects[0].key)])
    with pytest.raises(DatasetError, match=r"sales\.csv: no "):
        read(found.source, splits(found, 10, places=place[1])[0], place[1])
    with pytest.raises(DatasetError, match="it has no column 'x'"):
        read(found.source, Split(()), place[1], columns=["x"])


@pytest.mark.parametrize("place", ["files"], indirect=True)
def test_small_objects_go_together_and_large_ones_apart(place: tuple[Location, Places]) -> None:
    names = {f"{number:02}__csv": b"1,2\n" * (100 if number != 5 else 10_000) for number in range(10)}
    stored(place, **{f"f{name}": data for name, data in names.items()})
    found = looked_at(place, "")
    divided = splits(found, 1000, places=place[1])
    assert [len(each.pieces) for each in divided[:3]] == [2, 2, 2] or len(divided[0].pieces) == 2
    assert sum(each.nbytes for each in divided) == found.nbytes
    assert max(each.nbytes for each in divided) <= 1004
    some = splits(found, 1000, {found.objects[1].key: None, found.objects[8].key: None}, places=place[1])
    assert [piece.key for each in some for piece in each.pieces] == [found.objects[1].key, found.objects[8].key]
