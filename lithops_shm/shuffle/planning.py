"""Which outputs of mappers count, and where partitions begin in them: pure, from what mappers told to the manifest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from lithops_shm.errors import IncompleteShuffleError
from lithops_shm.shuffle import ranges
from lithops_shm.shuffle.manifest import Manifest, MapOutput, Positions
from lithops_shm.shuffle.schemas import common_schema

__all__ = ["PARTITION_BYTES", "plan"]

# Partitions of chosen number are about so large, which two workers hold and sort at once in the memory of any machine.
PARTITION_BYTES = 64 << 20
# More than a few are made for the sake of idle reducers only if each then has something to do.
_FEW = 16
_LEAST_BYTES = 1 << 20


def plan(
    shuffle: str,
    outputs: Sequence[MapOutput],
    mappers: int,
    *,
    by: tuple[str, ...],
    partitions: int | None,
    slots: int = 1,
) -> Manifest:
    """Join the outputs that count, one of each mapper, and decide where partitions begin.

    Parameters
    ----------
    shuffle:
        Its id.
    outputs:
        In any order.
    mappers:
        How many there must be.
    by:
        The key columns, for ranges.
    partitions:
        How many; ``None``: by the size of the data.
    slots:
        How many reducers run at once. Where the number of partitions is ours it is a multiple of this, or some would be
        idle while the last few run; but none is without rows, and only a few are small.

    Raises
    ------
    IncompleteShuffleError
        When a mapper is missing, or there twice.
    SchemaMismatchError
        When two disagree on a column; a column that is all null agrees with any.
    """
    ordered = tuple(sorted(outputs, key=lambda output: output.mapper))
    numbers = [output.mapper for output in ordered]
    if numbers != list(range(mappers)):
        odd = [number for number in range(mappers) if numbers.count(number) != 1] or numbers
        raise IncompleteShuffleError(shuffle, odd)
    library = next((output.library for output in ordered if output.schema is not None), "arrow")
    schema = None if library == "pairs" else common_schema((each.mapper, each.schema) for each in ordered)
    most = partitions or _enough(sum(output.nbytes for output in ordered), slots)
    bounds = None
    sampled = [output for output in ordered if output.samples is not None]
    if sampled:
        if library == "pairs":  # their keys are compared, whatever else they hold
            common_schema((each.mapper, each.samples.schema) for each in sampled if each.samples is not None)
        bounds, places = ranges.divide([_promoted(each.samples, schema) for each in sampled], by, most)
        inside = {output.mapper: each.tolist() for output, each in zip(sampled, places, strict=True)}
        partitions = partitions or bounds.num_rows + 1
        cuts = tuple(_range_cuts(output, inside.get(output.mapper, []), partitions) for output in ordered)
    else:
        edges = _joined(ordered, most) if partitions is None else np.arange(partitions + 1)
        partitions = len(edges) - 1
        each_has = np.stack([edges[:-1], edges[1:]], axis=1)
        none = np.zeros((partitions, 2), np.int64)
        cuts = tuple(each_has if len(output.positions) > 1 else none for output in ordered)
    return Manifest(shuffle, partitions, ordered, cuts, bounds, schema, library)


def _promoted(samples: pa.Table, schema: pa.Schema | None) -> pa.Table:
    """Sampled keys in the types all mappers share."""
    if schema is None:
        return samples
    for index, field in enumerate(samples.schema):
        if pa.types.is_null(field.type) and field.name in schema.names:
            column = samples.column(index).cast(schema.field(field.name).type)
            samples = samples.set_column(index, field.name, column)
    return samples


def _range_cuts(output: MapOutput, places: list[int], partitions: int) -> Positions:
    """Between which sampled rows each range lies: from the last one before its least key to the first one after.

    `places` are where in the sample the ranges begin, but for the first.
    """
    if output.samples is None or not output.rows:
        return np.zeros((partitions, 2), np.int64)
    last = len(output.positions) - 1
    edges = np.full(partitions + 1, last, np.int64)
    edges[0] = 0
    edges[1 : len(places) + 1] = places
    starts, stops = edges[:-1], edges[1:]
    # A range without a sample may still have rows between two; none before the first sample or after the last, which
    # are the first and the last row.
    empty = (starts == stops) & ((starts == 0) | (starts == last))
    cuts = np.stack([np.maximum(starts - 1, 0), stops], axis=1)
    cuts[empty] = 0
    return cuts


def _enough(nbytes: int, slots: int) -> int:
    """How many partitions data of that size is for."""
    full = -(-nbytes // PARTITION_BYTES)
    if full < slots:
        return min(slots, max(_FEW, full, -(-nbytes // _LEAST_BYTES)))
    return slots * -(-full // slots)


def _joined(outputs: Sequence[MapOutput], most: int) -> Positions:
    """The buckets at which partitions begin, neighbours joined into `most` of about one size; and the last one ends."""
    sizes = [np.diff(output.positions) for output in outputs if len(output.positions) > 1]
    if not sizes:
        return np.array([0, 1], np.int64)
    ends = np.concatenate([[0], np.cumsum(np.sum(sizes, axis=0))])
    targets = ends[-1] * np.arange(1, most) / most
    after = np.searchsorted(ends, targets)
    nearest = np.where(targets - ends[after - 1] < ends[after] - targets, ends[after - 1], ends[after])
    # Of buckets without rows, and of one that is heavier than a partition, no second partition is made.
    inner = np.setdiff1d(nearest, ends[[0, -1]])
    edges: Positions = np.concatenate([[0], np.searchsorted(ends, inner), [len(ends) - 1]]).astype(np.int64)
    return edges
