"""The trees of all sessions of a base directory, remembered for as long as no session has come or gone."""

from __future__ import annotations

import os
import time

from lithops_shm.store.layout import Layout
from lithops_shm.store.tree import Tree

__all__ = ["Trees", "trees_of"]

# The kernel stamps directories with a clock that ticks, every 1 to 10 ms (CONFIG_HZ): what changes within the tick of
# an earlier change leaves no trace. So a directory is remembered only when its last change was that long before it was
# listed, as git does with its index. File systems on disk may count whole seconds, or two.
_SETTLED_NS = 50_000_000
_SETTLED_ON_DISK_NS = 3_000_000_000

_Stamp = tuple[int, int, int]  # device, inode, modified_ns


def trees_of(layout: Layout) -> list[Tree]:
    """The trees of all sessions, those in memory first."""
    trees = [Tree(f"{layout.session(name)}/data", name, spilled=False) for name in layout.session_ids()]
    trees += [Tree(f"{layout.spill}/{name}/data", name, spilled=True) for name in layout.spilled_ids()]
    return trees


class Trees:
    """What :func:`trees_of` gives, at the price of asking two directories when they have changed."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._sessions = layout.sessions
        self._remembered: tuple[_Stamp | None, _Stamp | None, list[Tree]] | None = None

    def now(self) -> list[Tree]:
        """Those there are now; not to be changed."""
        spill = self._layout.spill
        in_memory, on_disk = _stamp(self._sessions), None if spill is None else _stamp(spill)
        remembered = self._remembered
        if remembered is not None and remembered[0] == in_memory and remembered[1] == on_disk:
            return remembered[2]
        now = time.time_ns()  # before they are listed, after they were stamped
        trees = trees_of(self._layout)
        if _is_settled(in_memory, now - _SETTLED_NS) and _is_settled(on_disk, now - _SETTLED_ON_DISK_NS):
            self._remembered = in_memory, on_disk, trees
        return trees


def _stamp(directory: str) -> _Stamp | None:
    """What changes whenever the names in a directory do, but for what :data:`_SETTLED_NS` says; ``None``: no such."""
    try:
        status = os.stat(directory, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns


def _is_settled(stamp: _Stamp | None, before_ns: int) -> bool:
    return stamp is None or stamp[2] < before_ns
