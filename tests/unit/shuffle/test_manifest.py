"""What counts, and how it is cut: pure functions over what mappers told."""

import itertools
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lithops_shm.errors import IncompleteShuffleError, SchemaMismatchError
from lithops_shm.shuffle import ranges
from lithops_shm.shuffle.manifest import Manifest, MapOutput
from lithops_shm.shuffle.planning import PARTITION_BYTES, plan

SCHEMA = pa.schema([("k", pa.int64()), ("v", pa.large_string())])


def output(mapper: int, counts: list[int], *, nbytes: int = 100, schema: pa.Schema | None = SCHEMA) -> MapOutput:
    """Of a mapper that has so many rows in each bucket."""
    positions = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    begins = np.array([0, sum(counts)])
    return MapOutput(mapper, 0, (f"map/{mapper}",), sum(counts), nbytes, "arrow", schema, positions, begins)


def nothing(mapper: int) -> MapOutput:
    return MapOutput(mapper, 0, (), 0, 0, "arrow", None, np.zeros(1, np.int64), np.zeros(1, np.int64))


def extents(manifest: Manifest) -> list[list[tuple[int, int, int]]]:
    """Of each partition its pieces: mapper, first row, end."""
    return [
        [(piece.mapper, piece.start, piece.stop) for piece in manifest.pieces(partition)]
        for partition in range(manifest.partitions)
    ]


class TestBuckets:
    def test_one_bucket_a_partition(self) -> None:
        manifest = plan("s", [output(1, [0, 4]), output(0, [3, 2])], 2, by=("k",), partitions=2)
        assert extents(manifest) == [[(0, 0, 3)], [(0, 3, 5), (1, 0, 4)]]
        assert manifest.rows == 9
        assert manifest.readers() == {"map/0": {0, 1}, "map/1": {1}}

    def test_buckets_are_joined_by_size(self) -> None:
        manifest = plan("s", [output(0, [9, 1, 1, 1, 8, 2, 1, 1])], 1, by=("k",), partitions=None, slots=3)
        assert manifest.partitions == 3
        assert extents(manifest) == [[(0, 0, 9)], [(0, 9, 20)], [(0, 20, 24)]], "the edges that are nearest"
        assert [manifest.joined(partition) for partition in range(3)] == [1, 4, 3]
        even = plan("s", [output(0, [60, 60, 1])], 1, by=("k",), partitions=None, slots=2)
        assert extents(even) == [[(0, 0, 60)], [(0, 60, 121)]]

    def test_chosen_partitions_are_of_bounded_size(self) -> None:
        outputs = [output(number, [5] * 256, nbytes=10 * PARTITION_BYTES) for number in range(4)]
        assert plan("s", outputs, 4, by=("k",), partitions=None).partitions == 40
        assert plan("s", outputs, 4, by=("k",), partitions=None, slots=16).partitions == 48, "so that none is idle"

    def test_chosen_partitions_all_have_rows(self) -> None:
        few = [output(0, [0] * 100 + [3] + [0] * 100 + [4] + [0] * 54)]
        assert extents(plan("s", few, 1, by=("k",), partitions=None, slots=1000)) == [[(0, 0, 3)], [(0, 3, 7)]]
        small = [output(0, [5] * 256, nbytes=1 << 20)]
        assert plan("s", small, 1, by=("k",), partitions=None, slots=1000).partitions == 16
        larger = [output(0, [5] * 256, nbytes=100 << 20)]
        assert plan("s", larger, 1, by=("k",), partitions=None, slots=1000).partitions == 100

    @pytest.mark.parametrize("partitions", [1, 2, 3, 7, 255, 256, 300])
    def test_every_row_is_in_one_partition(self, partitions: int) -> None:
        random = np.random.default_rng(partitions)
        outputs = [output(number, random.integers(0, 50, 256).tolist()) for number in range(3)]
        manifest = plan("s", [*outputs, nothing(3)], 4, by=("k",), partitions=None, slots=partitions)
        for mapper in range(3):
            pieces = [piece for each in extents(manifest) for piece in each if piece[0] == mapper]
            assert pieces[0][1] == 0
            assert pieces[-1][2] == outputs[mapper].rows
            assert all(before[2] == after[1] for before, after in itertools.pairwise(pieces))

    def test_no_rows_at_all(self) -> None:
        manifest = plan("s", [nothing(0), nothing(1)], 2, by=("k",), partitions=2)
        assert extents(manifest) == [[], []]
        assert manifest.schema is None


def ranged(mapper: int, values: list[Any], samples: int = 4, objects: int = 1) -> tuple[MapOutput, pa.Table]:
    table = pa.table({"k": pa.array(sorted(values), pa.int64())})
    positions = np.append(ranges.places(len(values), samples), len(values)).astype(np.int64)
    sample = ranges.sample(table, ("k",), samples)
    begins = np.linspace(0, len(values), objects + 1).astype(np.int64)
    keys = tuple(f"map/{mapper}.{number}" for number in range(objects))
    made = MapOutput(mapper, 0, keys, len(values), 8, "arrow", table.schema, positions, begins, samples=sample)
    return made, table


