"""Rows out of mappers and into reducers, through objects that are mapped and objects that are not."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lithops_shm import Shuffle
from lithops_shm.config import StoreSettings
from lithops_shm.errors import (
    PartitionerError,
    SegmentCorruptError,
    SegmentNotFoundError,
    StaleAttemptError,
    UnsupportedError,
)
from lithops_shm.shuffle import exchange as exchange_room
from lithops_shm.shuffle.exchange import Exchange
from lithops_shm.shuffle.frames import Encoding
from lithops_shm.shuffle.manifest import Manifest
from lithops_shm.shuffle.media.objects import ObjectStore
from lithops_shm.shuffle.media.shared import SharedObjects
from lithops_shm.shuffle.order import sort_indices
from lithops_shm.store import Store


class Objects:
    """A dict; may ignore conditions, as some servers do."""

    maps = False

    def __init__(self, *, honours: bool = True) -> None:
        self.honours = honours
        self.kept: dict[str, bytes] = {}

    def put(self, key: str, parts: Sequence[Any]) -> int:
        self.kept[key] = b"".join(bytes(part) for part in parts)
        return len(self.kept[key])

    def put_if_absent(self, key: str, parts: Sequence[Any]) -> bool:
        if not self.honours:
            raise UnsupportedError("it ignores conditions")
        absent = key not in self.kept
        if absent:
            self.put(key, parts)
        return absent

    def spilled_bytes(self, key: str) -> int:
        return 0

    def get(self, key: str, start: int = 0, stop: int | None = None) -> memoryview:
        if key not in self.kept:
            raise SegmentNotFoundError("dict", key)
        return memoryview(self.kept[key])[start:stop]

    def get_many(self, ranges: Sequence[tuple[str, int, int]]) -> list[memoryview]:
        return [self.get(*each) for each in ranges]

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.kept.pop(key, None)

    def delete_prefix(self, prefix: str) -> int:
        gone = [key for key in self.kept if key.startswith(prefix)]
        self.delete(gone)
        return len(gone)

    def close(self) -> None: ...


@pytest.fixture(params=["shared", "dict"])
def objects(request: pytest.FixtureRequest, shm_directory: Path) -> Iterator[ObjectStore]:
    if request.param == "dict":
        yield Objects()
        return
    store = SharedObjects(Store.open(StoreSettings(directory=str(shm_directory), spill=False)), "lithops")
    yield store
    store.close()


def rows(mapper: int, count: int = 1000) -> pa.Table:
    random = np.random.default_rng(mapper)
    keys = random.integers(0, 300, count)
    texts = pa.array([None if key % 17 == 0 else f"text {key}" for key in keys], pa.large_string())
    return pa.table({"k": keys, "t": texts, "v": np.arange(count) + 10_000 * mapper})


def exchanged(exchange: Exchange, tables: Sequence[pa.Table | None], slots: int = 1) -> tuple[Manifest, list[pa.Table]]:
    outputs = [exchange.write(mapper, 0, table) for mapper, table in enumerate(tables)]
    ref = exchange.commit(exchange.plan("s", outputs, len(tables), slots))
    manifest = exchange.manifest(ref)
    return manifest, [exchange.read(manifest, number) for number in range(manifest.partitions)]


def as_set(tables: Iterable[pa.Table]) -> set[tuple[Any, ...]]:
    return {tuple(row.values()) for table in tables for row in table.to_pylist()}


TABLES = [rows(0), None, rows(2, 1), rows(3).slice(0, 0), rows(4, 500)]
GIVEN = [table for table in TABLES if table is not None]


@pytest.mark.parametrize("kind", ["hash", "range"])
def test_a_mapper_leaves_several_segments(shm_directory: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange_room, "_SEGMENT_BYTES", 1000)
    with Store.open(StoreSettings(directory=str(shm_directory))) as store:
        exchange = Exchange(Shuffle(by="k", kind=kind, sort=True, partitions=5), SharedObjects(store, "lithops"), "p")
        manifest, found = exchanged(exchange, [rows(0), rows(1, 30)])
        assert [len(output.keys) for output in manifest.outputs] == [8, 1]
        assert as_set(found) == as_set([rows(0), rows(1, 30)])
        readers = manifest.readers()
        assert all(0 < len(readers[key]) < 5 for key in manifest.outputs[0].keys)
        # Those that nobody of the later partitions reads may go after the first.
        exchange.release([key for key, partitions in readers.items() if partitions == {0}])
        assert as_set(exchange.read(manifest, number) for number in range(1, 5)) == as_set(found[1:])
        del found, exchange


@pytest.mark.parametrize(
    ("mappers", "partitions", "samples"),
    [(1, 10, 192), (1, 40, 640), (4, 40, 320), (64, 10, 192), (64, 200, 600), (1, 2000, 16_384), (64, None, 1024)],
)
def test_of_many_mappers_each_samples_fewer_keys(mappers: int, partitions: int | None, samples: int) -> None:
    shuffle = Shuffle(by="k", kind="range", partitions=partitions)
    output = Exchange(shuffle, Objects(), "p", mappers=mappers).write(0, 0, pa.table({"k": range(100_000)}))
    assert output.samples is not None
    assert output.samples.num_rows == samples


@pytest.mark.parametrize("mappers", [1, 3, 64])
def test_ranges_are_of_about_one_size_with_any_number_of_mappers(mappers: int) -> None:
    random = np.random.default_rng(mappers)
    exchange = Exchange(Shuffle(by="k", kind="range", partitions=16), Objects(), "p", mappers=mappers)
    kinds = [random.random(40_000), random.lognormal(0, 2, 40_000), np.arange(40_000.0)]
    for keys in kinds:
        tables = [pa.table({"k": part}) for part in np.array_split(keys, mappers)]
        _, found = exchanged(exchange, tables)
        exchange.clear()
        assert max(table.num_rows for table in found) < 1.15 * 40_000 / 16


def third(keys: pa.Table, partitions: int) -> Any:
    return keys["k"].to_numpy() % partitions


@pytest.mark.parametrize("kind", ["hash", "range", third])
@pytest.mark.parametrize("by", ["k", ("t", "k")])
@pytest.mark.parametrize("sort", [False, True])
@pytest.mark.parametrize("partitions", [1, 3, 40, None])
def test_every_row_arrives_once(objects: ObjectStore, kind: Any, by: Any, sort: bool, partitions: int | None) -> None:
    shuffle = Shuffle(by=by, kind=kind, sort=sort, partitions=partitions)
    manifest, found = exchanged(Exchange(shuffle, objects, "p"), TABLES, slots=2)
    assert len(found) == manifest.partitions == (partitions or len(found))
    assert sum(table.num_rows for table in found) == sum(table.num_rows for table in GIVEN)
    assert as_set(found) == as_set(GIVEN)
    columns = list(shuffle.columns)
    keys = [set(zip(*(table[name].to_pylist() for name in columns), strict=True)) for table in found]
    assert sum(map(len, keys)) == len(set.union(*keys)), "a key is in two partitions"
    order = [(name, "ascending") for name in columns]
    for table in found if sort else []:
        assert table.equals(table.take(pa.compute.sort_indices(table, order)))
    if kind == "range" and sort:
        whole = pa.concat_tables(found)
        assert whole.select(columns).equals(whole.sort_by(order).select(columns))


@pytest.mark.parametrize("kind", ["hash", "range"])
@pytest.mark.parametrize("mappers", [1, 3])
def test_buckets_that_were_joined_are_sorted(objects: ObjectStore, kind: str, mappers: int) -> None:
    exchange = Exchange(Shuffle(by="k", kind=kind, sort=True), objects, "p")
    manifest, found = exchanged(exchange, [rows(number) for number in range(mappers)])
    assert kind == "range" or manifest.joined(0) > 1
    for partition, table in enumerate(found):
        keys = table["k"].to_pylist()
        assert keys == sorted(keys)
        batches = list(exchange.batches(manifest, partition, 700))
        assert len(batches) > 2
        assert pa.concat_tables(batches).equals(table)


@pytest.mark.parametrize("sort", [False, True])
@pytest.mark.parametrize("kind", ["hash", "range"])
@pytest.mark.parametrize("batch_bytes", [1, 700, 1 << 30])
def test_batches_are_the_partition_in_order(objects: ObjectStore, kind: str, sort: bool, batch_bytes: int) -> None:
    exchange = Exchange(Shuffle(by="k", kind=kind, sort=sort, partitions=2), objects, "p")
    manifest, found = exchanged(exchange, [rows(0, 60), rows(1, 40)])
    for partition, table in enumerate(found):
        batches = list(exchange.batches(manifest, partition, batch_bytes))
        assert pa.concat_tables(batches).equals(table)
        if batch_bytes == 1 << 30:
            assert len(batches) <= (1 if sort else 2)
        if batch_bytes == 700:
            assert 2 < len(batches) <= 20


def test_rows_in_memory_are_slices_of_what_mappers_left(shm_directory: Path) -> None:
    store = Store.open(StoreSettings(directory=str(shm_directory)))
    with store:
        exchange = Exchange(Shuffle(by="k", partitions=2), SharedObjects(store, "lithops"), "p")
        manifest, found = exchanged(exchange, [rows(0), rows(1)])
        view = store.attach("lithops", manifest.outputs[0].keys[0]).view
        mapped = np.frombuffer(view, np.uint8).size
        assert mapped > 0
        chunk = found[0]["v"].chunk(0)
        assert not chunk.buffers()[1].is_mutable
        del view, chunk, found, exchange


def test_a_manifest_is_committed_once(objects: ObjectStore) -> None:
    exchange = Exchange(Shuffle(by="k", partitions=2), objects, "p")
    manifest = exchange.plan("s", [exchange.write(0, 0, rows(0))], 1)
    exchange.commit(manifest)
    with pytest.raises(StaleAttemptError, match="one committed before does"):
        exchange.commit(manifest)


def test_where_conditions_are_ignored_a_manifest_is_named_by_its_bytes() -> None:
    objects = Objects(honours=False)
    exchange = Exchange(Shuffle(by="k", partitions=2), objects, "p")
    refs = [exchange.commit(exchange.plan("s", [exchange.write(0, turn, rows(turn))], 1)) for turn in range(2)]
    assert refs[0].key != refs[1].key
    assert [exchange.manifest(ref).outputs[0].attempt for ref in refs] == [0, 1]


def test_another_manifest_is_not_believed() -> None:
    objects = Objects()
    exchange = Exchange(Shuffle(by="k", partitions=2), objects, "p")
    ref = exchange.commit(exchange.plan("s", [exchange.write(0, 0, rows(0))], 1))
    objects.put(ref.key, [exchange.plan("s", [exchange.write(0, 1, rows(0))], 1).dump()])
    with pytest.raises(SegmentCorruptError, match="not the one that was committed"):
        exchange.manifest(ref)


@pytest.mark.parametrize("attempt", [0, 1])
def test_attempts_do_not_touch_each_other(objects: ObjectStore, attempt: int) -> None:
    """Nor do two runs of one attempt, as of a call that Lambda has delivered twice."""
    exchange = Exchange(Shuffle(by="k", partitions=1), objects, "p")
    first, second = exchange.write(0, 0, rows(0)), exchange.write(0, attempt, rows(0))
    assert not set(first.keys) & set(second.keys)
    manifest = exchange.plan("s", [second], 1)
    exchange.release(first.keys)
    assert exchange.read(manifest, 0).num_rows == 1000
    exchange.clear()
    with pytest.raises(SegmentNotFoundError):
        exchange.read(manifest, 0)


class Mapping(Objects):
    """A dict that is mapped, and counts how often."""

    maps = True

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def get(self, key: str, start: int = 0, stop: int | None = None) -> memoryview:
        self.asked.append(key)
        return super().get(key, start, stop)


@pytest.mark.parametrize("kind", ["hash", "range"])
def test_a_segment_is_mapped_once_and_until_its_last_partition(kind: str) -> None:
    objects = Mapping()
    exchange = Exchange(Shuffle(by="k", kind=kind, partitions=5, sort=True), objects, "p")
    outputs = [exchange.write(mapper, 0, rows(mapper)) for mapper in range(3)]
    manifest = exchange.plan("s", outputs, 3)
    total = 0
    for partition in range(5):
        exchange.let_go(manifest, partition)
        total += exchange.read(manifest, partition).num_rows
    assert total == 3000
    assert sorted(objects.asked) == sorted(key for output in outputs for key in output.keys)
    exchange.let_go(manifest, 5)
    assert exchange.read(manifest, 0).num_rows == exchange.read(manifest, 0).num_rows > 0
    assert len(objects.asked) == 6, "all were let go, and are had again"


def test_a_manifest_is_read_once() -> None:
    objects = Mapping()
    exchange = Exchange(Shuffle(by="k", partitions=2), objects, "p")
    ref = exchange.commit(exchange.plan("s", [exchange.write(0, 0, rows(0))], 1))
    assert exchange.manifest(ref) is exchange.manifest(ref)
    assert objects.asked == [ref.key]


def test_a_column_without_values_takes_the_type_it_has_elsewhere(objects: ObjectStore) -> None:
    empty = pa.table({"k": [1, 2], "t": pa.nulls(2), "v": [1, 2]})
    for kind, by in (("hash", "k"), ("range", "t")):
        exchange = Exchange(Shuffle(by=by, kind=kind, partitions=2, sort=True), objects, f"p-{kind}")
        for tables in ([empty, rows(0)], [rows(0), empty]):
            _, found = exchanged(exchange, tables)
            exchange.clear()
            assert sum(table["t"].null_count for table in found) == 2 + rows(0)["t"].null_count
            assert {table.schema.field("t").type for table in found} == {pa.large_string()}


@pytest.mark.parametrize("encoding", [Encoding("arrow", "none"), Encoding("arrow", "zstd"), Encoding("parquet", "lz4")])
def test_encodings_of_frames(encoding: Encoding) -> None:
    _, found = exchanged(Exchange(Shuffle(by="k", kind="range", partitions=3), Objects(), "p", encoding), TABLES)
    assert as_set(found) == as_set(GIVEN)


@pytest.mark.parametrize(
    ("by", "kind", "said"), [("x", "hash", "'x'"), ("l", "hash", "list"), ("l", "range", "list"), ("k", "range", None)]
)
def test_keys_that_will_not_do_are_refused(objects: ObjectStore, by: str, kind: str, said: str | None) -> None:
    table = pa.table({"k": [1], "l": [[1]]})
    exchange = Exchange(Shuffle(by=by, kind=kind, partitions=2), objects, "p")
    if said is None:
        exchange.write(0, 0, table)
        return
    with pytest.raises(PartitionerError, match=said):
        exchange.write(0, 0, table)


NUMBERS = np.random.default_rng(9).integers(0, 5000, 3000)
KEYS: dict[str, pa.Array] = {
    **{
        str(kind): pa.array(NUMBERS, pa.int64()).cast(kind)
        for unit in ("s", "ms", "us", "ns")
        for kind in (pa.timestamp(unit), pa.duration(unit), pa.timestamp(unit, "Europe/Rome"))
    },
    **{str(kind): pa.array(NUMBERS, pa.int32()).cast(kind) for kind in (pa.time32("s"), pa.time32("ms"), pa.date32())},
    **{str(kind): pa.array(NUMBERS, pa.int64()).cast(kind) for kind in (pa.time64("us"), pa.time64("ns"))},
    "date64": pa.array(NUMBERS * 86_400_000, pa.int64()).cast(pa.date64()),
    "uint8": pa.array(NUMBERS % 200, pa.uint8()),
    "halffloat": pa.array(NUMBERS % 999).cast(pa.float16()),
    "decimal": pa.array(NUMBERS).cast(pa.decimal128(20, 0)),
    "bytes": pa.array([b"%d" % number for number in NUMBERS], pa.binary()),
    "width": pa.array([b"%04d" % number for number in NUMBERS], pa.binary(4)),
    "text": pa.array([f"{number}" for number in NUMBERS]),
    "category": pa.array([f"{number}" for number in NUMBERS]).dictionary_encode(),
    "numbered": pa.array(NUMBERS).dictionary_encode(),
}


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("form", ["arrow", "parquet"])
def test_keys_of_every_type_are_cut_where_they_should_be(name: str, form: str) -> None:
    """Parquet has no seconds, and other types neither: bounds are of the type the mappers had."""
    table = pa.table({"k": KEYS[name], "row": np.arange(len(NUMBERS))})
    parts = [table.slice(0, 1700), table.slice(1700)]
    exchange = Exchange(Shuffle(by="k", kind="range", sort=True, partitions=5), Objects(), "p", Encoding(form, "none"))
    _, found = exchanged(exchange, parts)
    whole = pa.concat_tables(found)
    assert whole.schema.equals(table.schema)
    by_arrow = sort_indices(pa.table({"k": KEYS[name]}), ["k"])
    assert whole["row"].to_pylist() == by_arrow.tolist()
    assert whole["k"].to_pylist() == table.take(pa.array(by_arrow))["k"].to_pylist()
    edges = [(before["k"][-1], after["k"][0]) for before, after in itertools.pairwise(found)]
    assert not any(before.equals(after) for before, after in edges), "a key is in two partitions"
