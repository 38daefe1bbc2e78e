"""Fair turns: memory owned by the machine first, one turn that does not count, and the order alternated."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from lithops_shm import host

__all__ = ["spread", "touch", "turns"]

_Name = TypeVar("_Name")
_SHARE = 0.7  # of the memory that is free


def turns(names: Sequence[_Name], repeat: int, prepare: Callable[[], None]) -> Iterator[tuple[_Name, bool]]:
    """Who is next, and whether it counts: the first time round warms up, and every second goes the other way.

    Parameters
    ----------
    prepare:
        Called before every round.
    """
    for turn in range(repeat + 1):
        prepare()
        for name in names if turn % 2 else reversed(names):
            yield name, turn > 0


def touch(nbytes: int) -> None:
    """Make the virtual machine own as much memory as will be used, as far as it is free.

    What nobody uses goes back to its host within seconds, and costs up to 2.5 s a gigabyte when it is used again.
    """
    limits = [limit for limit in (host.memory_available(), host.cgroup_headroom()) if limit is not None]
    np.zeros(min([nbytes, *(int(_SHARE * limit) for limit in limits)]), dtype=np.uint8)[::4096] = 1


def spread(samples: Sequence[float], unit: str, factor: float = 1.0, digits: int = 3) -> str:
    """Median, least and most in a unit."""
    median, low, high = (value * factor for value in (statistics.median(samples), min(samples), max(samples)))
    return f"{median:.{digits}f} {unit} [{low:.{digits}f}, {high:.{digits}f}]"
