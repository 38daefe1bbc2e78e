"""The form of what the doctor says."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

__all__ = ["Finding", "Severity"]


class Severity(Enum):
    """How much a finding matters."""

    OK = "ok"
    NOTE = "note"  # could be better, or good to know
    WARNING = "warning"  # works, and will hurt someday
    PROBLEM = "problem"  # does not work, or is not safe


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Parameters
    ----------
    name:
        What it is about; stable, and the heading in ``docs/troubleshooting.md``.
    severity:
        How much it matters.
    value:
        What was found, in a few words.
    why:
        Why it matters to segments, in a sentence; empty when there is nothing to explain.
    change:
        What to do about it; empty when nothing needs doing.
    facts:
        The figures behind `value`, ready for JSON; sizes in bytes.
    """

    name: str
    severity: Severity
    value: str
    why: str = ""
    change: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
