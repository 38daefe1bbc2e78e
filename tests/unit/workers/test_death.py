"""What is said of the end of a process."""

import os
import signal

import pytest

from lithops_shm.workers.death import Cause, death_of


def status_of(code: int) -> int:
    """A wait status: an exit code, or minus a signal."""
    return code << 8 if code >= 0 else -code


@pytest.mark.parametrize("code", [0, 1, 3, 255])
def test_an_exit_code_is_named(code: int) -> None:
    death = death_of(status_of(code), 7, output="the last words")
    assert (death.cause, death.pid, death.output) == (Cause.EXITED, 7, "the last words")
    assert death.reason == f"the function ended its process with exit code {code}"


@pytest.mark.parametrize(
    ("number", "cause", "words"),
    [
        (signal.SIGSEGV, Cause.CRASHED, "SIGSEGV: it accessed memory that is not its own"),
        (signal.SIGBUS, Cause.CRASHED, "SIGBUS: it accessed memory without a page behind it"),
        (signal.SIGABRT, Cause.CRASHED, "SIGABRT: native code in it gave up"),
        (signal.SIGFPE, Cause.CRASHED, "SIGFPE"),
        (signal.SIGILL, Cause.CRASHED, "SIGILL"),
        (signal.SIGKILL, Cause.KILLED, "killed (SIGKILL), by somebody, or by the kernel"),
        (signal.SIGTERM, Cause.KILLED, "ended with SIGTERM"),
        (signal.SIGRTMIN + 3, Cause.KILLED, f"signal {signal.SIGRTMIN + 3}"),
    ],
)
def test_a_signal_is_named(number: int, cause: Cause, words: str) -> None:
    death = death_of(status_of(-number), 7)
    assert death.cause is cause
    assert words in death.reason


def test_the_kernel_is_blamed_when_its_count_has_moved() -> None:
    assert death_of(status_of(-signal.SIGKILL), 7, oom_kills=1).cause is Cause.OUT_OF_MEMORY
    assert death_of(status_of(-signal.SIGTERM), 7, oom_kills=1).cause is Cause.KILLED


def test_a_real_status_is_read() -> None:
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 5"], {})
    assert death_of(os.waitpid(pid, 0)[1], pid).reason.endswith("exit code 5")


def test_what_we_end_is_not_tried_again() -> None:
    ours = {Cause.TIMED_OUT, Cause.CANCELLED, Cause.UNAVAILABLE}
    assert {cause for cause in Cause if not cause.of_its_own} == ours
