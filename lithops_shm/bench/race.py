"""Fair turns: memory owned by the machine first, one turn that does not count, and the order alternated."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from lithops_shm import host

__all__ = ["Held", "spread", "touch", "turns"]

_Name = TypeVar("_Name")
_SHARE = 0.7  # of the memory that is free
_HELD_SHARE = 0.25


def turns(names: Sequence[_Name], repeat: int, prepare: Callable[[], None]) -> Iterator[tuple[_Name, bool]]:
    """Who is next, and whether it counts: the first time round warms up, and every second goes the other way.

    Parameters
    ----------
    prepare:
        Called before the first two rounds: the one that warms up, and the first that counts.
    """
    for turn in range(repeat + 1):
        if turn <= 1:
            prepare()
        for name in names if turn % 2 else reversed(names):
            yield name, turn > 0


def touch(nbytes: int) -> None:
    """Make the virtual machine own as much memory as will be used, as far as it is free."""
    _owned(nbytes, _SHARE)


class Held:
    """Memory that the machine owns, kept from one run to the next.

    What is free goes back to a virtual machine's host within seconds, and takes up to 2.5 s a gigabyte when it is used
    again. Kept, it need not be touched anew before each run. It is no more than a quarter of what is available: there
    are engines that measure themselves by what is free when they start.
    """

    def __init__(self, nbytes: int) -> None:
        self._nbytes = nbytes
        self._memory: np.ndarray[tuple[int], np.dtype[np.uint8]] | None = None

    def hold(self) -> None:
        """Take it, if it is not held."""
        if self._memory is None:
            self._memory = _owned(self._nbytes, _HELD_SHARE)

    def let_go(self) -> None:
        self._memory = None


def _owned(nbytes: int, share: float) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """So much memory, or that share of what is available, each page of it used."""
    available = host.memory_available()
    most = nbytes if available is None else int(share * available)
    memory = np.zeros(min(nbytes, most), dtype=np.uint8)
    memory[::4096] = 1
    return memory


def spread(samples: Sequence[float], unit: str, factor: float = 1.0, digits: int = 3) -> str:
    """Median, least and most in a unit."""
    median, low, high = (value * factor for value in (statistics.median(samples), min(samples), max(samples)))
    return f"{median:.{digits}f} {unit} [{low:.{digits}f}, {high:.{digits}f}]"
