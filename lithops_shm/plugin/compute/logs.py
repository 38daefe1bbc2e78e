"""Lithops' logger in a worker. Configuring one takes as long as a call: the zygote does, workers redirect it."""

from __future__ import annotations

import logging
from typing import TextIO

from lithops.utils import setup_lithops_logger

__all__ = ["log_into", "prepare"]

_NAME = "lithops"


def prepare() -> None:
    """Configure it as Lithops does."""
    setup_lithops_logger()


def log_into(stream: TextIO, level: int | str | None) -> None:
    """Have it write to `stream` from `level` on, as Lithops' own set-up would; with ``None``, write nothing of its own.

    Parameters
    ----------
    level:
        As Lithops takes it: a number, a name, or ``None`` (or "none") to leave logging as Python has it.
    """
    logger = logging.getLogger(_NAME)
    if level is None or str(level).lower() == "none":
        logger.handlers.clear()
        logger.setLevel(logging.NOTSET)
        logger.propagate = True
        return
    number = logging.getLevelName(level.upper()) if isinstance(level, str) else level
    handlers = [each for each in logger.handlers if isinstance(each, logging.StreamHandler)]
    if not handlers:
        setup_lithops_logger(level)
        handlers = [each for each in logger.handlers if isinstance(each, logging.StreamHandler)]
    for handler in handlers:
        handler.setStream(stream)
        handler.setLevel(number)
    if logger.level != number:  # which forgets what all loggers know
        logger.setLevel(number)
