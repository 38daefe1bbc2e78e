"""A bar for each stage that runs, on a terminal, and nowhere else."""

from __future__ import annotations

import logging
import threading
from contextlib import ExitStack
from typing import Any

from lithops_shm.sizes import size

__all__ = ["Progress"]


class Progress:
    """Bars of stages that may run at the same time, on standard error; log lines are written above them.

    Parameters
    ----------
    wanted:
        ``False`` for none at all; else there are bars if standard error is a terminal.
    """

    def __init__(self, wanted: bool = True) -> None:
        self._wanted = wanted
        self._bars: dict[int, Any] = {}
        self._counts: dict[int, list[int]] = {}
        self._lock = threading.Lock()
        self._stack = ExitStack()

    def begin(self, stage: int, name: str, tasks: int) -> None:
        """A stage of so many tasks starts."""
        if not self._wanted:
            return
        from tqdm.auto import tqdm
        from tqdm.contrib.logging import logging_redirect_tqdm

        with self._lock:
            bar = tqdm(total=tasks, desc=f"{name:<14.14}", unit="task", disable=None, leave=True)
            if not self._bars and not bar.disable:
                self._stack.enter_context(logging_redirect_tqdm([logging.getLogger(), logging.getLogger("lithops")]))
            self._bars[stage], self._counts[stage] = bar, [0, 0]

    def advance(self, stage: int, rows: int, nbytes: int) -> None:
        """A task is done, which took so many rows and bytes."""
        with self._lock:
            if (bar := self._bars.get(stage)) is None:
                return
            count = self._counts[stage]
            count[0] += rows
            count[1] += nbytes
            bar.set_postfix_str(f"{count[0]:,} rows, {size(count[1])}", refresh=False)
            bar.update()

    def end(self) -> None:
        """All stages are over, or given up; ending twice is ending once."""
        with self._lock:
            bars, self._bars = self._bars, {}
            for bar in bars.values():
                bar.close()
            self._stack.close()
