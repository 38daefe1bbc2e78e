"""Objects and row groups that are left out, by an index or by Parquet's footers; and when nothing is left out."""

import datetime
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from seer_integration.datasets.index import INDEX, Block, Index, Indexed
from seer_integration.datasets.location import Location, Stored
from seer_integration.datasets.places import Places
from seer_integration.datasets.sinks import Sink, commit, prepare, write_part
from seer_integration.datasets.sources import Survey, read, splits, survey
from seer_integration.datasets.statistics import merged, statistics_of
from seer_integration.errors import DatasetError, OperationError, PlanError
from seer_integration.expressions import ColumnStatistics, bind, of, parse
from seer_integration.operations import Scan
from seer_integration.skipping import Pruned, build, described, prune

pyarrow.csv.read_csv(io.BytesIO(b"a\n1"))  # the first one opens a pipe for signals, which stays


@pytest.fixture
def places() -> Places:
    def none(name: str) -> object:
        raise AssertionError(f"these tests have files alone, and no {name}")

    return Places(none)


def wrote(directory: Path, places: Places, *tables: pa.Table, form: str = "parquet", **settings: object) -> Survey:
    """A dataset of one part for each table, with an index."""
    location = Location(None, "", f"{directory}/data/")
    sink = Sink(location, form, None, "overwrite", settings.get("index", True), "one")  # type: ignore[arg-type]
    prepare(sink, places)
    parts = [write_part(sink, task, 0, [table], table.schema, places) for task, table in enumerate(tables)]
    commit(sink, parts, None, places)
    return survey(Scan(location.key), places, "shm")


def files(directory: Path, *texts: str, ending: str = "csv") -> str:
    """A directory of others' files."""
    (directory / "data").mkdir(exist_ok=True)
    for number, text in enumerate(texts):
        (directory / "data" / f"{number}.{ending}").write_text(text)
    return f"{directory}/data/"


def pruned(found: Survey, text: str, places: Places) -> Pruned:
    """What is left; and that the rows that match are the same ones as without."""
    where = parse(text)
    result = prune(found, where, places)
    expression = bind(where, found.source.schema)[0].to_arrow()
    every, left = (rows(found, kept, places).filter(expression) for kept in (None, result.kept))
    assert repr(left.to_pydict()) == repr(every.to_pydict())
    return result


def rows(found: Survey, kept: Mapping[str, Sequence[int] | None] | None, places: Places) -> pa.Table:
    tables = [read(found.source, split, places)[0] for split in splits(found, 1 << 20, kept, places=places)]
    return pa.concat_tables([found.source.schema.empty_table(), *tables])


def names(result: Pruned) -> list[str]:
    return [os.path.basename(key).removeprefix("part-").partition("-")[0] for key in result.kept]


def numbers(start: int, stop: int, **more: Sequence[object]) -> pa.Table:
    return pa.table({"number": range(start, stop), "text": [f"t{each}" for each in range(start, stop)], **more})


# --- By an index -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["parquet", "ipc", "csv"])
def test_an_index_leaves_out_objects(tmp_path: Path, places: Places, form: str) -> None:
    found = wrote(tmp_path, places, *(numbers(at, at + 10) for at in range(0, 100, 10)), form=form)
    result = pruned(found, "number BETWEEN 35 AND 41", places)
    assert names(result) == ["00003", "00004"]
    assert result.bytes_before == found.nbytes
    assert result.bytes_after == sum(each.nbytes for each in found.objects[3:5])
    assert str(result).startswith("the index leaves 2 of 10 objects, ")
    assert names(pruned(found, "text = 't77'", places)) == ["00007"]
    assert names(pruned(found, "number > 1000", places)) == []
    assert len(pruned(found, "number + 1 > 0 OR text IS NULL", places).kept) == 10


