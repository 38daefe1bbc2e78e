"""Lithops' logger in a worker: prepared once, pointed at the text of each job."""

import io
import logging
from collections.abc import Iterator

import pytest

from lithops_shm.plugin.compute.logs import log_into, prepare


class NoFile(logging.NullHandler):
    """In place of the handler for a file that Lithops makes, and neither uses nor closes."""

    def __init__(self, filename: str, mode: str) -> None:
        super().__init__()


@pytest.fixture(params=["prepared", "not prepared"], autouse=True)
def logger(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[logging.Logger]:
    """Lithops' own, as it was before at the end."""
    monkeypatch.setattr(logging, "FileHandler", NoFile)
    logger = logging.getLogger("lithops")
    before = logger.handlers[:], logger.level, logger.propagate
    logger.handlers.clear()
    if request.param == "prepared":
        prepare()
    yield logger
    logger.handlers[:], logger.propagate = before[0], before[2]
    logger.setLevel(before[1])


@pytest.mark.parametrize("level", ["INFO", "info", logging.INFO])
def test_what_is_logged_from_a_level_on_is_in_the_text(logger: logging.Logger, level: int | str) -> None:
    text = io.StringIO()
    log_into(text, level)
    logging.getLogger("lithops.worker").debug("too low")
    logging.getLogger("lithops.worker").info("as it should")
    assert "as it should" in text.getvalue()
    assert "INFO" in text.getvalue()
    assert "too low" not in text.getvalue()


def test_the_next_job_has_a_text_and_a_level_of_its_own(logger: logging.Logger) -> None:
    first, second = io.StringIO(), io.StringIO()
    log_into(first, "ERROR")
    logger.info("before")
    log_into(second, "DEBUG")
    logger.debug("after")
    assert (first.getvalue(), "after" in second.getvalue()) == ("", True)


@pytest.mark.parametrize("level", [None, "none", "None"])
def test_without_a_level_logging_is_as_python_has_it(logger: logging.Logger, level: str | None) -> None:
    text = io.StringIO()
    log_into(text, level)
    assert logger.handlers == []
    assert logger.propagate
    assert logger.level == logging.NOTSET
