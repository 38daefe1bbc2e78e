"""Log lines above progress bars: one redirection for all who want it, which takes nothing from anybody."""

import io
import logging
from collections.abc import Iterator
from contextlib import redirect_stderr

import pytest
from tqdm import tqdm

from lithops_shm.executor.console import logs_above_bars
from lithops_shm.executor.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setattr(tqdm, "monitor_interval", 0)  # a thread that stays
    return Terminal()


@pytest.fixture
def handler(terminal: Terminal) -> Iterator["logging.StreamHandler[Terminal]"]:
    """The console handler of a program."""
    handler = logging.StreamHandler(terminal)
    logging.getLogger().addHandler(handler)
    yield handler
    logging.getLogger().removeHandler(handler)


def test_two_that_overlap_leave_the_programs_handler(
    terminal: Terminal, handler: "logging.StreamHandler[Terminal]"
) -> None:
    with redirect_stderr(terminal):
        before = list(logging.getLogger().handlers)
        first, second = Progress(), Progress()
        first.begin(0, "map", 2)
        second.begin(0, "map", 2)
        first.end()
        assert handler.stream is not terminal  # the second still has its bar
        second.end()
        assert logging.getLogger().handlers == before
        assert handler.stream is terminal


def test_what_a_program_does_to_its_loggers_meanwhile_stays_done(
    terminal: Terminal, handler: "logging.StreamHandler[Terminal]"
) -> None:
    with redirect_stderr(terminal):
        root, later = logging.getLogger(), logging.StreamHandler(terminal)
        with logs_above_bars():
            root.addHandler(later)
            root.removeHandler(handler)
            with logs_above_bars():
                assert later.stream is not terminal
            assert later.stream is not terminal
        try:
            assert later in root.handlers
            assert handler not in root.handlers
            assert handler.stream is terminal
            assert later.stream is terminal
        finally:
            root.removeHandler(later)


def test_a_handler_keeps_its_level_and_form(terminal: Terminal, handler: "logging.StreamHandler[Terminal]") -> None:
    with redirect_stderr(terminal):
        handler.setLevel(logging.ERROR)
        handler.setFormatter(logging.Formatter("<%(message)s>"))
        with logs_above_bars():
            logging.getLogger("some.where").warning("not this")
            logging.getLogger("some.where").error("this")
        assert terminal.getvalue() == "<this>\n"


def test_files_are_left_alone() -> None:
    elsewhere = logging.StreamHandler(io.StringIO())
    stream = elsewhere.stream
    logging.getLogger().addHandler(elsewhere)
    try:
        with logs_above_bars():
            assert elsewhere.stream is stream
    finally:
        logging.getLogger().removeHandler(elsewhere)


def test_warnings_of_a_program_without_handlers_are_redirected_too(terminal: Terminal) -> None:
    with redirect_stderr(terminal):
        last_resort = logging.lastResort
        with logs_above_bars():
            assert logging.lastResort is not last_resort
            assert logging.lastResort is not None
            logging.lastResort.handle(logging.makeLogRecord({"msg": "seen", "levelno": logging.WARNING}))
        assert logging.lastResort is last_resort
        assert terminal.getvalue() == "seen\n"


def test_ending_twice_is_ending_once(terminal: Terminal, handler: "logging.StreamHandler[Terminal]") -> None:
    with redirect_stderr(terminal):
        progress = Progress()
        progress.begin(0, "map", 1)
        progress.advance(0, 5, 100)
        progress.advance(0, 5, 100)  # a stage whose tasks are done: nothing more to tell
        for _ in range(2):
            progress.end()
        assert handler.stream is terminal
        progress.begin(1, "reduce", 0)  # it can be used again
        assert handler.stream is not terminal
        progress.end()
        assert handler.stream is terminal
        assert "5 rows" in terminal.getvalue()
