"""Progress bars of a whole program: on a terminal, above them its log lines; and nowhere else."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest
from effort import times

pytestmark = pytest.mark.usefixtures("cleaner_finishes")

PROGRAM = """
import logging, sys, time
import pyarrow as pa
import lithops_shm as shm
from lithops_shm import Shuffle

def rows(n):
    time.sleep(0.2)
    return pa.table({"k": list(range(100))})

def counted(table):
    time.sleep(0.2)
    return table.num_rows

if __name__ == "__main__":
    shown, logs = sys.argv[1] == "shown", sys.argv[2] == "logs"
    logging.basicConfig(format="%(message)s", level=logging.INFO if logs else logging.ERROR)
    executor = shm.FunctionExecutor(log_level=None)
    job = executor.map_reduce(rows, range(4), counted, shuffle=Shuffle(by="k", partitions=4), show_progress=shown)
    number = 0
    while not job.wait(0.01):
        logging.info("line %d of the program", number)
        number += 1
    logging.info("and %d lines in all", number)
    print(sum(job.get_result()))
"""


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """Both ends of a pseudo-terminal: what a program writes to the second is read from the first."""
    both = pty.openpty()
    fcntl.ioctl(both[1], termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))  # bars are as wide as it is
    yield both
    for end in both:
        try:
            os.close(end)
        except OSError:
            continue


def shown_on(terminal: tuple[int, int], environment: dict[str, str], directory: Path, *arguments: str) -> str:
    """What the program writes to a terminal; it has to end well."""
    program = directory / "program.py"
    program.write_text(PROGRAM)
    mine, its = terminal
    command = [sys.executable, str(program), *arguments]
    with subprocess.Popen(command, env=environment, cwd=directory, stdout=subprocess.PIPE, stderr=its) as process:
        os.close(its)
        found = b""
        while data := _read(mine):
            found += data
        said, _ = process.communicate(timeout=times(60, 600))
        assert process.returncode == 0, found.decode()
    assert said == b"400\n"
    return found.decode()


def _read(end: int) -> bytes:
    try:
        return os.read(end, 65536)
    except OSError:  # nobody has the other end any longer
        return b""


def test_bars_and_log_lines_on_a_terminal(
    terminal: tuple[int, int], environment: dict[str, str], tmp_path: Path
) -> None:
    found = shown_on(terminal, environment, tmp_path, "shown", "logs")
    for stage in ("map", "reduce"):
        assert re.search(rf"{stage} *: 100%\S* *4/4 \[.*\b400 rows, ", found), found
    assert found.count("4/4 [") >= 2
    (count,) = re.findall(r"and (\d+) lines in all", found)
    assert int(count) > 5
    for number in range(int(count)):
        # Alone between what begins a line, or goes back to its beginning, and its end.
        assert re.search(rf"(?:^|[\r\n]|\x1b\[A)line {number} of the program\r\n", found), (number, found)


@pytest.mark.parametrize("logs", ["logs", "no logs"])
def test_there_are_no_bars_where_none_are_wanted(
    terminal: tuple[int, int], environment: dict[str, str], tmp_path: Path, logs: str
) -> None:
    found = shown_on(terminal, environment, tmp_path, "hidden", logs)
    assert "4/4" not in found
    assert "\x1b" not in found
    assert bool(found) == (logs == "logs")


def test_nothing_is_written_to_a_pipe(environment: dict[str, str], tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, str(program), "shown", "no logs"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=times(60, 600),
        check=True,
    )
    assert (done.stdout, done.stderr) == ("400\n", "")
