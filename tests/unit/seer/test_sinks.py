"""Datasets as they are written: which parts count, what is refused, and what is left behind."""

import datetime
import errno
import io
import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from lithops_shm.placement.storages import storages_of
from seer_integration.datasets.committed import MANIFEST, Committed, committed, objects
from seer_integration.datasets.index import INDEX, Index
from seer_integration.datasets.location import Location, Stored
from seer_integration.datasets.places import Places
from seer_integration.datasets.runs import Run, marker, object_of, part_name
from seer_integration.datasets.sinks import Part, Sink, abandon, check_schema, commit, prepare, tidy, write_part
from seer_integration.errors import DatasetError, OperationError, PlanError

TABLE = pa.table({"number": [3, 1, 2], "text": pa.array(["a", None, ""], pa.large_string())})
pyarrow.csv.read_csv(io.BytesIO(b"a\n1"))  # the first one opens a pipe for signals, which stays
NEVER = 2**22 + 1  # no process has this id: the most a kernel gives is 2**22


@pytest.fixture
def places() -> Places:
    def none(name: str) -> object:
        raise AssertionError(f"these tests have files alone, and no {name}")

    return Places(none)


def sink(directory: Path, job: str = "one", **settings: object) -> Sink:
    given = {"format": "csv", "compression": None, "mode": "overwrite", "index": False, **settings}
    return Sink(Location(None, "", f"{directory}/data"), job=job, **given)  # type: ignore[arg-type]


def written(sink: Sink, places: Places, *tables: pa.Table, attempt: int = 0) -> list[Part]:
    return [write_part(sink, task, attempt, [table], table.schema, places) for task, table in enumerate(tables)]


def ran(sink: Sink, places: Places, *tables: pa.Table) -> Committed:
    prepare(sink, places)
    return commit(sink, written(sink, places, *tables), None, places)


def left(directory: Path) -> set[str]:
    return set(os.listdir(directory / "data"))


def numbers(location: Location, places: Places) -> list[int]:
    """What the CSV of a dataset has, in its order."""
    found = objects(location, places)
    assert found is not None
    return [row for each in found[1] for row in pyarrow.csv.read_csv(each.key)["number"].to_pylist()]


def table_of(*values: int) -> pa.Table:
    return pa.table({"number": pa.array(values, pa.int64())})


# --- What counts -----------------------------------------------------------------------------------------------------


def test_a_dataset_is_the_parts_of_its_manifest_in_the_order_of_their_tasks(tmp_path: Path, places: Places) -> None:
    target = sink(tmp_path)
    prepare(target, places)
    parts = [
        write_part(target, task, attempt, [table_of(*values)], None, places)
        for task, attempt, values in [(1, 0, [3, 4]), (10, 2, [5]), (0, 1, [1, 2])]
    ]
    write_part(target, 0, 0, [table_of(99)], None, places)  # the attempt that came second
    assert committed(target.location, places) is None
    dataset = commit(target, parts, None, places)
    assert numbers(target.location, places) == [1, 2, 3, 4, 5]
    assert (dataset.rows, dataset.nbytes) == (5, sum(part.nbytes for part in parts))
    assert left(tmp_path) == {
        MANIFEST,
        "part-00000-attempt-1-run-one.csv",
        "part-00001-attempt-0-run-one.csv",
        "part-00010-attempt-2-run-one.csv",
    }
    found = committed(target.location, places)
    assert found is not None
    assert replace(found, parts=()) == replace(dataset, parts=())
    assert [part.key for part in found.parts] == [part.key for part in dataset.parts]
    assert found.read_as == {"format": "csv", "header": True, "delimiter": ",", "quote": '"'}


def test_the_location_of_a_dataset_may_end_in_a_slash_or_not(tmp_path: Path, places: Places) -> None:
    target = sink(tmp_path)
    ran(target, places, TABLE)
    assert committed(Location(None, "", f"{tmp_path}/data"), places) == committed(target.location, places)


def test_a_dataset_may_be_moved_with_all_it_has(tmp_path: Path, places: Places) -> None:
    ran(sink(tmp_path), places, table_of(1, 2), table_of(3))
    (tmp_path / "data").rename(tmp_path / "moved")
    assert numbers(Location(None, "", f"{tmp_path}/moved/"), places) == [1, 2, 3]


