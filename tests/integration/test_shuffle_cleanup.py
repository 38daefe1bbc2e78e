"""What goes wrong when a shuffle cleans up: told, and neither in the way of its results nor of what ended it."""

import json
from collections.abc import Callable

import pytest
from programs import ASK

pytestmark = pytest.mark.usefixtures("cleaner_finishes")

PROGRAM = (
    ASK
    + """
import logging
import pyarrow as pa
import lithops_shm as shm
from lithops_shm import Shuffle
from lithops_shm.errors import ShmError
from lithops_shm.executor.progress import Progress
from lithops_shm.shuffle.exchange import Exchange

class Kept(logging.Handler):
    def emit(self, record):
        lines.append(record.getMessage())

lines, calls = [], []
logging.getLogger("lithops_shm").addHandler(Kept(logging.WARNING))
release, clear, end = Exchange.release, Exchange.clear, Progress.end

def fails(*arguments):
    raise ShmError("the disk is gone")

def noted(name, function):
    def call(*arguments):
        calls.append((name, *arguments[1:]))
        return function(*arguments)
    return call

def unusual(*arguments):
    raise ValueError("the terminal is gone")

def rows(n):
    return pa.table({"k": list(range(1000)), "n": [n] * 1000})

def counted(table):
    return table.num_rows

def broken(table):
    raise KeyError("of the user")

def outcome(reducer=counted, **patches):
    before = stored()
    lines.clear()
    calls.clear()
    Exchange.release = noted("release", patches.get("release", release))
    Exchange.clear = noted("clear", patches.get("clear", clear))
    Progress.end = patches.get("end", end)
    job = executor.map_reduce(rows, range(3), reducer, shuffle=Shuffle(by="k", partitions=2))
    try:
        found = sum(job.get_result())
        job.summary
    except Exception as error:
        found = f"{type(error).__name__}: {error}"
    cleared = [name for name, *_ in calls].count("clear")
    return found, lines[:], cleared, bool(stored() - before)

def stored():
    keys = executor.storage.list_keys(executor.internal_storage.bucket)
    return {key for key in keys if key.startswith("lithops-shm.shuffles")}

def nothing_fails():
    return outcome(), [len(keys[0]) for name, *keys in calls if name == "release"]

def releasing_fails():
    return outcome(release=fails)

def clearing_fails():
    return outcome(clear=fails)

def ending_the_bars_fails():
    return outcome(end=unusual)

def all_fails_after_an_error():
    return outcome(broken, release=fails, clear=fails, end=unusual)

if __name__ == "__main__":
    executor = shm.FunctionExecutor(log_level=None)
    ask([nothing_fails, releasing_fails, clearing_fails, ending_the_bars_fails, all_fails_after_an_error])
"""
)


def test_cleaning_up_does_not_matter_to_the_results(run: Callable[..., str]) -> None:
    answers = json.loads(run(PROGRAM).splitlines()[-1])
    # The objects of all three mappers are read to their ends by the same reducer, and go together.
    assert answers["nothing_fails"] == [[3000, [], 1, False], [3]]

    found, told, cleared, left = answers["releasing_fails"]
    assert (found, cleared, left) == (3000, 1, False)
    (line,) = told
    assert "3 objects that are no longer needed" in line
    assert line.endswith("tried again: the disk is gone")

    found, told, cleared, left = answers["clearing_fails"]
    assert (found, cleared, left) == (3000, 1, True)
    (line,) = told
    assert "could not be deleted: objects under lithops-shm.shuffles/" in line
    assert line.endswith("go when this program ends, or with lithops-shm gc: the disk is gone")

    found, told, cleared, left = answers["ending_the_bars_fails"]
    assert (found, cleared, left) == (3000, 1, False)
    assert "the terminal is gone" in told[0]

    found, told, cleared, left = answers["all_fails_after_an_error"]
    assert found == "KeyError: 'of the user'"
    assert cleared == 1
    assert left
    assert len(told) == 2
