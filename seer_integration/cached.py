"""The rows of a stage, pinned for later jobs: in memory, as segments, where the job's storage is."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from lithops_shm.errors import ShmError
from lithops_shm.shuffle.media import Medium, open_objects
from lithops_shm.shuffle.tables import as_asked
from seer_integration.runner.tasks import kept_table
from seer_integration.runner.work import KeptPart

__all__ = ["Cached"]


class Cached:
    """What :meth:`Job.cache` gives; ``Scan(file=...)`` of any job of this process takes it.

    The rows stay until :meth:`release`, until nothing refers to this any longer, or until this process ends. In shared
    memory they count in the budget and are listed by ``lithops-shm ls``, in the bucket of the job's storage.

    Parameters
    ----------
    prefix:
        Of the keys of all its objects.
    parts:
        In their order.
    schema:
        Of the rows; ``None``: as they are.
    medium, storage:
        Where they are.
    """

    def __init__(
        self, prefix: str, parts: Sequence[KeptPart], schema: pa.Schema | None, medium: Medium, storage: Any
    ) -> None:
        self.parts = tuple(parts)
        self.medium = medium
        self._storage = storage
        self.schema = schema if schema is not None else self.result("arrow").schema
        self._release = weakref.finalize(self, _remove, prefix, medium, storage)

    @property
    def rows(self) -> int:
        """How many."""
        return sum(part.rows for part in self.parts)

    @property
    def nbytes(self) -> int:
        """Bytes of them in memory."""
        return sum(part.nbytes for part in self.parts)

    @property
    def released(self) -> bool:
        """Whether the rows are gone."""
        return not self._release.alive

    def result(self, library: str = "pandas") -> Any:
        """The rows: in memory as views of the segments, where the library takes such.

        Parameters
        ----------
        library:
            ``"pandas"``, ``"arrow"`` or ``"polars"``.
        """
        with contextlib.closing(open_objects(self.medium, self._storage)) as objects:
            return as_asked(kept_table([part.key for part in self.parts], objects, self.schema), library)

    def release(self) -> None:
        """Let the rows go; releasing twice is releasing once. Views that were handed out stay as they are."""
        self._release()

    def __repr__(self) -> str:
        state = "released" if self.released else f"{self.rows:,} rows, {self.nbytes:,} bytes"
        return f"<Cached: {state}>"


def _remove(prefix: str, medium: Medium, storage: Any) -> None:
    # At the end of a process its session goes first, and all that is in it.
    with contextlib.suppress(ShmError), contextlib.closing(open_objects(medium, storage)) as objects:
        objects.delete_prefix(f"{prefix}/")