@pytest.mark.parametrize("form", ["csv", "ipc", "parquet"])
def test_no_rows_at_all_have_their_schema(tmp_path: Path, places: Places, form: str) -> None:
    target = sink(tmp_path, format=form, index=True)
    prepare(target, places)
    parts = [write_part(target, 0, 0, [], TABLE.schema, places), *written(target, places, TABLE.slice(0, 0))[1:]]
    dataset = commit(target, parts, None, places)
    assert (dataset.schema, dataset.rows) == (TABLE.schema, 0)
    found = objects(target.location, places)
    assert found is not None
    assert found[1] == []
    assert found[0].schema == TABLE.schema


def test_a_dataset_without_parts_is_one(tmp_path: Path, places: Places) -> None:
    target = sink(tmp_path)
    prepare(target, places)
    assert commit(target, [], TABLE.schema, places).rows == 0
    found = committed(target.location, places)
    assert found is not None
    assert found.schema == TABLE.schema


def test_two_parts_of_one_task_are_a_mistake(tmp_path: Path, places: Places) -> None:
    target = sink(tmp_path)
    prepare(target, places)
    (part,) = written(target, places, TABLE)
    with pytest.raises(ValueError, match="two parts of one task"):
        commit(target, [part, replace(part, attempt=1)], None, places)


def test_a_part_that_is_gone_before_it_is_committed_stops_the_commit(tmp_path: Path, places: Places) -> None:
    target = sink(tmp_path)
    prepare(target, places)
    parts = written(target, places, TABLE, TABLE)
    os.unlink(parts[1].key)
    with pytest.raises(DatasetError, match=r"part-00001-.*it is gone, before it was committed"):
        commit(target, parts, None, places)
    assert committed(target.location, places) is None


def test_a_part_that_is_gone_later_is_told(tmp_path: Path, places: Places) -> None:
    target = sink(tmp_path)
    os.unlink(ran(target, places, TABLE, TABLE).parts[0].key)
    with pytest.raises(DatasetError, match=r"the part 'part-00000-attempt-0-run-one[.]csv', which its manifest lists"):
        objects(target.location, places)


def test_a_reader_between_a_manifest_and_its_parts_takes_the_next_manifest(tmp_path: Path, places: Places) -> None:
    ran(sink(tmp_path), places, table_of(1))

    class Overtaken(Places):
        overtaken = False

        def find(self, location: Location, *, hidden: bool = False) -> list[Stored]:
            if not self.overtaken:
                self.overtaken = True
                ran(sink(tmp_path, "two"), places, table_of(2), table_of(3))
            return super().find(location, hidden=hidden)

    assert numbers(sink(tmp_path).location, Overtaken(lambda name: None)) == [2, 3]


# --- What the formats carry ------------------------------------------------------------------------------------------

MOMENT = datetime.datetime(2020, 2, 29, 1, 2, 3, tzinfo=datetime.timezone.utc)
ALL = {
    "int8": pa.array([-128, None, 127], pa.int8()),
    "uint64": pa.array([0, None, 2**64 - 1], pa.uint64()),
    "float32": pa.array([0.1, None, float("inf")], pa.float32()),
    "float64": pa.array([0.1 + 0.2, None, -5e-324]),
    "bool": pa.array([True, None, False]),
    "text": pa.array(["", None, 'a "quoted", text\r\nof lines'], pa.large_string()),
    "date": pa.array([datetime.date(1, 1, 1), None, datetime.date(9999, 12, 31)]),
    "days": pa.array([datetime.date(2020, 1, 1), None, None], pa.date64()),
    "time": pa.array([1, None, 86_399], pa.time32("s")),
    "seconds": pa.array([0, None, -1], pa.timestamp("s")),
    "nanoseconds": pa.array([1, None, -1], pa.timestamp("ns")),
    "zoned": pa.array([MOMENT, None, None], pa.timestamp("us", "Europe/Rome")),
    "decimal": pa.array([Decimal("1.10"), None, Decimal("-99999999.99")], pa.decimal128(10, 2)),
    "nothing": pa.nulls(3),
}
NOT_CSV = {
    "bytes": pa.array([b"", None, b"\xff\n"], pa.large_binary()),
    "fixed": pa.array([b"ab", None, b"\x00\xff"], pa.binary(2)),
    "list": pa.array([[1], None, []], pa.list_(pa.int64())),
    "struct": pa.array([{"a": 1}, None, {"a": None}]),
}


