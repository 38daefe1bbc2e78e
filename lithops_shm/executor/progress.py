"""Progress bars of a shuffle's stages, on a terminal, and nowhere else."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from typing import Any

from lithops_shm.sizes import size

__all__ = ["Progress"]


class Progress:
    """One bar after the other, on standard error; log lines are written above them.

    Parameters
    ----------
    wanted:
        ``False`` for none at all; else there are bars if standard error is a terminal.
    """

    def __init__(self, wanted: bool = True) -> None:
        self._wanted = wanted
        self._bar: Any = None
        self._stack = ExitStack()
        self._rows = 0
        self._nbytes = 0

    def begin(self, stage: str, total: int) -> None:
        """A stage of so many tasks starts."""
        if not self._wanted:
            return
        from tqdm.auto import tqdm
        from tqdm.contrib.logging import logging_redirect_tqdm

        self.end()
        self._rows = self._nbytes = 0
        self._bar = tqdm(total=total, desc=f"{stage:<6}", unit="task", disable=None, leave=True)
        if not self._bar.disable:
            self._stack.enter_context(logging_redirect_tqdm([logging.getLogger(), logging.getLogger("lithops")]))

    def advance(self, rows: int, nbytes: int) -> None:
        """A task is done, which handled so many rows and bytes."""
        if self._bar is None:
            return
        self._rows += rows
        self._nbytes += nbytes
        self._bar.set_postfix_str(f"{self._rows:,} rows, {size(self._nbytes)}", refresh=False)
        self._bar.update()

    def end(self) -> None:
        """The stage is over, or given up; ending twice is ending once."""
        bar, self._bar = self._bar, None
        if bar is not None:
            bar.close()
        self._stack.close()
