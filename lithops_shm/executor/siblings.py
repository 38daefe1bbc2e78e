"""Executors like another one, each for one stage at a time, kept for the next: making one takes time."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lithops_shm.executor.executor import FunctionExecutor
from lithops_shm.plugin.leftovers import ended, tidy

__all__ = ["sibling"]

_idle: weakref.WeakKeyDictionary[Any, list[FunctionExecutor]] = weakref.WeakKeyDictionary()


@contextmanager
def sibling(executor: Any) -> Iterator[FunctionExecutor]:
    """An executor with the configuration of another, which nobody else uses meanwhile.

    What its jobs leave in memory is deleted at the end. After an error it is closed, and else kept for as long as the
    other one is.
    """
    idle = _idle.setdefault(executor, [])
    try:
        found = idle.pop()
    except IndexError:
        found = FunctionExecutor(config=copy.deepcopy(executor.config), log_level=None)
    try:
        yield found
    except BaseException:
        with ended(found):
            raise
    tidy(found)
    idle.append(found)