def read_back(form: str, key: str, schema: pa.Schema) -> pa.Table:
    if form == "ipc":
        return pa.ipc.open_file(key).read_all()
    if form == "parquet":
        return pq.read_table(key).cast(schema)
    options = pyarrow.csv.ConvertOptions(
        column_types=schema, strings_can_be_null=True, quoted_strings_can_be_null=False, null_values=[""]
    )
    return pyarrow.csv.read_csv(
        key, parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True), convert_options=options
    )


@pytest.mark.parametrize(
    ("form", "compression"),
    [("csv", None), ("ipc", None), ("ipc", "lz4"), ("ipc", "zstd"), ("parquet", None), ("parquet", "none")],
)
def test_what_is_written_comes_back_the_same(
    tmp_path: Path, places: Places, form: str, compression: str | None
) -> None:
    table = pa.table(ALL if form == "csv" else {**ALL, **NOT_CSV})
    target = sink(tmp_path, format=form, compression=compression)
    check_schema(target, table.schema)
    dataset = ran(target, places, table)
    assert read_back(form, dataset.parts[0].key, dataset.schema).equals(table)


@pytest.mark.parametrize("form", ["csv", "ipc", "parquet"])
def test_dictionaries_are_written_as_their_values(tmp_path: Path, places: Places, form: str) -> None:
    tables = [
        pa.table({"word": pa.array(words).dictionary_encode(), "number": [1, 2]}) for words in (["x", "y"], ["z", None])
    ]
    target = sink(tmp_path, format=form)
    prepare(target, places)
    part = write_part(target, 0, 0, tables, tables[0].schema, places)
    dataset = commit(target, [part], tables[0].schema, places)
    assert dataset.schema == pa.schema([("word", pa.string()), ("number", pa.int64())])
    assert read_back(form, part.key, dataset.schema)["word"].to_pylist() == ["x", "y", "z", None]


def test_a_null_that_csv_would_lose_is_refused(tmp_path: Path, places: Places) -> None:
    with pytest.raises(DatasetError, match="in a CSV of one column a null would be an empty line"):
        written(sink(tmp_path), places, TABLE.select(["text"]))


def test_uncompressed_ipc_is_written_from_where_the_rows_are(tmp_path: Path, places: Places) -> None:
    table = pa.table({"number": range(10_000)})
    (address,) = (each.address for each in table["number"].chunk(0).buffers() if each is not None)
    seen: list[int] = []

    class Watching(Places):
        def put(self, location: Location, parts: object) -> int:
            seen.extend(each.address for each in parts if isinstance(each, pa.Buffer))  # type: ignore[attr-defined]
            return super().put(location, parts)  # type: ignore[arg-type]

    write_part(sink(tmp_path, format="ipc"), 0, 0, [table], table.schema, Watching(lambda name: None))
    assert address in seen


@pytest.mark.parametrize(
    ("form", "kind", "why"),
    [
        ("csv", pa.list_(pa.int64()), "CSV cannot carry list"),
        ("csv", pa.binary(), "CSV is text, and this is binary"),
        ("csv", pa.float16(), "CSV cannot carry halffloat"),
        ("csv", pa.decimal256(50, 2), "CSV cannot carry decimal256"),
        ("parquet", pa.month_day_nano_interval(), "Parquet cannot carry month_day_nano_interval"),
    ],
)
def test_what_a_format_cannot_carry_is_refused_by_name(tmp_path: Path, form: str, kind: pa.DataType, why: str) -> None:
    schema = pa.schema([("fine", pa.int64()), ("odd", kind)])
    with pytest.raises(PlanError, match=f"column 'odd' cannot be written: {why}"):
        check_schema(sink(tmp_path, format=form), schema)


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    schema = pa.schema([("a", pa.int64()), ("a", pa.int64())])
    with pytest.raises(PlanError, match="column 'a' cannot be written: there are two"):
        check_schema(sink(tmp_path), schema)


def test_an_index_of_a_column_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="no column 'nmber' to index; there are number, text"):
        check_schema(sink(tmp_path, index=("nmber",)), TABLE.schema)


@pytest.mark.parametrize(("form", "compression"), [("csv", "gzip"), ("ipc", "snappy"), ("parquet", "zip")])
def test_a_compression_that_a_format_has_not_is_refused(tmp_path: Path, form: str, compression: str) -> None:
    with pytest.raises(OperationError, match=f"compression='{compression}' is not how {form} is compressed"):
        sink(tmp_path, format=form, compression=compression)


