"""Log lines above progress bars: while there are bars, handlers that write to the terminal write above them."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

__all__ = ["logs_above_bars"]

_LOGGERS = ("", "lithops")  # Lithops' has handlers of its own


@contextmanager
def logs_above_bars() -> Iterator[None]:
    """Until it is left, log lines on the terminal are whole, and above the bars of tqdm.

    There is one redirection in a process, whoever asks for it: the first begins it, and the last to leave ends it. Only
    the streams of handlers are exchanged, so that what a program does to its loggers meanwhile stays done.
    """
    _redirection.enter()
    try:
        yield
    finally:
        _redirection.leave()


class _AboveBars:
    """A stream that writes above the bars.

    Parameters
    ----------
    stream:
        Standard output or standard error.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> None:
        from tqdm import tqdm

        tqdm.write(text, file=self.stream, end="")

    def flush(self) -> None:
        self.stream.flush()

    def __getattr__(self, name: str) -> Any:  # whether it is a terminal, its encoding
        return getattr(self.stream, name)


class _Redirection:
    """Which handlers write above the bars, and for how many users."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._handlers: list[logging.StreamHandler[Any]] = []
        self._last_resort: logging.Handler | None = None
        self._in_its_place: logging.Handler | None = None

    def enter(self) -> None:
        with self._lock:
            self._users += 1
            if self._users == 1:
                self._replace_last_resort()
            for handler in _on_the_terminal():  # also those that have come since the first user did
                handler.setStream(_AboveBars(handler.stream))
                self._handlers.append(handler)

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users:
                return
            for handler in self._handlers:
                if isinstance(handler.stream, _AboveBars):
                    handler.setStream(handler.stream.stream)
            self._handlers.clear()
            if logging.lastResort is self._in_its_place:
                logging.lastResort = self._last_resort

    def _replace_last_resort(self) -> None:
        """Warnings of a program that has no handlers go through this one, whose stream cannot be exchanged."""
        self._last_resort = self._in_its_place = logging.lastResort
        if self._last_resort is not None:
            self._in_its_place = logging.StreamHandler(_AboveBars(sys.stderr))
            self._in_its_place.setLevel(self._last_resort.level)
            logging.lastResort = self._in_its_place


def _on_the_terminal() -> list[logging.StreamHandler[Any]]:
    handlers = [handler for name in _LOGGERS for handler in logging.getLogger(name).handlers]
    return [
        handler
        for handler in handlers
        if isinstance(handler, logging.StreamHandler) and handler.stream in (sys.stdout, sys.stderr)
    ]


_redirection = _Redirection()
