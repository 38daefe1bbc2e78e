"""What the tasks of a stage are told, and what they tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from lithops_shm.shuffle.exchange import ManifestRef
from lithops_shm.shuffle.frames import Encoding
from lithops_shm.shuffle.manifest import MapOutput
from lithops_shm.shuffle.media import Medium
from lithops_shm.shuffle.spec import Shuffle
from seer_integration.datasets.sinks import Part, Sink
from seer_integration.datasets.sources import ReadReport, Source
from seer_integration.expressions import Expression
from seer_integration.planner.plan import StagePlan

__all__ = ["EdgeIn", "EdgeOut", "Given", "KeptPart", "Scanned", "TaskReport", "Work"]


@dataclass(frozen=True, slots=True)
class KeptPart:
    """Rows that a task left: the key of the object, and how many they are."""

    key: str
    rows: int
    nbytes: int


@dataclass(frozen=True)
class EdgeIn:
    """An exchange to read from."""

    id: str
    shuffle: Shuffle
    prefix: str
    manifest: ManifestRef
    schema: pa.Schema | None


@dataclass(frozen=True)
class EdgeOut:
    """An exchange to write to, as the mappers from `first` on."""

    id: str
    shuffle: Shuffle
    prefix: str
    first: int


@dataclass(frozen=True)
class Scanned:
    """How the tasks' splits are read."""

    source: Source
    columns: tuple[str, ...] | None
    where: Expression | None


@dataclass(frozen=True)
class Work:
    """All that the tasks of a stage share.

    Parameters
    ----------
    stage:
        What to do.
    medium, encoding:
        Where exchanged and kept rows are, and as what.
    reading:
        Of a stage that scans.
    edges_in:
        Of a stage that takes partitions.
    edges_out, kept_out, sinks:
        By place among the stage's outputs.
    broadcasts:
        By number of what was kept.
    """

    stage: StagePlan
    medium: Medium
    encoding: Encoding
    reading: Scanned | None = None
    edges_in: tuple[EdgeIn, ...] = ()
    edges_out: Mapping[int, EdgeOut] = field(default_factory=dict)
    kept_out: Mapping[int, str] = field(default_factory=dict)
    sinks: Mapping[int, tuple[Sink, int]] = field(default_factory=dict)
    broadcasts: Mapping[int, tuple[KeptPart, ...]] = field(default_factory=dict)
    schemas: Mapping[int, pa.Schema | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TaskReport:
    """What a task did: what it left for each output, the rows and bytes it took, its seconds and private bytes."""

    outputs: tuple[MapOutput | KeptPart | Part, ...]
    rows: int
    nbytes: int
    rows_out: int
    read: ReadReport | None
    seconds: float
    private_bytes: int


Given = tuple[Any, dict[int, dict[str, Any]]]
"""What one task is told: where its rows are (its split, its parts; nothing for a partition, which is its number); and
more arguments of the users' functions, by step. A tuple and dicts, in which an executor finds what is large.
"""