def test_a_table_with_other_columns_is_refused_and_leaves_nothing(tmp_path: Path, places: Places) -> None:
    target = sink(tmp_path)
    with pytest.raises(
        DatasetError, match="the rows of task 4 cannot be written as csv: it has the columns number, and"
    ):
        write_part(target, 4, 0, [table_of(1)], TABLE.schema, places)
    assert not (tmp_path / "data").exists()


def test_parts_whose_columns_are_all_null_agree_with_the_others(tmp_path: Path, places: Places) -> None:
    tables = pa.table({"a": pa.nulls(2)}), pa.table({"a": pa.array([1])}), pa.table({})
    assert ran(sink(tmp_path, format="parquet"), places, *tables).schema == pa.schema([("a", pa.int64())])


def test_parts_that_do_not_go_together_are_named(tmp_path: Path, places: Places) -> None:
    target = sink(tmp_path)
    with pytest.raises(DatasetError, match=r"parts of tasks 0 and 2 do not go together.*int64"):
        ran(target, places, table_of(1), table_of(2), pa.table({"number": ["x"]}))
    with pytest.raises(DatasetError, match="do not go together: the columns number, and other"):
        ran(target, places, pa.table({"other": [1]}), table_of(2))


def test_many_small_tables_become_few_row_groups(tmp_path: Path, places: Places) -> None:
    target = sink(tmp_path, format="parquet", index=("number",))
    part = write_part(target, 0, 0, (table_of(each) for each in range(100)), None, places)
    assert pq.read_metadata(part.key).num_row_groups == 1
    assert part.statistics is not None
    ((rows, columns),) = part.statistics
    assert (rows, columns["number"].least, columns["number"].greatest) == (100, 0, 99)


def test_a_large_table_becomes_row_groups_of_a_million_rows(tmp_path: Path, places: Places) -> None:
    table = pa.table({"flag": pa.repeat(True, (1 << 20) + 5)})
    part = write_part(sink(tmp_path, format="parquet", index=True), 0, 0, [table], None, places)
    metadata = pq.read_metadata(part.key)
    groups = [metadata.row_group(each).num_rows for each in range(metadata.num_row_groups)]
    assert groups == [1 << 20, 5]
    assert part.statistics is not None
    assert [rows for rows, _ in part.statistics] == groups


# --- Who writes at the same time, or has died ------------------------------------------------------------------------


def test_the_last_to_commit_wins_as_a_whole(tmp_path: Path, places: Places) -> None:
    first, second = sink(tmp_path, "one"), sink(tmp_path, "two")
    prepare(first, places)
    prepare(second, places)
    parts = [written(each, places, table_of(at), table_of(at + 1)) for at, each in ((10, first), (20, second))]
    commit(second, parts[1], None, places)
    assert numbers(second.location, places) == [20, 21]
    commit(first, parts[0], None, places)
    assert numbers(second.location, places) == [10, 11]
    assert left(tmp_path) == {MANIFEST, *(part_name(task, 0, "one", "csv") for task in (0, 1))}


def test_a_run_that_goes_on_keeps_its_parts(tmp_path: Path, places: Places) -> None:
    slow, fast = sink(tmp_path, "slow"), sink(tmp_path, "fast")
    prepare(slow, places)
    parts = written(slow, places, table_of(1))
    ran(fast, places, table_of(2))
    assert numbers(fast.location, places) == [2]
    commit(slow, [*parts, write_part(slow, 1, 0, [table_of(3)], None, places)], None, places)
    assert numbers(fast.location, places) == [1, 3]


def test_mode_error_refuses_a_dataset_that_is_there(tmp_path: Path, places: Places) -> None:
    ran(sink(tmp_path), places, TABLE)
    with pytest.raises(DatasetError, match=r"there is a dataset already, of 3 rows in 1 objects; write elsewhere"):
        prepare(sink(tmp_path, "two", mode="error"), places)


@pytest.mark.parametrize("name", ["notes.txt", "_SUCCESS", "sub/part-00000-of-spark.parquet"])
def test_mode_error_refuses_what_others_wrote(tmp_path: Path, places: Places, name: str) -> None:
    path = tmp_path / "data" / name
    path.parent.mkdir(parents=True)
    path.write_text("")
    with pytest.raises(DatasetError, match="there are objects of others already"):
        prepare(sink(tmp_path, mode="error"), places)
    ran(sink(tmp_path), places, TABLE)
    assert path.exists()


