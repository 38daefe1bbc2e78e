"""What of a source need not be read, since an index or Parquet's footers prove that no row of it matches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache

import pyarrow as pa

from lithops_shm.sizes import size
from seer_integration.datasets.index import Block, manner_of
from seer_integration.datasets.location import Location, Stored
from seer_integration.datasets.places import Places
from seer_integration.datasets.sources import Survey
from seer_integration.datasets.statistics import Statistics
from seer_integration.errors import DatasetError
from seer_integration.expressions import ColumnStatistics, Expression, Opaque, bind, may_match
from seer_integration.skipping.footers import blocks_of, footer
from seer_integration.skipping.place import read_index

__all__ = ["Pruned", "prune"]

# Footers are asked for by so many threads, and of so many objects at most: at two requests of 20 ms each, 5 s.
_THREADS = 16
_MOST_FOOTERS = 2000

_Judge = Callable[[Statistics], bool]


@dataclass(frozen=True)
class Pruned:
    """What is left to read.

    Parameters
    ----------
    kept:
        The keys of the objects that are, each with the row groups or batches; ``None``: all of them.
    objects_before, bytes_before:
        Of the source.
    bytes_after:
        Of what is left; of an object that is left in part, by the share of its rows.
    means:
        By what it was found out: ``"the index"``, ``"Parquet's statistics"``, both, or nothing.
    """

    kept: Mapping[str, Sequence[int] | None]
    objects_before: int
    bytes_before: int
    bytes_after: int
    means: tuple[str, ...]

    def __str__(self) -> str:
        if not self.means:
            return "nothing is known of the objects by which to leave some out: build an index"
        said = " and ".join(self.means)
        leave = "leave" if len(self.means) > 1 or said.endswith("s") else "leaves"
        return (
            f"{said} {leave} {len(self.kept):,} of {self.objects_before:,} objects, "
            f"{size(self.bytes_after)} of {size(self.bytes_before)}"
        )


@dataclass(frozen=True)
class _Left:
    """An object of which something is left: some of its row groups, or all; the share of its rows; unknown columns."""

    stored: Stored
    unknown: frozenset[str]
    groups: frozenset[int] | None = None
    share: float = 1.0


def prune(survey: Survey, where: Expression, places: Places, *, index: Location | None = None) -> Pruned:
    """Find what may hold rows that match; all others hold none.

    An object that has changed since it was indexed is kept, as is one of which nothing is known, or whose footer cannot
    be read: what is wrong with it is told when it is read.

    Parameters
    ----------
    survey:
        Of the source, with its objects as they are now.
    where:
        The filter. One of pyarrow's own leaves out nothing.
    index:
        Where the index is; by default beside the data.

    Raises
    ------
    PlanError
        When the filter is not for these columns.
    """
    where, _ = bind(where, survey.source.schema)
    columns = frozenset() if isinstance(where, Opaque) else where.columns or frozenset()
    left = [_Left(each, columns) for each in survey.objects]
    may = _judge(where)
    means = []
    known = read_index(survey, places, columns, index) if columns else None
    if known is not None:
        means.append("the index")
        manner = manner_of(survey.source.scan, survey.source.format)
        found = [known.of(each.stored, manner) for each in left]
        left = _narrowed(left, [None if each is None else each.blocks for each in found], may)
    asked = sum(1 for each in left if each.unknown) if survey.source.format == "parquet" else 0
    if 0 < asked <= _MOST_FOOTERS:
        means.append("Parquet's statistics")
        with ThreadPoolExecutor(min(asked, _THREADS), thread_name_prefix="seer-footers") as threads:
            footers = threads.map(lambda each: _footer_blocks(each, survey, places) if each.unknown else None, left)
            left = _narrowed(left, footers, may)
    return Pruned(
        {each.stored.key: None if each.groups is None else sorted(each.groups) for each in left},
        len(survey.objects),
        survey.nbytes,
        sum(round(each.stored.nbytes * each.share) for each in left),
        tuple(means),
    )


def _judge(where: Expression) -> _Judge:
    """As :func:`may_match` for one expression and many blocks.

    Values are looked at last, and the same ones once: computing an expression of them takes a millisecond.
    """

    @cache
    def by_values(listed: frozenset[tuple[str, ColumnStatistics]]) -> bool:
        return may_match(where, dict(listed))

    def may(columns: Statistics) -> bool:
        if not may_match(where, {name: replace(each, values=None) for name, each in columns.items()}):
            return False
        listed = frozenset(
            (name, ColumnStatistics(nulls=0 if each.nulls == 0 else None, values=each.values))
            for name, each in columns.items()
            if each.values is not None
        )
        return not listed or (by_values(listed) and may_match(where, columns))

    return may


def _narrowed(left: Sequence[_Left], blocks: Iterable[Sequence[Block] | None], may: _Judge) -> list[_Left]:
    """What is left when the blocks are gone in which nothing matches."""
    narrowed = (_matching(each, known, may) if known else each for each, known in zip(left, blocks, strict=True))
    return [each for each in narrowed if each is not None]


def _matching(left: _Left, blocks: Sequence[Block], may: _Judge) -> _Left | None:
    rows = sum(block.rows for block in blocks)
    before = [block for block in blocks if left.groups is None or block.group is None or block.group in left.groups]
    after = [block for block in before if may(block.columns)]
    if not after:
        return None
    unknown = left.unknown - frozenset[str].intersection(*(frozenset(block.columns) for block in after))
    if len(after) == len(blocks):
        return replace(left, unknown=unknown)
    groups = frozenset(block.group for block in after if block.group is not None)
    return _Left(left.stored, unknown, groups, sum(block.rows for block in after) / max(rows, 1))


def _footer_blocks(left: _Left, survey: Survey, places: Places) -> Sequence[Block] | None:
    where = survey.source.location.at(left.stored.key)
    try:
        metadata = footer(where, left.stored.nbytes, places)
    except (DatasetError, pa.ArrowException):  # it is told when it is read, with what to do
        return None
    return blocks_of(metadata, survey.source.schema, left.unknown)
