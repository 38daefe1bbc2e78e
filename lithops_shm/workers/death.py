"""Why a worker ended: from its wait status, and from what the kernel counts. Decides nothing, starts nothing."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from enum import Enum

__all__ = ["Cause", "Death", "death_of"]


class Cause(Enum):
    """Kinds of ends."""

    EXITED = "exited"
    CRASHED = "crashed"
    KILLED = "killed"
    OUT_OF_MEMORY = "out of memory"
    TIMED_OUT = "timed out"
    CANCELLED = "cancelled"
    LOST = "lost"
    UNAVAILABLE = "unavailable"

    @property
    def of_its_own(self) -> bool:
        """Whether nobody here ended it, so that another attempt may go better."""
        return self not in (Cause.TIMED_OUT, Cause.CANCELLED, Cause.UNAVAILABLE)


_CRASHES = {
    signal.SIGSEGV: "it accessed memory that is not its own (segmentation fault)",
    signal.SIGBUS: "it accessed memory without a page behind it (bus error)",
    signal.SIGFPE: "of an arithmetic error in native code",
    signal.SIGILL: "it executed an instruction this processor does not have",
    signal.SIGABRT: "native code in it gave up (abort)",
    signal.SIGSYS: "it made a system call that is not allowed here",
}


@dataclass(frozen=True, slots=True)
class Death:
    """How a worker ended.

    Parameters
    ----------
    cause:
        The kind.
    reason:
        A sentence for people.
    pid:
        Of the process; 0 when it never had one.
    output:
        The last it wrote to its standard error, as text; empty for nothing.
    """

    cause: Cause
    reason: str
    pid: int = 0
    output: str = ""


def death_of(status: int, pid: int, *, oom_kills: int = 0, output: str = "") -> Death:
    """The end of a process.

    Parameters
    ----------
    status:
        As ``os.waitpid`` gives it.
    oom_kills:
        How many processes the kernel killed for lack of memory while this one ran, as the control group counts them.
    output:
        The last it wrote to its standard error.
    """
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return Death(Cause.EXITED, f"the function ended its process with exit code {code}", pid, output)
    number = -code
    name = _name(number)
    if number == signal.SIGKILL and oom_kills > 0:
        return Death(Cause.OUT_OF_MEMORY, "the kernel killed its process for lack of memory (SIGKILL)", pid, output)
    if number == signal.SIGKILL:
        reason = "its process was killed (SIGKILL), by somebody, or by the kernel for lack of memory"
        return Death(Cause.KILLED, reason, pid, output)
    if number in _CRASHES:
        return Death(Cause.CRASHED, f"its process ended with {name}: {_CRASHES[signal.Signals(number)]}", pid, output)
    return Death(Cause.KILLED, f"its process was ended with {name}", pid, output)


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