def test_mode_error_refuses_the_second_of_two_at_once(tmp_path: Path, places: Places) -> None:
    first, second = (sink(tmp_path, job, mode="error") for job in ("one", "two"))
    prepare(first, places)
    prepare(second, places)
    parts = written(second, places, table_of(2))
    commit(first, written(first, places, table_of(1)), None, places)
    with pytest.raises(DatasetError, match="another run committed a dataset while this one ran"):
        commit(second, parts, None, places)
    abandon(second, places)
    assert numbers(first.location, places) == [1]
    assert left(tmp_path) == {MANIFEST, part_name(0, 0, "one", "csv")}


def test_what_is_given_up_leaves_what_was_there(tmp_path: Path, places: Places) -> None:
    ran(sink(tmp_path), places, table_of(1))
    before = left(tmp_path)
    second = sink(tmp_path, "two")
    prepare(second, places)
    written(second, places, table_of(2), table_of(3))
    abandon(second, places)
    assert left(tmp_path) == before
    assert numbers(second.location, places) == [1]


def test_a_run_that_committed_cannot_be_given_up(tmp_path: Path, places: Places) -> None:
    target = sink(tmp_path)
    ran(target, places, table_of(1))
    abandon(target, places)
    assert numbers(target.location, places) == [1]


@pytest.mark.parametrize(
    ("process", "age_s", "dead"), [("dead", 0, True), ("other", 3600, False), ("other", 8e5, True)]
)
def test_what_a_dead_run_left_goes_with_the_next_commit(
    tmp_path: Path, places: Places, process: str, age_s: float, dead: bool
) -> None:
    old = sink(tmp_path, "old")
    prepare(old, places)
    (part,) = written(old, places, table_of(1))
    data = tmp_path / "data"
    (data / f".{os.path.basename(part.key)}.17-00ff").write_text("half of it")
    (data / f"._SUCCESS.{NEVER}-00ff").write_text("{")
    run = replace(Run.of_this_process("old"), process=NEVER, since=time.time() - age_s)
    run = replace(run, machine="elsewhere") if process == "other" else run
    (data / marker("old")).write_bytes(run.dump())
    ran(sink(tmp_path, "new"), places, table_of(2))
    assert numbers(old.location, places) == [2]
    gone = left(tmp_path) <= {MANIFEST, part_name(0, 0, "new", "csv"), f"._SUCCESS.{NEVER}-00ff"}
    assert gone == dead
    if process == "dead":
        assert left(tmp_path) == {MANIFEST, part_name(0, 0, "new", "csv")}


def test_an_attempt_that_comes_after_its_run_has_ended_is_removed_by_hand(tmp_path: Path, places: Places) -> None:
    target = sink(tmp_path)
    ran(target, places, table_of(1))
    write_part(target, 0, 1, [table_of(9)], None, places)
    assert numbers(target.location, places) == [1]
    assert tidy(target.location, places) == 1
    assert numbers(target.location, places) == [1]
    assert tidy(target.location, places) == 0


def test_objects_of_others_are_not_taken_for_parts() -> None:
    for name in ("part-00000-1f2e-c000.snappy.parquet", "part-0.csv", "part-00000-attempt-0.csv", "_RUN-", "x.csv"):
        assert object_of(name) is None
    assert object_of(part_name(100_000, 3, "a-b_c.d", "arrow")) == ("part", "a-b_c.d")
    assert object_of(marker("a-b_c.d")) == ("marker", "a-b_c.d")


def test_a_process_of_another_time_with_the_same_id_is_another(tmp_path: Path) -> None:
    run = Run.of_this_process("one")
    assert not run.is_over(run.since + 1e9)
    assert replace(run, started=run.started + 1).is_over(run.since)


@pytest.mark.parametrize("job", ["", "a/b", "x" * 65, "a b"])
def test_ids_of_runs_fit_into_names(tmp_path: Path, job: str) -> None:
    with pytest.raises(ValueError, match="no id of a run"):
        sink(tmp_path, job)


def test_a_place_that_cannot_be_written_to_is_told_before_anything_runs(tmp_path: Path, places: Places) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(DatasetError):
        prepare(sink(tmp_path), places)


class Full(Places):
    """A place that has no room for anything."""

    def put(self, location: Location, parts: object) -> int:
        full = OSError(errno.ENOSPC, "No space left on device")
        raise DatasetError(str(location), full.strerror, "make room on that file system") from full


def test_what_there_is_no_room_for_is_told_with_its_size(tmp_path: Path) -> None:
    with pytest.raises(
        DatasetError, match=r"part-00000-.*: No space left on device: a part of [\d.]+ [KM]iB was to be"
    ):
        write_part(sink(tmp_path), 0, 0, [table_of(*range(1000))], None, Full(lambda name: None))