def test_boxes_of_coordinates_leave_out_objects(tmp_path: Path, places: Places) -> None:
    points = np.random.default_rng(7).uniform((-180, -90), (180, 90), (4096, 2))
    column, row = ((points[:, axis] + half) // (half / 2) for axis, half in ((0, 180), (1, 90)))
    cells = [points[(column == x) & (row == y)] for x in range(4) for y in range(4)]
    tables = [pa.table({"longitude": each[:, 0], "latitude": each[:, 1]}) for each in cells]
    found = wrote(tmp_path, places, *tables, form="ipc")
    box = "longitude BETWEEN 10 AND 20 AND latitude BETWEEN -20 AND -10"
    assert names(pruned(found, box, places)) == ["00009"]
    near_the_corner = "longitude BETWEEN -1 AND 1 AND latitude BETWEEN -1 AND 1"
    assert names(pruned(found, near_the_corner, places)) == ["00005", "00006", "00009", "00010"]
    assert names(pruned(found, f"NOT ({box})", places)) == [f"{each:05d}" for each in range(16)]


def test_few_values_are_listed(tmp_path: Path, places: Places) -> None:
    tables = [
        pa.table({"city": pa.array([*cities, None])}) for cities in (["Rome", "Oslo"], ["Rom", "Paris"], ["Riga"])
    ]
    found = wrote(tmp_path, places, *tables)
    assert names(pruned(found, "city = 'Paris'", places)) == ["00001"]
    assert names(pruned(found, "city IN ('Oslo', 'Riga')", places)) == ["00000", "00002"]
    assert names(pruned(found, "city LIKE '%ga'", places)) == ["00002"]
    assert names(pruned(found, "city IS NOT NULL AND city <> 'Riga'", places)) == ["00000", "00001"]


def test_nulls_and_nan_are_never_lost(tmp_path: Path, places: Places) -> None:
    nan = float("nan")
    tables = [pa.table({"x": pa.array(each, pa.float64())}) for each in ([1, nan], [None], [nan], [-0.0], [0.0, None])]
    for form in ("parquet", "ipc"):
        found = wrote(tmp_path / form, places, *tables, form=form)
        assert set(names(pruned(found, "x <> 1", places))) >= {"00000", "00002", "00003", "00004"}
        assert set(names(pruned(found, "NOT (x > 0)", places))) >= {"00000", "00002", "00003", "00004"}
        assert set(names(pruned(found, "x = 0", places))) >= {"00003", "00004"}
        assert names(pruned(found, "x IS NULL", places)) == ["00001", "00004"]
        assert names(pruned(found, "x > 5", places)) in ([], ["00002"])


def test_an_index_of_some_columns_is_helped_by_footers(tmp_path: Path, places: Places) -> None:
    found = wrote(tmp_path, places, *(numbers(at, at + 10) for at in range(0, 50, 10)), index=("text",))
    result = pruned(found, "number = 33", places)
    assert names(result) == ["00003"]
    assert str(result).startswith("the index and Parquet's statistics leave 1 of 5 objects, ")
    assert str(pruned(found, "text = 't5'", places)).startswith("the index leaves 1 of 5 objects, ")


def test_batches_are_left_out(tmp_path: Path, places: Places) -> None:
    path = files(tmp_path) + "0.arrow"
    table = numbers(0, 100)
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=10)
    build(Scan(path), None, places, "shm")
    found = survey(Scan(path), places, "shm")
    assert pruned(found, "number IN (5, 99)", places).kept == {path: [0, 9]}


# --- By Parquet's footers --------------------------------------------------------------------------------------------


def parquet(directory: Path, table: pa.Table, rows: int = 10, **settings: object) -> str:
    path = files(directory) + "0.parquet"
    pq.write_table(table, path, row_group_size=rows, **settings)
    return path


def test_footers_leave_out_row_groups(tmp_path: Path, places: Places) -> None:
    path = parquet(tmp_path, numbers(0, 100))
    found = survey(Scan(path), places, "shm")
    result = pruned(found, "number < 3 OR text = 't55'", places)
    assert result.kept == {path: [0, 5]}
    assert result.bytes_after == round(found.nbytes * 0.2)
    assert str(result).startswith("Parquet's statistics leave 1 of 1 objects, ")


