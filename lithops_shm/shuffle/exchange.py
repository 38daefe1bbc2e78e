"""The exchange: a mapper's rows out as one object, or a few segments; a partition's rows in from all of them."""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lithops_shm import codec
from lithops_shm.errors import IncompleteShuffleError, SegmentCorruptError, StaleAttemptError, UnsupportedError
from lithops_shm.shuffle import ranges
from lithops_shm.shuffle.frames import Encoding, dump_frames, load_frames
from lithops_shm.shuffle.gather import Gatherer, gather
from lithops_shm.shuffle.keys import check_keys
from lithops_shm.shuffle.manifest import Manifest, MapOutput, Piece
from lithops_shm.shuffle.media.objects import ObjectStore
from lithops_shm.shuffle.order import sort_indices
from lithops_shm.shuffle.partition import bucket_order, bucket_positions, buckets_by_function, buckets_by_hash
from lithops_shm.shuffle.planning import plan
from lithops_shm.shuffle.refine import Indices
from lithops_shm.shuffle.schemas import conformed
from lithops_shm.shuffle.spec import Shuffle
from lithops_shm.store import InPlace

__all__ = ["Exchange", "ManifestRef"]

# Where the number of partitions is left to us, rows are cut finer, and neighbours joined when sizes are known.
_BUCKETS = 256
# Sampled keys of one mapper, per partition: with so many a range is off by 1/16 at each end in the worst case. How far
# off several mappers are adds up as independent errors do, so each may take fewer. But not too few: where all have the
# same keys no cut is finer than the samples of one. And not fewer than cost nothing: what a mapper tells of these goes
# along with its status.
_SAMPLES_PER_PARTITION = 16
_LEAST_PER_PARTITION = 3
_LEAST_SAMPLES = 192
_SAMPLES = 1024
_MOST_SAMPLES = 16_384

# In memory a mapper's rows are a few segments, not one, so that those of the first partitions are given back while the
# last are still to be reduced; smaller ones would not be on huge pages.
_SEGMENTS = 8
_SEGMENT_BYTES = 8 << 20

BATCH_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class ManifestRef:
    """Where the manifest of a shuffle is, and what its bytes add up to."""

    key: str
    crc32: int


