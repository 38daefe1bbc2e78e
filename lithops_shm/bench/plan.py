"""What is asked of a run: sizes, repeats and contestants, with the defaults of each part."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from lithops_shm.bench.contestants import Contestant
from lithops_shm.bench.frames import DTYPES, Kind
from lithops_shm.bench.results import Results
from lithops_shm.errors import ConfigError
from lithops_shm.host import usable_cpus

__all__ = ["Plan", "Step"]

Step = Callable[[str], None]
"""Told what is measured next."""

_MB = 1_000_000
_SIZES = {"io": (30 * _MB, 100 * _MB), "tasks": (0,), "shuffle": (200 * _MB,), "selector": (4 * _MB, 60 * _MB)}
_REPEAT = {"io": 3, "tasks": 5, "shuffle": 3, "selector": 1}


@dataclass(frozen=True)
class Plan:
    """What to measure; what is left out is a part's own default.

    Parameters
    ----------
    sizes:
        In bytes: of the file a table is like, of the file that is sorted, of an argument (the first), of a job's input.
    rows:
        In place of sizes.
    sized:
        The parts that these two are meant for.
    dtype_names:
        Of the frames.
    repeat:
        Runs that count, after one that does not.
    only:
        Names of contestants; for ``io``, of codecs and places.
    workers:
        Numbers of processes, or threads, that each contestant sorts with.
    calls:
        Of one map.
    jobs:
        How many of the selector's, evenly spread over them.
    quick:
        Whether the selector decides from default rates.
    """

    sizes: tuple[int, ...] = ()
    rows: int | None = None
    sized: tuple[str, ...] = ("io", "shuffle")
    dtype_names: tuple[str, ...] = tuple(DTYPES)
    repeat: int | None = None
    only: tuple[str, ...] = ()
    workers: tuple[int, ...] = field(default_factory=lambda: (usable_cpus(),))
    calls: tuple[int, ...] = (32, 1000)
    jobs: int | None = None
    quick: bool = False

    @property
    def dtypes(self) -> Mapping[str, Kind]:
        return {name: DTYPES[name] for name in self.dtype_names}

    def sizes_of(self, part: str) -> Sequence[int]:
        return self.sizes if self.sizes and part in self.sized else _SIZES[part]

    def rows_of(self, part: str) -> int | None:
        return self.rows if part in self.sized else None

    def repeat_of(self, part: str) -> int:
        return self.repeat or _REPEAT[part]

    def chosen(self, part: str, table: Sequence[Contestant], results: Results | None) -> list[Contestant]:
        """Those of a table that are asked for and can take part; the others are skipped, with the reason."""
        named = [each for each in table if each.name in self.only]
        found = []
        for each in named or [each for each in table if not each.on_request]:
            reason = each.missing()
            if reason is None:
                found.append(each)
            elif results is not None:
                results.skip(part, each.name, reason)
        return found

    def require(self, tables: Sequence[Sequence[Contestant]]) -> None:
        """Raise ConfigError for a name in `only` that is no contestant's of these tables."""
        known = list(dict.fromkeys(each.name for table in tables for each in table))
        for name in self.only:
            if name not in known:
                raise ConfigError(f"there is no contestant {name!r}; there are {', '.join(known)}")
