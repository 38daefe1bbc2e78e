"""What a job did, for people and programs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from lithops_shm.sizes import size

__all__ = ["JobSummary", "StageSummary"]


@dataclass(frozen=True)
class StageSummary:
    """Of one stage of tasks; sizes in bytes, times in seconds.

    Parameters
    ----------
    stage:
        The job's stages that it did something of.
    tasks:
        How many.
    rows, nbytes:
        That its tasks took.
    rows_out:
        That they gave, of all outputs together.
    bytes_read:
        That were asked of a source.
    malformed:
        Rows that were left out.
    retried, backups:
        Attempts that were started because others had died, or beside slow ones.
    began_s, seconds:
        When it began after the job did, and how long it took.
    peak_task_bytes:
        Private memory of the largest task, at its end.
    """

    stage: str
    tasks: int
    rows: int
    nbytes: int
    rows_out: int
    bytes_read: int
    malformed: int
    retried: int
    backups: int
    began_s: float
    seconds: float
    peak_task_bytes: int


@dataclass(frozen=True)
class JobSummary:
    """Of one run.

    Parameters
    ----------
    stages:
        In the order in which they ended.
    seconds:
        From the first task to the last commit.
    skipped:
        What skipping did, in words, for each source where it did something.
    malformed:
        Examples of rows that were left out.
    written:
        Where datasets were committed.
    backend:
        Where functions ran.
    """

    stages: tuple[StageSummary, ...]
    seconds: float
    skipped: tuple[str, ...] = ()
    malformed: tuple[str, ...] = ()
    written: tuple[str, ...] = ()
    backend: str = ""

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        lines = [f"{'stage':<16}{'tasks':>7}{'rows in':>14}{'size':>12}{'rows out':>14}{'seconds':>9}"]
        for each in self.stages:
            lines.append(
                f"{each.stage:<16.16}{each.tasks:>7,}{each.rows:>14,}{size(each.nbytes):>12}"
                f"{each.rows_out:>14,}{each.seconds:>9.2f}"
            )
            again = [f"{each.retried} after a worker died"] * bool(each.retried)
            again += [f"{each.backups} beside a slow one"] * bool(each.backups)
            if again:
                lines.append(f"  attempts more: {', '.join(again)}")
            if each.malformed:
                lines.append(f"  malformed rows left out: {each.malformed:,}")
        lines += [f"  such as {example}" for example in self.malformed]
        lines += [f"skipped: {note}" for note in self.skipped]
        lines += [f"written: {where}" for where in self.written]
        lines.append(f"{self.seconds:.2f} s in all, with {self.backend}")
        return "\n".join(lines)
