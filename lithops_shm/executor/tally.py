"""What the tasks of a shuffle have reported, added up."""

from __future__ import annotations

from lithops_shm.executor.summary import ShuffleSummary
from lithops_shm.executor.tasks import MapReport, ReduceReport
from lithops_shm.shuffle.manifest import Manifest

__all__ = ["Tally"]


class Tally:
    """Told of each task that counts; what the shuffle's loop measures itself, it sets.

    Parameters
    ----------
    mappers:
        How many there are.
    slots:
        How many tasks run at once.
    """

    def __init__(self, mappers: int, slots: int) -> None:
        self._mappers = mappers
        self._slots = slots
        self._partitions = self._rows = self._nbytes = 0
        self._rows_mapped = self._spilled = self._largest = 0
        self._private: list[int] = []
        self._segments = 0
        self.retried = self.backups = 0
        self.map_s = self.commit_s = self.reduce_s = 0.0

    def mapped(self, report: MapReport, segments: int) -> None:
        self._rows_mapped += report.rows
        self._spilled += report.output.spilled_bytes
        self._took(report.private_bytes, segments)

    def committed(self, manifest: Manifest) -> None:
        self._partitions, self._rows, self._nbytes = manifest.partitions, manifest.rows, manifest.nbytes

    def reduced(self, report: ReduceReport, segments: int) -> None:
        self._largest = max(self._largest, report.rows)
        self._took(report.private_bytes, segments)

    def summary(self) -> ShuffleSummary:
        return ShuffleSummary(
            self._mappers,
            self._partitions,
            self._rows_mapped,
            self._rows,
            self._nbytes,
            self._spilled,
            self._largest,
            self.retried,
            self.backups,
            self.map_s,
            self.commit_s,
            self.reduce_s,
            self._segments + sum(self._private),
        )

    def _took(self, private: int, segments: int) -> None:
        self._private = sorted([*self._private, private], reverse=True)[: self._slots]
        self._segments = max(self._segments, segments)
