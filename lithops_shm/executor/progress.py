"""Progress bars of the stages of a shuffle or a job, on a terminal, and nowhere else."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from lithops_shm.executor.console import logs_above_bars
from lithops_shm.sizes import size

__all__ = ["Progress"]

_WIDEST = 14  # characters of a stage's name


class Progress:
    """A bar for each stage, of which several may run at once, on standard error; log lines are written above them.

    Parameters
    ----------
    wanted:
        ``False`` for none at all; else there are bars if standard error is a terminal.
    """

    def __init__(self, wanted: bool = True) -> None:
        self._wanted = wanted
        self._bars: dict[int, _Bar] = {}
        self._lock = threading.Lock()
        self._stack = ExitStack()
        self._redirects = False

    def begin(self, stage: int, name: str, tasks: int) -> None:
        """A stage of so many tasks starts; `stage` tells it from others that run."""
        if not self._wanted:
            return
        from tqdm.auto import tqdm

        with self._lock:
            bar = tqdm(total=tasks, desc=f"{name:<{_WIDEST}.{_WIDEST}}", unit="task", disable=None, leave=True)
            if not self._redirects and not bar.disable:
                self._stack.enter_context(logs_above_bars())
                self._redirects = True
            self._bars[stage] = _Bar(bar)

    def advance(self, stage: int, rows: int, nbytes: int) -> None:
        """A task is done, which handled so many rows and bytes; after its last one a stage's bar stays as it is."""
        with self._lock:
            bar = self._bars.get(stage)
            if bar is not None and bar.advance(rows, nbytes):
                del self._bars[stage]

    def end(self) -> None:
        """All stages are over, or given up; ending twice is ending once."""
        with self._lock:
            bars, self._bars = self._bars, {}
            self._redirects = False
            with self._stack:  # logs go where they went before, whatever becomes of the bars
                for bar in bars.values():
                    bar.close()


@dataclass(slots=True)
class _Bar:
    """A bar of tqdm, and what its tasks have handled."""

    bar: Any
    rows: int = 0
    nbytes: int = 0
    tasks: int = 0

    def advance(self, rows: int, nbytes: int) -> bool:
        """One task more; gives whether it was the last, with which the bar is closed."""
        self.rows += rows
        self.nbytes += nbytes
        self.tasks += 1
        self.bar.set_postfix_str(f"{self.rows:,} rows, {size(self.nbytes)}", refresh=False)
        self.bar.update()
        if self.tasks < self.bar.total:
            return False
        self.close()
        return True

    def close(self) -> None:
        self.bar.close()
