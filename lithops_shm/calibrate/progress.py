"""A bar for what is being measured, on a terminal, and nowhere else."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any

__all__ = ["Progress"]

_WIDEST = 24


class Progress:
    """A bar on standard error, if that is a terminal; for use in a ``with`` block.

    Parameters
    ----------
    steps:
        How many there will be.
    """

    def __init__(self, steps: int) -> None:
        self._bar: Any = None
        self._begun = False
        if sys.stderr.isatty():  # tqdm starts a thread for a bar that is disabled, too
            from tqdm.auto import tqdm

            self._bar = tqdm(total=steps, unit="step", leave=False, dynamic_ncols=True)

    def step(self, name: str) -> None:
        """The step before is done, and this one begins."""
        if self._bar is None:
            return
        if self._begun:
            self._bar.update()
        self._begun = True
        self._bar.set_description_str(name.ljust(_WIDEST))

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