def test_footers_without_statistics_leave_out_nothing(tmp_path: Path, places: Places) -> None:
    path = parquet(tmp_path, numbers(0, 100), write_statistics=False)
    assert pruned(survey(Scan(path), places, "shm"), "number = 1", places).kept == {path: None}


def test_columns_of_structures_are_not_taken_for_others(tmp_path: Path, places: Places) -> None:
    table = pa.table({"s.a": range(20), "s": [{"a": 1000 - each} for each in range(20)], "list": [[1]] * 20})
    path = parquet(tmp_path, table)
    assert pruned(survey(Scan(path), places, "shm"), '"s.a" = 5', places).kept == {path: None}


def test_a_column_that_is_read_as_another_type_is_not_judged_by_what_is_stored(tmp_path: Path, places: Places) -> None:
    path = parquet(tmp_path, pa.table({"code": range(100)}))
    found = survey(Scan(path, types={"code": "str"}), places, "shm")
    assert prune(found, parse("code = '55'"), places).kept == {path: None}


def test_a_footer_that_cannot_be_read_is_left_to_who_reads_it(tmp_path: Path, places: Places) -> None:
    path = parquet(tmp_path, numbers(0, 20))
    found = survey(Scan(path), places, "shm")
    Path(path).write_bytes(b"PAR1 no more")
    found = replace(found, objects=(Stored(path, 12, "?"),))
    assert prune(found, parse("number = 1"), places).kept == {path: None}


def test_texts_that_end_within_a_character_say_nothing() -> None:
    class Cut:
        @property
        def min(self) -> str:
            return b"\xc3".decode()

    from seer_integration.skipping.footers import bound_of

    assert bound_of(Cut(), "min") is None


# --- What is not left out --------------------------------------------------------------------------------------------


def test_an_object_that_has_changed_is_read(tmp_path: Path, places: Places) -> None:
    wrote(tmp_path, places, numbers(0, 10), numbers(10, 20), form="csv")
    for path in (tmp_path / "data").glob("part-00000-*"):
        size = path.stat().st_size
        path.write_text(path.read_text().replace("\n7,", "\n5,"))
        assert path.stat().st_size == size
    found = survey(Scan(f"{tmp_path}/data/"), places, "shm")
    assert names(pruned(found, "number = 15", places)) == ["00000", "00001"]


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "flipped", "other"])
def test_an_index_that_is_missing_or_damaged_only_costs_speed(tmp_path: Path, places: Places, damage: str) -> None:
    found = wrote(tmp_path, places, numbers(0, 10), numbers(10, 20), form="csv")
    path = tmp_path / "data" / INDEX
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    as_it_is = {"empty": b"", "cut": bytes(data[:-1]), "flipped": bytes(data), "other": b"an index\nof another kind"}
    path.unlink() if damage == "missing" else path.write_bytes(as_it_is[damage])
    result = pruned(found, "number = 15", places)
    assert len(result.kept) == 2
    assert str(result) == "nothing is known of the objects by which to leave some out: build an index"


def test_an_index_is_of_rows_as_they_were_read(tmp_path: Path, places: Places) -> None:
    location = files(tmp_path, "1,9\n2,8\n", "3,7\n4,6\n")
    scan = Scan(location, names=["a", "b"])
    build(scan, None, places, "shm")
    assert names(pruned(survey(scan, places, "shm"), "a = 4", places)) == ["1.csv"]
    for other in (replace(scan, names=["b", "a"]), replace(scan, types={"a": "str"}), replace(scan, delimiter=";")):
        found = survey(replace(other, names=["a"]) if other.delimiter == ";" else other, places, "shm")
        assert len(prune(found, parse("a IS NOT NULL"), places).kept) == 2
    found = survey(replace(scan, names=["b", "a"]), places, "shm")
    assert names(pruned(found, "a = 9", places)) == ["0.csv", "1.csv"]