class Remote:
    """As much of a `lithops.Storage` as is used, over a dict; it knows no conditions."""

    backend = "dict"

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}

    def put_object(self, bucket: str, key: str, body: bytes) -> None:
        self.stored[key] = body

    def get_object(self, bucket: str, key: str, **_: object) -> bytes:
        return self.stored[key]

    def head_object(self, bucket: str, key: str) -> dict[str, str]:
        if key not in self.stored:
            raise StorageNoSuchKeyError(key)
        return {"content-length": str(len(self.stored[key])), "etag": str(hash(self.stored[key]))}

    def list_objects(self, bucket: str, prefix: str) -> list[dict[str, object]]:
        found = ((key, body) for key, body in self.stored.items() if key.startswith(prefix))
        return [{"Key": key, "Size": len(body), "ETag": str(hash(body))} for key, body in found]

    def delete_objects(self, bucket: str, keys: list[str]) -> None:
        for key in keys:
            del self.stored[key]


class StorageNoSuchKeyError(Exception):
    """As Lithops' own is known: by its name."""


@pytest.fixture(params=["shm", "dict"])
def storage(request: pytest.FixtureRequest, shm_directory: Path) -> Iterator[Places]:
    if request.param == "dict":
        remote = Remote()
        yield Places(lambda name: remote)
        return
    config = {"lithops": {"storage": "shm"}, "shm": {"directory": str(shm_directory)}}
    with storages_of(config) as storage_of, Places(storage_of) as places:
        yield places
    storage_of("shm").storage_handler.store.close()


def test_datasets_are_in_storages_as_in_files(storage: Places, request: pytest.FixtureRequest) -> None:
    name = request.node.callspec.params["storage"]
    location = Location(name, "bucket", "some/data")
    first, second, third = (Sink(location, "ipc", None, mode, True, mode) for mode in ("error", "overwrite", "error"))
    prepare(first, storage)
    commit(first, written(first, storage, table_of(1), table_of(2)), None, storage)
    with pytest.raises(DatasetError, match="there is a dataset already, of 2 rows in 2 objects"):
        prepare(third, storage)
    prepare(second, storage)
    late = written(second, storage, table_of(8), attempt=1)
    dataset = commit(second, written(second, storage, table_of(3)), None, storage)
    found = objects(location, storage)
    assert found is not None
    assert [each.key for each in found[1]] == [part.key for part in dataset.parts]
    assert late[0].key not in {each.key for each in storage.find(found[0].location, hidden=True)}
    names = {each.key.removeprefix("some/data/") for each in storage.find(found[0].location, hidden=True)}
    assert names == {MANIFEST, INDEX, part_name(0, 0, "overwrite", "arrow")}
    data = pa.BufferReader(storage.read(location.at(found[1][0].key), 0, found[1][0].nbytes))
    assert pa.ipc.open_file(data).read_all().equals(table_of(3))


# --- The manifest ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"{}", b'{"name": "someone else\'s"}', b"\xff"])
def test_manifests_of_others_are_not_ours(tmp_path: Path, places: Places, data: bytes) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / MANIFEST).write_bytes(data)
    assert committed(sink(tmp_path).location, places) is None


def test_a_damaged_manifest_is_told(tmp_path: Path, places: Places) -> None:
    dataset = ran(sink(tmp_path), places, TABLE)
    path = tmp_path / "data" / MANIFEST
    path.write_bytes(dataset.dump()[:-10])
    with pytest.raises(DatasetError, match="_SUCCESS: the manifest is damaged"):
        committed(dataset.location, places)
    later = {**json.loads(dataset.dump()), "lithops-shm-dataset": 2}
    path.write_text(json.dumps(later))
    with pytest.raises(DatasetError, match="the manifest is of version 2, and this reads version 1"):
        committed(dataset.location, places)


def test_a_run_without_an_index_removes_that_of_what_it_replaces(tmp_path: Path, places: Places) -> None:
    dataset = ran(sink(tmp_path, index=True), places, TABLE)
    index = Index.load((tmp_path / "data" / INDEX).read_bytes(), dataset.location.key)
    assert index is not None
    assert set(index.objects) == {dataset.parts[0].key}
    ran(sink(tmp_path, "two"), places, TABLE)
    assert INDEX not in left(tmp_path)
