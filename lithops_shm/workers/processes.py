"""The processes of a pool, as its thread holds them: the zygote, and the worker at the other end of each channel."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from lithops_shm import host
from lithops_shm.workers.channel import Channel
from lithops_shm.workers.death import Death, death_of
from lithops_shm.workers.output import calls_begun, new_output, tail
from lithops_shm.workers.seclusion import OPEN, Seclusion
from lithops_shm.workers.worker import THREAD_CAPS
from lithops_shm.workers.zygote import AND_THEN, END, FORK, KILL, REQUEST

__all__ = ["WorkerProcess", "ZygoteProcess"]

_CLOSING_S = 5.0


@dataclass(slots=True, eq=False)
class WorkerProcess:
    """A worker.

    Parameters
    ----------
    number:
        Unique in the pool, and known before there is a process.
    channel:
        To the worker.
    output:
        Descriptor of its output.
    oom_kills:
        How many processes the kernel had killed for lack of memory when this one was asked for.
    pid:
        0 until it has been forked.
    calls:
        How many it has been sent.
    deadline:
        When its call will have taken too long, by the monotonic clock in seconds.
    status:
        As ``os.waitpid`` gave it to the zygote.
    silent:
        Nothing more comes from its channel.
    verdict:
        Why we killed it.
    """

    number: int
    channel: Channel
    output: int
    oom_kills: int
    pid: int = 0
    calls: int = 0
    deadline: float | None = None
    status: int | None = None
    silent: bool = False
    verdict: Death | None = None

    @property
    def gone(self) -> bool:
        """Whether both its channel and the zygote have said so."""
        return self.silent and self.status is not None

    def death(self) -> Death:
        """How it ended, once it has."""
        assert self.status is not None, "it is alive"
        kills = host.oom_kills() - self.oom_kills
        return self.verdict or death_of(self.status, self.pid, oom_kills=kills, output=tail(self.output))

    @property
    def has_begun(self) -> bool:
        """Whether it has begun with the last call it was sent."""
        return calls_begun(self.output) == self.calls

    def release(self) -> None:
        """Close the channel, which ends the worker if it has nothing to do; nobody waits for it."""
        self.channel.close()
        os.close(self.output)


class ZygoteProcess:
    """The process that workers are forked from, started at once.

    Parameters
    ----------
    preload, and_then:
        Modules it imports before it forks the first worker, and those after that, or before it where that can wait.
    last_will:
        ``module:function argument``: called in it with the argument, a text, when this process was killed.
    seclusion:
        What its workers are kept from.
    """

    def __init__(
        self,
        preload: tuple[str, ...],
        and_then: tuple[str, ...],
        last_will: str = "",
        seclusion: Seclusion = OPEN,
    ) -> None:
        self._socket, theirs = socket.socketpair()
        self._channel = Channel(self._socket)
        command = [sys.executable, "-c", "from lithops_shm.workers.zygote import main; main()"]
        command += [str(theirs.fileno()), str(os.getpid()), last_will, seclusion.to_text()]
        command += [*preload, AND_THEN, *and_then]
        with theirs:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**THREAD_CAPS, **os.environ},
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    def fileno(self) -> int:
        return self._channel.fileno()

    def messages(self) -> list[tuple[Any, ...]]:
        """What it has said: ``forked``, number, pid; ``refused``, number, why; ``exited``, pid, status.

        Before these ``ready``, why its workers have a network against a wish (empty for nothing to say), or ``unfit``,
        why it has ended; and ``warm``, when it has loaded all it is to load.

        Raises
        ------
        EOFError
            When it is gone, and all its workers with it.
        """
        return self._channel.receive_available()

    def fork(self, number: int) -> WorkerProcess:
        """Ask for a worker; what becomes of the wish is among the messages."""
        ours, theirs = socket.socketpair()
        output = new_output()
        with theirs, contextlib.suppress(OSError):  # it is gone, and the next message says so
            socket.send_fds(self._socket, [REQUEST.pack(FORK, number)], [theirs.fileno(), output])
        return WorkerProcess(number, Channel(ours), output, host.oom_kills())

    def kill(self, worker: WorkerProcess, verdict: Death) -> None:
        """Have a worker, and what it has started, killed; the first verdict stands."""
        if worker.verdict is None and worker.pid:
            worker.verdict = verdict
            with contextlib.suppress(OSError):
                self._socket.sendall(REQUEST.pack(KILL, worker.pid))

    def close(self) -> None:
        """End it, which ends its workers, and wait until it is gone."""
        with contextlib.suppress(OSError):  # it is gone already
            self._socket.sendall(REQUEST.pack(END, 0))
        self._channel.close()
        try:
            self._process.wait(_CLOSING_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def abandon(self) -> None:
        """In a forked child of the client, whose process it is not: close this copy of the channel."""
        self._channel.close()
        self._process.returncode = 0  # nothing to wait for