def test_filters_that_cannot_be_looked_into_leave_out_nothing(tmp_path: Path, places: Places) -> None:
    found = wrote(tmp_path, places, numbers(0, 10), numbers(10, 20))
    expression = of(pa.compute.field("number") == 15)
    assert expression is not None
    assert len(prune(found, expression, places).kept) == 2
    with pytest.raises(PlanError, match="nmber"):
        prune(found, parse("nmber = 1"), places)


def test_an_object_without_a_version_is_read() -> None:
    stored = Stored("a", 5, "")
    known = Index(pa.schema([]), {"a": Indexed(stored, "m", ())})
    assert known.of(stored, "m") is None
    assert known.of(replace(stored, version="1"), "m") is None


# --- Indexes of what is there ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_an_index_of_files_of_others(tmp_path: Path, places: Places, ending: str) -> None:
    row = {"csv": "{},x{}\n", "jsonl": '{{"0": {}, "1": "x{}"}}\n'}[ending]
    texts = ["".join(row.format(each, each % 3) for each in range(at, at + 10)) for at in range(0, 50, 10)]
    location = files(tmp_path, *texts, ending=ending)
    built = build(Scan(location), ["0"], places, "shm")
    assert (built.location.key, built.columns, built.objects, built.rows) == (location + INDEX, ("0",), 5, 50)
    assert names(pruned(survey(Scan(location), places, "shm"), '"0" >= 42', places)) == [f"4.{ending}"]
    # The same index serves each of the files, and those that a pattern names.
    one = survey(Scan(f"{location}3.{ending}"), places, "shm")
    assert pruned(one, '"0" = 1', places).kept == {}
    some = survey(Scan(f"{location}[0-2].{ending}"), places, "shm")
    assert names(pruned(some, '"0" = 11', places)) == [f"1.{ending}"]


def test_an_index_is_brought_up_to_date_by_reading_what_is_new(tmp_path: Path, places: Places) -> None:
    location = files(tmp_path, "1,9\n", "2,8\n")
    assert build(Scan(location), ["0"], places, "shm").bytes_read == 8
    assert build(Scan(location), ["0"], places, "shm").bytes_read == 0
    (tmp_path / "data" / "1.csv").write_text("20,8\n")
    (tmp_path / "data" / "2.csv").write_text("3,7\n")
    assert build(Scan(location), ["0"], places, "shm").bytes_read == 9
    assert names(pruned(survey(Scan(location), places, "shm"), '"0" = 20', places)) == ["1.csv"]
    both = build(Scan(location), ["1"], places, "shm")
    assert (both.columns, both.bytes_read) == (("1", "0"), 13)
    found = survey(Scan(location), places, "shm")
    assert names(pruned(found, '"1" = 7', places)) == ["2.csv"]
    assert names(pruned(found, '"0" = 20', places)) == ["1.csv"]


def test_an_index_may_be_elsewhere(tmp_path: Path, places: Places) -> None:
    location, at = files(tmp_path, "1\n", "2\n"), Location(None, "", f"{tmp_path}/elsewhere")
    build(Scan(location), None, places, "shm", at=at)
    found = survey(Scan(location), places, "shm")
    assert names(prune(found, parse('"0" = 2'), places, index=at)) == ["1.csv"]
    assert len(prune(found, parse('"0" = 2'), places).kept) == 2


def test_an_index_is_built_by_whoever_maps(tmp_path: Path, places: Places) -> None:
    location = files(tmp_path, "1\n", "2\n")
    asked: list[str] = []

    def mapped(task: object, surveys: Sequence[Survey]) -> list[Indexed]:
        asked.extend(each.objects[0].key for each in surveys)
        return [described(each, ["0"], places) for each in surveys]

    assert build(Scan(location), ["0"], places, "shm", mapped=mapped).rows == 2
    assert asked == [f"{location}0.csv", f"{location}1.csv"]


