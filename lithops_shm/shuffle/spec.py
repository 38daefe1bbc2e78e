"""What a shuffle is asked to do, validated once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from lithops_shm.errors import ConfigError

__all__ = ["DELIVERIES", "KINDS", "Shuffle"]

KINDS = ("hash", "range")
DELIVERIES = ("arrow", "pandas", "polars", "batches")
MOST_PARTITIONS = 65_536


@dataclass(frozen=True)
class Shuffle:
    """How rows go from mappers to reducers.

    Parameters
    ----------
    by:
        The key: a column or several. ``None``: the map function yields ``(key, value)`` pairs, and the reduce function
        is called as ``reduce(key, values)`` for each key; its partition's result is the list of ``(key, result)``.
    partitions:
        How many, and so how many reducers. ``None``: chosen by the data's size, in small shuffles one a worker; with a
        function as `kind`, which has to know it before, 256.
    kind:
        ``"hash"``: equal keys meet, in no particular partition. ``"range"``: partitions hold ascending ranges of keys,
        about equally large. Or a function ``(keys, partitions) -> numbers``, given an Arrow table of the key columns
        (with pairs, a list of keys) and giving an integer from 0 up to, not including, `partitions` for each row.
    sort:
        Whether a reducer gets its rows in ascending order of the key: nulls last, NaN before them, equal keys in the
        order of their mappers. With pairs, whether keys come in that order.
    combiner:
        Reduces what a mapper gives before it travels: a function of a frame or table like those the mapper returns,
        which gives one of the same columns; with pairs, of ``(key, values)``, which gives one value. It is applied any
        number of times, to any groups of rows, so it must be associative, and its result its own input.
    deliver:
        What reducers get: ``"arrow"``, ``"pandas"``, ``"polars"``, or ``"batches"``, an iterator of Arrow tables of
        bounded size for partitions larger than memory. ``None``: what the mappers return.
    retries:
        How often a mapper or a reducer is run again whose worker died; exceptions of functions are not retried.
    backups:
        Whether a mapper or reducer that takes much longer than the others did gets a second attempt beside it, when
        most have finished; the first to finish counts.

    Raises
    ------
    ConfigError
        For what contradicts itself.
    """

    by: str | Sequence[str] | None = None
    partitions: int | None = None
    kind: str | Callable[[Any, int], Any] = "hash"
    sort: bool = False
    combiner: Callable[..., Any] | None = None
    deliver: str | None = None
    retries: int = 3
    backups: bool = True
    columns: tuple[str, ...] = field(init=False, default=())
    """The key columns, in order; empty with pairs."""

    def __post_init__(self) -> None:
        columns = (self.by,) if isinstance(self.by, str) else tuple(self.by) if isinstance(self.by, Iterable) else ()
        if self.by is not None and (not columns or not all(isinstance(name, str) for name in columns)):
            raise ConfigError(f"shuffle: by={self.by!r} names no columns; give a name, or a sequence of names")
        if len(set(columns)) < len(columns):
            raise ConfigError(f"shuffle: by={self.by!r} names a column twice")
        object.__setattr__(self, "columns", columns)
        if not callable(self.kind):
            _check_choice("kind", self.kind, KINDS, ", or a function")
        if self.deliver is not None:
            _check_choice("deliver", self.deliver, DELIVERIES)
            if self.by is None:
                raise ConfigError("shuffle: deliver is for tables; with pairs (by=None) reducers get keys and values")
        _check_count("partitions", self.partitions, 1, MOST_PARTITIONS)
        _check_count("retries", self.retries, 0, 1_000)
        if self.combiner is not None and not callable(self.combiner):
            raise ConfigError(f"shuffle: combiner={self.combiner!r} is not a function")

    @property
    def pairs(self) -> bool:
        """Whether mappers give (key, value) pairs rather than tables."""
        return not self.columns

    @property
    def ordered(self) -> bool:
        """Whether keys are compared, so that a mapper's rows are stored in their order."""
        return self.sort or self.kind == "range"


def _check_choice(name: str, value: object, choices: Sequence[str], otherwise: str = "") -> None:
    if value not in choices:
        near = get_close_matches(str(value), choices, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"shuffle: {name}={value!r} is none of {', '.join(map(repr, choices))}{otherwise}{hint}")


def _check_count(name: str, value: object, least: int, most: int) -> None:
    if value is None and name == "partitions":
        return
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ConfigError(f"shuffle: {name}={value!r} is not a whole number from {least:,} to {most:,}")
