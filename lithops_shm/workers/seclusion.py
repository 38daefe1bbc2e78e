"""What keeps data in a worker: no network, no core dump, no look from outside, no file for others to read.

Run as a script, it says why workers can have no network namespace of their own here, or nothing when they can; so it
imports the standard library alone.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from dataclasses import dataclass

__all__ = ["HOST", "IF_POSSIBLE", "NONE", "OPEN", "Seclusion", "forbid_dumps", "leave_network", "network_refusal"]

HOST, NONE, IF_POSSIBLE = "host", "none", "if-possible"

# From Linux' uapi headers.
_CLONE_NEWUSER = 0x1000_0000
_CLONE_NEWNET = 0x4000_0000
_PR_SET_DUMPABLE = 4

_ANSWER_WITHIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Seclusion:
    """What the workers of a pool are kept from.

    Parameters
    ----------
    private:
        Whether they leave no core dump, cannot be looked into by other processes of this user, and make files that only
        this user may read.
    network:
        ``HOST``: they have that of this machine. ``NONE``: they have none, or are not started. ``IF_POSSIBLE``: none,
        where the kernel allows it.
    """

    private: bool = False
    network: str = HOST

    def to_text(self) -> str:
        """As an argument of a program; empty for workers that are kept from nothing."""
        return "" if self == OPEN else f"{'private' if self.private else ''},{self.network}"

    @classmethod
    def from_text(cls, text: str) -> Seclusion:
        """What :meth:`to_text` made."""
        if not text:
            return cls()
        private, _, network = text.partition(",")
        return cls(bool(private), network)


OPEN = Seclusion()
"""Kept from nothing, as most workers are."""


def leave_network() -> None:
    """Move this process, which must have one thread, into a network namespace with no interface that is up.

    By right, or as the owner of a user namespace in which it is who it was. Its children are born there; none of them
    can come back, but root may.

    Raises
    ------
    OSError
        When it cannot; then the process is of no more use.
    """
    if sys.platform != "linux":
        raise OSError("only Linux has network namespaces")
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.readlink("/proc/self/ns/net")
    if libc.unshare(_CLONE_NEWNET) != 0:
        user, group = os.geteuid(), os.getegid()
        if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"the kernel makes no namespace for this user: {os.strerror(number)}")
        # user_namespaces(7): without the first, the last needs rights that nobody has.
        for name, line in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
            with open(f"/proc/self/{name}", "wb") as file:
                file.write(line.encode())
    if os.readlink("/proc/self/ns/net") == before:
        raise OSError("the kernel left it where it was")


def forbid_dumps() -> None:
    """From now on this process leaves no core dump, and no other of its user may trace it or read its memory.

    Programs it starts may be traced, and leave no core file.

    Raises
    ------
    OSError
        When it cannot.
    """
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "core dumps cannot be turned off")


def network_refusal() -> str:
    """Why workers can have no network namespace of their own here; empty when they can. Tried, in another process."""
    command = [sys.executable, "-I", "-S", __file__]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=_ANSWER_WITHIN_S, check=True, cwd="/")
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    return run.stdout.strip()


if __name__ == "__main__":
    try:
        leave_network()
    except OSError as error:
        print(error.strerror or error)