@pytest.mark.parametrize("partitions", [1, 2, 3, 5, 40])
@pytest.mark.parametrize("samples", [2, 3, 16])
@pytest.mark.parametrize("objects", [1, 3])
def test_ranges_hold_all_rows_that_may_be_theirs(partitions: int, samples: int, objects: int) -> None:
    random = np.random.default_rng(samples)
    made = [
        ranged(number, random.integers(0, 30, random.integers(3, 60)).tolist(), samples, objects) for number in range(4)
    ]
    manifest = plan("s", [each for each, _ in made], 4, by=("k",), partitions=partitions)
    assert manifest.bounds is not None
    found: list[list[int]] = []
    for partition in range(partitions):
        rows: list[int] = []
        for piece in manifest.pieces(partition):
            stored, table = made[piece.mapper]
            begins = stored.begins.tolist()
            number = stored.keys.index(piece.key)
            table = table.slice(begins[number], begins[number + 1] - begins[number])
            keys = ranges.Range(ranges.Keys(manifest.bounds, ["k"]), partition)
            start, stop = keys.rows_in(ranges.Keys(table, ["k"]), piece.start, piece.stop)
            near = keys.rows_in(ranges.Keys(table, ["k"]), piece.start, piece.stop, piece.begun_by, piece.ends_from)
            assert near == (start, stop)
            rows += table.slice(start, stop - start)["k"].to_pylist()
        found.append(sorted(rows))
    every = sorted(value for _, table in made for value in table["k"].to_pylist())
    assert list(itertools.chain.from_iterable(found)) == every


def test_a_manifest_comes_back_as_it_was() -> None:
    made = [ranged(number, list(range(number, 100, 3)))[0] for number in range(3)]
    for manifest in (
        plan("s", made, 3, by=("k",), partitions=4),
        plan("s", [output(0, [3, 2]), output(1, [0, 4])], 2, by=("k",), partitions=2),
        plan("s", [nothing(0)], 1, by=("k",), partitions=3),
    ):
        again = Manifest.load(manifest.dump())
        assert extents(again) == extents(manifest)
        assert (again.shuffle, again.partitions, again.library) == ("s", manifest.partitions, "arrow")
        assert again.schema == manifest.schema
        assert (again.bounds is None) == (manifest.bounds is None)
        assert again.bounds is None or again.bounds.equals(manifest.bounds)
        assert [each.attempt for each in again.outputs] == [0] * len(manifest.outputs)


def test_frames_travel_with_their_pieces() -> None:
    positions, begins, offsets = np.array([0, 3, 5]), np.array([0, 5]), np.array([0, 30, 77])
    framed = MapOutput(0, 2, ("o",), 5, 9, "arrow", SCHEMA, positions, begins, offsets, np.array([2**32 - 1, 6]))
    (piece,) = Manifest.load(plan("s", [framed], 1, by=("k",), partitions=2).dump()).pieces(1)
    assert piece.offsets is not None
    assert piece.checksums is not None
    assert (piece.offsets.tolist(), piece.checksums.tolist()) == ([30, 77], [6])


@pytest.mark.parametrize(
    ("mappers", "said"), [([0, 2], "mapper 1"), ([0, 1, 1, 2], "mapper 1"), ([], "mapper 0, 1, 2")]
)
def test_each_mapper_counts_once(mappers: list[int], said: str) -> None:
    with pytest.raises(IncompleteShuffleError, match=f"shuffle s has no output of {said}|counts"):
        plan("s", [output(number, [1]) for number in mappers], 3, by=("k",), partitions=1)


class TestSchemas:
    @pytest.mark.parametrize(
        ("other", "said"),
        [
            (
                pa.schema([("k", pa.int32()), ("v", pa.large_string())]),
                "mapper 1 gives column 'k' as int32, mapper 0",
            ),
            (pa.schema([("k", pa.int64())]), "mapper 1 gives column 'v' as no column"),
            (pa.schema([*SCHEMA, ("w", pa.int8())]), "mapper 1 gives column 'w' as int8, mapper 0 as no column"),
        ],
    )
    def test_a_difference_is_named(self, other: pa.Schema, said: str) -> None:
        with pytest.raises(SchemaMismatchError, match=said):
            plan("s", [output(0, [1]), output(1, [1], schema=other)], 2, by=("k",), partitions=1)

    def test_all_null_agrees_with_any(self) -> None:
        null = pa.schema([("k", pa.int64()), ("v", pa.null())])
        for schemas in ([SCHEMA, null], [null, SCHEMA]):
            outputs = [output(number, [1], schema=schema) for number, schema in enumerate(schemas)]
            schema = plan("s", outputs, 2, by=("k",), partitions=1).schema
            assert schema is not None
            assert schema.field("v").type == pa.large_string()

    def test_order_and_metadata_do_not_matter(self) -> None:
        other = pa.schema([SCHEMA.field(1), SCHEMA.field(0)], {"a": "b"})
        plan("s", [output(0, [1]), output(1, [1], schema=other)], 2, by=("k",), partitions=1)

    def test_columns_of_one_name_are_told_apart_by_their_place(self) -> None:
        twice = pa.schema([*SCHEMA, ("v", pa.int8())])
        outputs = [output(number, [1], schema=twice) for number in range(2)]
        assert plan("s", outputs, 2, by=("k",), partitions=1).schema == twice
        for first, second in ((twice, SCHEMA), (SCHEMA, twice)):
            with pytest.raises(SchemaMismatchError, match=r"mapper 1 gives column 'v' as .*no column"):
                plan("s", [output(0, [1], schema=first), output(1, [1], schema=second)], 2, by=("k",), partitions=1)
