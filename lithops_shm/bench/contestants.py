"""Who is measured: every contestant is declared here, and nowhere else.

A contestant is a name, a class that does the work, and what has to be installed. To add one, write the class beside the
others of its part (a dozen lines) and its line below; it then runs, is verified, reported and drawn like the rest.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from lithops_shm.bench.servers import no_server

__all__ = ["CODECS", "PLACES", "RUNNERS", "SORTERS", "Contestant", "named"]

_INSTALL = "pip install 'lithops-shm[bench]'"


@dataclass(frozen=True, slots=True)
class Contestant:
    """A declaration.

    Parameters
    ----------
    name:
        As reports and options have it.
    where:
        The module and the class that does it, such as ``package.module:Class``; imported by the program that runs it.
    packages:
        Any one of them has to be installed.
    served:
        Whether it needs an S3 on this machine.
    on_request:
        Whether it runs only when it is named.
    """

    name: str
    where: str
    packages: tuple[str, ...] = ()
    served: bool = False
    on_request: bool = False

    def missing(self) -> str | None:
        """Why it cannot take part; ``None`` when it can. Nothing is imported."""
        if self.packages and not any(importlib.util.find_spec(package) for package in self.packages):
            return f"{' or '.join(self.packages)} is not installed ({_INSTALL})"
        return no_server() if self.served else None

    def load(self) -> Any:
        """The class."""
        module, _, name = self.where.partition(":")
        return getattr(import_module(module), name)


_CODECS, _PLACES = "lithops_shm.bench.codecs", "lithops_shm.bench.places"
_RUNNERS, _SORTERS, _SHUFFLED = "lithops_shm.bench.runners", "lithops_shm.bench.sorters", "lithops_shm.bench.shuffled"

# io: each codec by each place.
CODECS = (
    Contestant("arrow", f"{_CODECS}:Arrow"),
    Contestant("pickle5", f"{_CODECS}:OutOfBand"),
    Contestant("pickle", f"{_CODECS}:Pickle"),
    Contestant("parquet", f"{_CODECS}:Parquet"),
)
PLACES = (
    Contestant("shm", f"{_PLACES}:Fresh"),
    Contestant("shm-recycled", f"{_PLACES}:Recycled"),
    Contestant("disk", f"{_PLACES}:Disk"),
    Contestant("boto3", f"{_PLACES}:Boto3", served=True),
    Contestant("s3fs", f"{_PLACES}:S3fs", served=True),
)

# tasks
RUNNERS = (
    Contestant("shm", f"{_RUNNERS}:Ours"),
    Contestant("lithops", f"{_RUNNERS}:Stock"),
    Contestant("ray", f"{_RUNNERS}:Ray", ("ray",)),
    Contestant("dask", f"{_RUNNERS}:Dask", ("distributed",)),
    Contestant("loky", f"{_RUNNERS}:Loky", ("loky", "joblib")),
)

# shuffle; the last three are for the bounds of docs/benchmarks.md.
SORTERS = (
    Contestant("shm", f"{_SHUFFLED}:Shuffled"),
    Contestant("shm-disk", f"{_SHUFFLED}:ShuffledOverDisk"),
    Contestant("shm-boto3", f"{_SHUFFLED}:ShuffledOverBoto3", served=True),
    Contestant("shm-s3fs", f"{_SHUFFLED}:ShuffledOverS3fs", served=True),
    Contestant("lithops", f"{_SORTERS}:StockLithops"),
    Contestant("duckdb", f"{_SORTERS}:DuckDB", ("duckdb",)),
    Contestant("polars", f"{_SORTERS}:Polars", ("polars",)),
    Contestant("ray", f"{_SORTERS}:Ray", ("ray",)),
    Contestant("dask", f"{_SORTERS}:Dask", ("dask",)),
    Contestant("shm-4x4", f"{_SHUFFLED}:ShuffledBy4", on_request=True),
    Contestant("shm-64x64", f"{_SHUFFLED}:ShuffledBy64", on_request=True),
    Contestant("shm-spilling", f"{_SHUFFLED}:ShuffledInLittle", on_request=True),
)


def named(table: tuple[Contestant, ...], name: str) -> Contestant:
    """The one of that name. Raises KeyError."""
    return {each.name: each for each in table}[name]
