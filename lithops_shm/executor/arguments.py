"""Large arguments of calls: each is stored once, however many calls get it, and read as views."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

from lithops.constants import JOBS_PREFIX

from lithops_shm.plugin.pointers import Pointer, store_large

__all__ = ["Arguments"]

# Libraries whose objects may be large, and whose code every worker has.
_OF_DATA = ("numpy", "pandas", "polars", "pyarrow")
_BYTES = (bytes, bytearray)
_CONTAINERS = (dict, list, tuple)


class Arguments:
    """Stores what is large among the arguments of an executor's jobs.

    Parameters
    ----------
    executor_id:
        Of the executor.
    internal_storage:
        Its storage; unless that is shared memory, nothing is stored.
    """

    def __init__(self, executor_id: str, internal_storage: Any) -> None:
        self._prefix = f"{JOBS_PREFIX}/{executor_id}/arguments"
        self._storage = internal_storage
        self._numbers = itertools.count()

    def stored(self, values: Iterable[Any]) -> tuple[list[Any], list[Pointer]]:
        """The values of a job with pointers where they, or what lists, tuples and dicts in them hold, are large.

        Returns
        -------
        Values in which nothing of the user's is changed, and the pointers among them.
        """
        pointers: dict[int, Pointer | None] = {}
        kept = list(values)  # alive meanwhile, so that an id is one object
        return [self._stored(value, pointers) for value in kept], [each for each in pointers.values() if each]

    def _stored(self, value: Any, pointers: dict[int, Pointer | None]) -> Any:
        kind = type(value)
        if kind in _CONTAINERS:
            return self._stored_within(value, pointers)
        if kind not in _BYTES and kind.__module__.partition(".")[0] not in _OF_DATA:
            return value
        if id(value) not in pointers:
            pointers[id(value)] = store_large(value, self._storage, f"{self._prefix}/{next(self._numbers)}")
        return pointers[id(value)] or value

    def _stored_within(self, value: Any, pointers: dict[int, Pointer | None]) -> Any:
        before = list(value.values() if isinstance(value, dict) else value)
        after = [self._stored(each, pointers) for each in before]
        if all(new is old for new, old in zip(after, before, strict=True)):
            return value
        return dict(zip(value, after, strict=True)) if isinstance(value, dict) else type(value)(after)
