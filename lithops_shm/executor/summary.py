"""What a shuffle did, for people and programs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from lithops_shm.sizes import size

__all__ = ["ShuffleSummary"]


@dataclass(frozen=True)
class ShuffleSummary:
    """Of one shuffle; sizes in bytes, times in seconds.

    Parameters
    ----------
    mappers, partitions:
        How many.
    rows_mapped:
        Rows, or pairs, that the map functions gave.
    rows:
        Rows that were exchanged: fewer, where a combiner joined some.
    exchanged_bytes:
        Bytes of these in memory.
    spilled_bytes:
        Of what mappers left, what memory had no room for.
    largest_rows:
        Rows of the largest partition.
    retried:
        Attempts that were started because others had died.
    backups:
        Attempts that were started beside slow ones.
    map_s, commit_s, reduce_s:
        From the start of a stage to its end.
    peak_bytes:
        Memory, at most: segments in use at the end of any attempt, and the private memory of as many attempts as there
        are workers, taken at their ends. An estimate from below.
    """

    mappers: int
    partitions: int
    rows_mapped: int
    rows: int
    exchanged_bytes: int
    spilled_bytes: int
    largest_rows: int
    retried: int
    backups: int
    map_s: float
    commit_s: float
    reduce_s: float
    peak_bytes: int

    @property
    def total_s(self) -> float:
        """Seconds from the first mapper's start to the last reducer's end."""
        return self.map_s + self.commit_s + self.reduce_s

    @property
    def skew(self) -> float:
        """Rows of the largest partition, in terms of the mean; 1 when all are equal or there are none."""
        return self.largest_rows * self.partitions / self.rows if self.rows else 1.0

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return {**asdict(self), "total_s": self.total_s, "skew": self.skew}

    def __str__(self) -> str:
        combined = f" (of {self.rows_mapped:,} before combining)" if self.rows_mapped != self.rows else ""
        return "\n".join(
            [
                f"shuffle      {self.mappers} mappers to {self.partitions} partitions in {self.total_s:.2f} s",
                f"  time       map {self.map_s:.2f} s, commit {self.commit_s:.3f} s, reduce {self.reduce_s:.2f} s",
                f"  rows       {self.rows:,}{combined}, {size(self.exchanged_bytes)}",
                f"  skew       {self.skew:.2f} (largest partition against the mean)",
                f"  spilled    {size(self.spilled_bytes)}",
                f"  attempts   {self.retried} after a worker died, {self.backups} beside a slow one",
                f"  memory     {size(self.peak_bytes)} at most",
            ]
        )
