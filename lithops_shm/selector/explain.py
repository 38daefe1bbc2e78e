"""A decision as people read it."""

from __future__ import annotations

from collections.abc import Sequence

from lithops_shm.selector.candidates import Candidate
from lithops_shm.selector.profile import JobProfile
from lithops_shm.sizes import size

__all__ = ["explained"]

_HEADER = ("", "where", "workers", "time", "memory", "cost", "")
_TERMS = 4  # the longest parts of the time that are named
_LEAST_SHARE = 0.02


def explained(
    chosen: Candidate, considered: Sequence[Candidate], job: JobProfile, policy: str, notes: Sequence[str]
) -> str:
    """The table of candidates, the chosen one marked, and sentences around it."""
    lines = [f"{_job(job)}: {chosen.backend} with {chosen.storage}, {_time(chosen)} (policy {policy})", ""]
    rows = [_HEADER, *(_row(each, chosen) for each in considered)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER))]
    for row in rows:
        cells = [
            cell.ljust(width) if column < 2 or column == len(row) - 1 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    lines += ["", f"Its time: {_parts(chosen)}."]
    lines += [f"Note: {note}." for note in notes]
    return "\n".join(lines)


def _job(job: JobProfile) -> str:
    found = "input of unknown size" if job.input_bytes is None else f"{size(job.input_bytes)} of input"
    if job.input_bytes is None and job.at_least_bytes:
        found += f", {size(job.at_least_bytes)} at least"
    return f"{found}, confidential" if job.confidential else found


def _row(each: Candidate, chosen: Candidate) -> tuple[str, ...]:
    found = each.prediction
    return (
        "->" if each is chosen else "",
        f"{each.backend} with {each.storage}",
        str(each.plan.workers),
        _time(each),
        size(found.peak_bytes),
        f"${found.usd:,.4f}",
        each.rejected,
    )


def _time(each: Candidate) -> str:
    seconds = each.prediction.seconds
    return f"{seconds:,.1f} s +-{100 * each.prediction.spread:.0f} %"


def _parts(chosen: Candidate) -> str:
    seconds = chosen.prediction.seconds
    longest = sorted(chosen.prediction.terms, key=lambda term: -term.seconds)[:_TERMS]
    return ", ".join(f"{term.name} {term.seconds:,.2f} s" for term in longest if term.seconds > _LEAST_SHARE * seconds)