class Exchange:
    """One shuffle's objects in a store. Mappers write, one commits, reducers read; each in a process of its own.

    What is read of a segment stays mapped for the next partition, until :meth:`let_go`.

    Parameters
    ----------
    shuffle:
        What it does.
    objects:
        Where its objects are. In one that maps (shared memory), a mapper leaves its rows as tables, which reducers
        slice without a copy; in any other as frames, which they read by range.
    prefix:
        Of the keys of its objects, different for each shuffle.
    encoding:
        Of frames.
    mappers:
        How many write, as far as is known: the more, the fewer keys each has to sample for ranges.
    """

    def __init__(
        self,
        shuffle: Shuffle,
        objects: ObjectStore,
        prefix: str,
        encoding: Encoding | None = None,
        mappers: int = 1,
    ) -> None:
        self._shuffle = shuffle
        self._mappers = mappers
        self._objects = objects
        self._prefix = prefix
        self._encoding = encoding or Encoding()
        self._manifest: tuple[ManifestRef, Manifest] | None = None
        self._segments: dict[str, _Segment] = {}
        self._last: tuple[Manifest, dict[str, int]] | None = None
        self._bounds: tuple[Manifest, ranges.Keys] | None = None

    def write(self, mapper: int, attempt: int, table: pa.Table | None, library: str = "arrow") -> MapOutput:
        """Store the rows of a mapper in the order of partitions: one object, or in memory a few segments.

        Parameters
        ----------
        mapper, attempt:
            Numbers from 0. Attempts write objects of their own, so that none can spoil another's; so do two runs of one
            attempt, as of a call that was delivered twice.
        table:
            Its rows; ``None`` for none.
        library:
            What they were when the mapper returned them.

        Raises
        ------
        PartitionerError
            When the key is missing, or of a type that cannot be hashed or compared.
        StoreFullError, ShuffleStorageError
        """
        key = f"{self._prefix}/map/{mapper:05}-{attempt}-{secrets.token_hex(4)}"
        if table is None or not table.num_rows:
            schema = None if table is None else table.schema
            nothing = np.zeros(1, np.int64)
            return MapOutput(mapper, attempt, (), 0, 0, library, schema, nothing, nothing)
        check_keys(table.schema, self._shuffle.columns, ordered=self._shuffle.ordered)
        samples = None
        order: Indices | None
        if self._shuffle.kind == "range":
            order = sort_indices(table, self._shuffle.columns)
            samples = ranges.sample(table, self._shuffle.columns, self._samples, order)
            positions = np.append(ranges.places(table.num_rows, self._samples), table.num_rows)
        else:
            order, positions = self._bucketed(table)
        offsets = checksums = None
        if self._objects.maps:
            keys, begins = self._put_segments(key, table, order)
        else:
            table = table if order is None else gather(table, order)
            frames, offsets, checksums = dump_frames(table, positions, self._encoding)
            self._objects.put(key, frames)
            keys, begins = (key,), np.array([0, table.num_rows], np.int64)
        return MapOutput(
            mapper,
            attempt,
            keys,
            table.num_rows,
            table.nbytes,
            library,
            table.schema,
            positions,
            begins,
            offsets,
            checksums,
            samples,
            sum(map(self._objects.spilled_bytes, keys)),
        )

    def plan(self, shuffle_id: str, outputs: Sequence[MapOutput], mappers: int, slots: int = 1) -> Manifest:
        """Join the outputs that count; see :func:`~lithops_shm.shuffle.planning.plan`."""
        shuffle = self._shuffle
        partitions = shuffle.partitions or (self._buckets if callable(shuffle.kind) else None)
        return plan(shuffle_id, outputs, mappers, by=shuffle.columns, partitions=partitions, slots=slots)

    def commit(self, manifest: Manifest) -> ManifestRef:
        """Publish the manifest, once: whoever is second is refused.

        In a store that does not honour conditions its name is made of its bytes, so that no other can take its place.

        Raises
        ------
        StaleAttemptError
            When the shuffle has a manifest already.
        """
        data = manifest.dump()
        ref = ManifestRef(f"{self._prefix}/manifest", crc32(data))
        try:
            if not self._objects.put_if_absent(ref.key, [memoryview(data)]):
                raise StaleAttemptError(f"the manifest of shuffle {manifest.shuffle}", "this", "one committed before")
        except UnsupportedError:
            ref = ManifestRef(f"{self._prefix}/manifest-{ref.crc32:08x}-{len(data)}", ref.crc32)
            self._objects.put(ref.key, [memoryview(data)])
        return ref

    def manifest(self, ref: ManifestRef) -> Manifest:
        """The manifest that was committed, read once; raises SegmentCorruptError when it is another."""
        if self._manifest is None or self._manifest[0] != ref:
            data = self._objects.get(ref.key)
            if crc32(data) != ref.crc32:
                raise SegmentCorruptError(f"the manifest {ref.key}", "it is not the one that was committed")
            self._manifest = ref, Manifest.load(data)
        return self._manifest[1]

    def read(
        self, manifest: Manifest, partition: int, make: Callable[[InPlace], pa.Table | None] | None = None
    ) -> pa.Table:
        """The rows of a partition, sorted if the shuffle sorts; else slices of what mappers left, uncopied in memory.

        Parameters
        ----------
        make:
            Makes an encoded table somewhere, and gives it as it is there; or does not, and gives ``None``. Asked for
            rows that have to be gathered; without, they are in private memory.

        Raises
        ------
        SegmentNotFoundError, SegmentCorruptError, ShuffleStorageError
        """
        runs = list(self.runs(manifest, partition))
        if not runs:
            return _empty(manifest)
        table = pa.concat_tables(runs)
        if not self._shuffle.sort or (len(runs) == 1 and self._is_sorted(manifest, partition)):
            return table
        order = sort_indices(table, self._shuffle.columns)
        made = None if make is None else make(Gatherer(table).at(order))
        return gather(table, order) if made is None else made

    def batches(self, manifest: Manifest, partition: int, batch_bytes: int = BATCH_BYTES) -> Iterator[pa.Table]:
        """The rows of a partition as tables of about `batch_bytes` bytes each, in the order :meth:`read` has.

        In shared memory no more than one is held at a time. From other stores unsorted rows come mapper by mapper, and
        sorted ones are all fetched first. Hashed rows that are to be sorted are held all at once where the number of
        partitions, and so their size, was chosen by us.
        """
        if not self._shuffle.sort:
            for run in self.runs(manifest, partition):
                yield from _sliced(run, batch_bytes)
            return
        by = self._shuffle.columns
        runs = list(self.runs(manifest, partition))
        count = -(-sum(run.nbytes for run in runs) // batch_bytes)
        if count <= 1 or len(runs) == 1 or not self._is_sorted(manifest, partition):
            del runs
            yield from _sliced(self.read(manifest, partition), batch_bytes)
            return
        bounds = ranges.bounds([ranges.sample(run, by, _SAMPLES_PER_PARTITION * count) for run in runs], by, count)
        cuts = [[0, *ranges.cut(run, by, bounds), run.num_rows] for run in runs]
        for number in range(len(bounds) + 1):
            slices = [
                run.slice(cut[number], cut[number + 1] - cut[number]) for run, cut in zip(runs, cuts, strict=True)
            ]
            slices = [each for each in slices if each.num_rows]
            if slices:
                table = pa.concat_tables(slices)
                yield gather(table, sort_indices(table, by))

    def release(self, keys_of: Sequence[str]) -> None:
        """Delete objects that nobody will read any longer; memory goes with the last view of it."""
        self._objects.delete(keys_of)
        for key in keys_of:
            self._segments.pop(key, None)

    def clear(self) -> None:
        """Delete whatever the shuffle has left, attempts that died before they could tell of it included."""
        self._objects.delete_prefix(f"{self._prefix}/")
        self._segments.clear()
        self._manifest = None

    def _is_sorted(self, manifest: Manifest, partition: int) -> bool:
        """Whether what each mapper has for a partition is, if the shuffle sorts: all of it by range, else by bucket."""
        return self._shuffle.kind == "range" or manifest.joined(partition) <= 1

    @property
    def _buckets(self) -> int:
        return self._shuffle.partitions or _BUCKETS

    @property
    def _samples(self) -> int:
        partitions = self._shuffle.partitions
        if partitions is None:
            return _SAMPLES
        per_partition = max(_SAMPLES_PER_PARTITION / math.sqrt(self._mappers), _LEAST_PER_PARTITION)
        return min(max(math.ceil(per_partition * partitions), _LEAST_SAMPLES), _MOST_SAMPLES)

    def _put_segments(
        self, key: str, table: pa.Table, order: Indices | None
    ) -> tuple[tuple[str, ...], npt.NDArray[np.int64]]:
        """The rows of a table, in an order, as segments that follow each other; their keys, and where they begin."""
        count = int(min(max(table.nbytes // _SEGMENT_BYTES, 1), _SEGMENTS, table.num_rows))
        begins = np.linspace(0, table.num_rows, count + 1).astype(np.int64)
        keys = tuple(f"{key}.{number}" for number in range(count))
        gatherer = None if order is None else Gatherer(table.combine_chunks())
        for name, begin, end in zip(keys, begins[:-1], begins[1:], strict=True):
            if gatherer is None or order is None:
                self._objects.put(name, codec.encode(table.slice(begin, end - begin), codec="arrow").parts)
            else:
                self._objects.put(name, gatherer.at(order[begin:end]))
        return keys, begins

    def _bucketed(self, table: pa.Table) -> tuple[Indices | None, npt.NDArray[np.int64]]:
        """The rows by bucket, sorted within each if the shuffle sorts, None for as they are; where buckets begin."""
        shuffle, buckets = self._shuffle, self._buckets
        if callable(shuffle.kind):
            rows = table.select(list(shuffle.columns))
            numbers = buckets_by_function(shuffle.kind, rows, table.num_rows, buckets)
        elif buckets == 1:
            numbers = np.zeros(table.num_rows, np.int64)
        else:
            numbers = buckets_by_hash(table, shuffle.columns, buckets)
        positions = bucket_positions(numbers, buckets)
        if shuffle.sort:
            order = sort_indices(table, shuffle.columns)
            return order[bucket_order(numbers[order], buckets)], positions
        return None if buckets == 1 else bucket_order(numbers, buckets), positions

    def runs(self, manifest: Manifest, partition: int) -> Iterator[pa.Table]:
        """What each mapper has for a partition, in the order of mappers; those that have nothing left out."""
        find = self._mapped if self._objects.maps else self._fetched
        for run in find(manifest, partition):
            if run.num_rows:
                yield conformed(run, manifest.schema)

    def let_go(self, manifest: Manifest, partition: int) -> None:
        """Unmap the segments that only partitions before this one read; to be read in order, which costs less."""
        if self._last is None or self._last[0] is not manifest:
            self._last = manifest, {key: max(readers, default=-1) for key, readers in manifest.readers().items()}
        last = self._last[1]
        for key in [key for key in self._segments if last[key] < partition]:
            del self._segments[key]

    def _mapped(self, manifest: Manifest, partition: int) -> Iterator[pa.Table]:
        keys = self._range(manifest, partition)
        for piece in manifest.pieces(partition):
            if piece.key not in self._segments:
                self._segments[piece.key] = _Segment(codec.decode(self._objects.get(piece.key)))
            yield self._rows_of(self._segments[piece.key], piece, 0, keys)

    def _fetched(self, manifest: Manifest, partition: int) -> Iterator[pa.Table]:
        keys = self._range(manifest, partition)
        for batch in _by_size(manifest.pieces(partition), BATCH_BYTES if not self._shuffle.sort else None):
            wanted = [(piece.key, *_extent(piece)) for piece in batch]
            for piece, data in zip(batch, self._objects.get_many(wanted), strict=True):
                assert piece.offsets is not None
                assert piece.checksums is not None
                table = pa.concat_tables(load_frames(data, piece.offsets, piece.checksums, piece.key))
                # Parquet has fewer types than Arrow, and bounds are compared in those of the mappers.
                yield self._rows_of(_Segment(conformed(table, manifest.schema)), piece, piece.start, keys)

    def _range(self, manifest: Manifest, partition: int) -> ranges.Range | None:
        """The keys of a partition, if partitions are ranges."""
        if manifest.bounds is None:
            return None
        if self._bounds is None or self._bounds[0] is not manifest:
            self._bounds = manifest, ranges.Keys(manifest.bounds, self._shuffle.columns)
        return ranges.Range(self._bounds[1], partition)

    def _rows_of(self, segment: _Segment, piece: Piece, begin: int, keys: ranges.Range | None) -> pa.Table:
        """Of the rows of a piece those that have the keys; `begin` is the row of its object the segment begins with."""
        start, stop = piece.start - begin, piece.stop - begin
        if keys is not None:
            near = piece.begun_by - begin, piece.ends_from - begin
            start, stop = keys.rows_in(segment.keys(self._shuffle.columns), start, stop, *near)
        return segment.table.slice(start, stop - start)


class _Segment:
    """A table of a mapper, and what reads its keys."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table
        self._keys: ranges.Keys | None = None

    def keys(self, by: Sequence[str]) -> ranges.Keys:
        if self._keys is None:
            self._keys = ranges.Keys(self.table, by)
        return self._keys


def _extent(piece: Piece) -> tuple[int, int]:
    """The bytes of an object that a piece is in."""
    if piece.offsets is None:
        raise IncompleteShuffleError(piece.key, [piece.mapper])
    return int(piece.offsets[0]), int(piece.offsets[-1])


def _by_size(pieces: Sequence[Piece], limit: int | None) -> Iterator[list[Piece]]:
    """Pieces to be fetched together; without a limit all of them."""
    batch: list[Piece] = []
    size = 0
    for piece in pieces:
        start, stop = _extent(piece)
        if batch and limit is not None and size + stop - start > limit:
            yield batch
            batch, size = [], 0
        batch.append(piece)
        size += stop - start
    if batch:
        yield batch


def _sliced(table: pa.Table, nbytes: int) -> Iterator[pa.Table]:
    step = max(1, table.num_rows * nbytes // max(1, table.nbytes))
    for start in range(0, table.num_rows, step):
        yield table.slice(start, step)


def _empty(manifest: Manifest) -> pa.Table:
    return pa.table({}) if manifest.schema is None else manifest.schema.empty_table()