def test_files_with_rows_that_were_left_out_are_not_indexed(tmp_path: Path, places: Places) -> None:
    location = files(tmp_path, "1,a\n2,b\nx\n", "3,c\n")
    build(Scan(location, malformed="skip"), None, places, "shm")
    found = survey(Scan(location, malformed="skip"), places, "shm")
    assert names(pruned(found, '"0" = 9', places)) == ["0.csv"]


def test_a_column_to_index_that_is_not_there_is_named(tmp_path: Path, places: Places) -> None:
    location = files(tmp_path, "size\n1\n")
    with pytest.raises(OperationError, match="index: columns='sise' is no column; did you mean 'size'"):
        build(Scan(location, header=True), ["sise"], places, "shm")
    with pytest.raises(DatasetError):
        build(Scan(f"{tmp_path}/nowhere/"), None, places, "shm")


# --- What is written down --------------------------------------------------------------------------------------------

MOMENT = datetime.datetime(2020, 2, 29, 1, 2, 3, 4, tzinfo=datetime.timezone.utc)
VALUES = {
    "uint64": pa.array([0, 2**64 - 1], pa.uint64()),
    "float32": pa.array([0.1, -0.0], pa.float32()),
    "text": pa.array(["", "\U0010ffff"]),
    "bytes": pa.array([b"", b"\xff"]),
    "bool": pa.array([True, None]),
    "date": pa.array([datetime.date(1, 1, 1), datetime.date(9999, 12, 31)]),
    "time": pa.array([1, 2], pa.time64("us")),
    "nanoseconds": pa.array([-1, 1], pa.timestamp("ns")),
    "zoned": pa.array([MOMENT, MOMENT]),
    "decimal": pa.array([Decimal("-1.10"), Decimal("99999999999999999999.99")]),
    "nothing": pa.nulls(2),
    "list": pa.array([[1], None]),
}


def test_what_an_index_says_comes_back_the_same() -> None:
    table = pa.table(VALUES)
    statistics = statistics_of(table, table.schema.names)
    stored = Stored("data/x", 5, "v")
    index = Index(table.schema, {stored.key: Indexed(stored, "m", (Block(0, 2, statistics), Block(1, 0, {})))})
    found = Index.load(index.dump("data/"), "data/")
    assert found is not None
    assert found.objects == index.objects
    assert found.objects[stored.key].blocks[0].columns["uint64"].greatest == 2**64 - 1
    moved = Index.load(index.dump("data/"), "moved/", pa.schema([("bool", pa.bool_()), ("text", pa.int64())]))
    assert moved is not None
    assert moved.objects["moved/x"].blocks[0].columns == {"bool": statistics["bool"]}


def test_what_is_not_known_exactly_is_not_said() -> None:
    table = pa.table(
        {
            "far": pa.array([2**62], pa.timestamp("s")),
            "fine": pa.array([1], pa.time64("ns")),
            "long": ["x" * 1000],
            "half": pa.array([1.5], pa.float16()),
        }
    )
    for each in statistics_of(table, table.schema.names).values():
        assert (each.least, each.greatest, each.values, each.nulls, each.rows) == (None, None, None, 0, 1)


def test_what_parts_hold_is_what_all_of_them_hold() -> None:
    parts = [pa.table({"x": pa.array(each, pa.int64())}) for each in ([1, 2], [None], [], [7, None])]
    every = statistics_of(pa.concat_tables(parts), ["x"])
    assert merged([statistics_of(each, ["x"]) for each in parts]) == every
    assert every["x"] == ColumnStatistics(1, 7, 2, 5, frozenset({1, 2, 7}))
    unknown = ColumnStatistics(rows=5)
    assert merged([{"x": unknown}, every]) == {"x": ColumnStatistics(rows=10)}


def test_values_are_listed_when_they_are_few() -> None:
    many = pa.table({"few": [each % 32 for each in range(10_000)], "many": [each % 33 for each in range(10_000)]})
    found = statistics_of(many.append_column("late", pa.array([0] * 5000 + list(range(5000)))), ["few", "many", "late"])
    assert found["few"].values == frozenset(range(32))
    assert found["many"].values is None
    assert found["late"].values is None
