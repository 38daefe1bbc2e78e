"""The process the workers are forked from: warm, with one thread, and gone with all of them when its client is.

A fork of it takes two milliseconds where an interpreter takes hundreds. It is forked from safely, because it starts no
threads and holds no locks; the client, which has threads, is never forked.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import os
import select
import signal
import socket
import struct
import sys
import time
from typing import NoReturn

from lithops_shm.workers.channel import Channel

__all__ = ["AND_THEN", "END", "FORK", "KILL", "REQUEST", "main"]

AND_THEN = "and-then"

# A request is one letter and a number; FORK comes with two descriptors: the worker's socket and its standard error.
REQUEST = struct.Struct("!cq")
FORK, KILL, END = b"F", b"K", b"E"

_LOADS_AFTER_S = 0.005  # in which a client that waits for workers asks for them
_LOOKS_FOR_CLIENT_S = 1.0
_REFUSED_S = 1.0  # until a fork that the system has refused may be tried again
_CLIENT_ENDS_S = 5.0  # between the end of the client's socket and its own
_PR_SET_PDEATHSIG = 1  # prctl(2)
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # mallopt(3)
_KEPT_BYTES = 128 << 20
_KEPT_AT_ONCE_BYTES = 32 << 20  # the most it takes
# Where memory runs out, the kernel takes the worker that used it before the client that waits for it (proc(5)).
_OOM_SCORE = b"500"


def main() -> NoReturn:
    """Arguments: descriptor of the control socket, pid of the client, last will, seclusion, modules, and-then, modules.

    The last will is empty, or ``module:function argument``, called with the argument when the client was killed. The
    seclusion is the workers', as text. The first modules are loaded before the first worker is forked; the others,
    which take longer, once nobody waits.
    """
    descriptor, client, last_will, secluded, *preload = sys.argv[1:]
    # `python -c` puts the working directory first; a module lying there is not part of this environment.
    if sys.path and sys.path[0] == "":
        del sys.path[0]
    control = socket.socket(fileno=int(descriptor))
    remark = _seclude(control, secluded) if secluded else ""
    _keep_what_is_freed()
    split = preload.index(AND_THEN)
    _load(preload[:split])
    private = secluded.startswith("private")
    _Zygote(control, int(client), last_will, private=private).run(preload[split + 1 :], remark)


def _seclude(control: socket.socket, text: str) -> str:
    """Before anything is loaded that might start a thread; gives what the client should know, empty for nothing."""
    from lithops_shm.workers import seclusion

    wanted = seclusion.Seclusion.from_text(text)
    if wanted.private:
        os.umask(0o077)
    if wanted.network == seclusion.HOST:
        return ""
    # Half done it could not be taken back: another process tries it first.
    if refusal := seclusion.network_refusal():
        if wanted.network == seclusion.IF_POSSIBLE:
            return refusal
        Channel(control).send("unfit", f"workers without a network cannot be had here ({refusal})")
        os._exit(1)
    seclusion.leave_network()
    return ""


def _keep_what_is_freed() -> None:
    """Have the C library keep memory for what is allocated next, in this process and its workers; where it is glibc.

    It would give back what NumPy's temporary arrays were in, and the kernel clear pages for the next ones: a fifth of a
    second of CPU time in a sort of 1 GB. A worker gives it back when it ends, with its job.
    """
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(_M_MMAP_THRESHOLD, _KEPT_AT_ONCE_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


def _load(names: list[str]) -> None:
    for name in names:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # so that a collection in a worker does not touch, and so copy, every page shared with this process


class _Zygote:
    def __init__(self, control: socket.socket, client: int, last_will: str, *, private: bool) -> None:
        self._control = control
        self._channel = Channel(control)
        self._client = client
        self._pid = os.getpid()  # a worker that asked who its parent is might be told of the one it was left to
        self._last_will = last_will
        self._private = private
        self._told_to_end = False
        self._children: set[int] = set()
        self._woken, self._wakes = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC) if hasattr(os, "pipe2") else os.pipe()
        os.set_blocking(self._wakes, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wakes, warn_on_full_buffer=False)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def run(self, preload: list[str], remark: str) -> NoReturn:
        """Fork and reap until the client is gone; load the modules when it has asked for nothing for a moment."""
        with contextlib.suppress(ConnectionError):  # the client went away in the middle of a request
            self._tell("ready", remark)
            patience, warm = _LOADS_AFTER_S, False
            while os.getppid() == self._client:
                readable, _, _ = select.select([self._control.fileno(), self._woken], [], [], patience)
                if not readable and not warm:
                    _load(preload)
                    self._tell("warm")
                    patience, warm = _LOOKS_FOR_CLIENT_S, True
                if self._woken in readable:
                    os.read(self._woken, 4096)
                if self._control.fileno() in readable and not self._serve():
                    break
                self._reap()
        for child in self._children:
            _kill(child)
        if not self._told_to_end:
            self._execute_last_will()
        elif self._private:
            self._await_children()  # so that they have nothing mapped when the client zeroes it
        os._exit(0)

    def _execute_last_will(self) -> None:
        """The client was killed: what it would have cleaned up at its end is ours to do, once it is gone for good."""
        deadline = time.monotonic() + _CLIENT_ENDS_S
        while os.getppid() == self._client and time.monotonic() < deadline:
            time.sleep(0.01)
        self._await_children()  # they may still have open what is to be cleaned up
        name, _, argument = self._last_will.partition(" ")
        if name:
            module, _, function = name.partition(":")
            getattr(importlib.import_module(module), function)(argument)

    def _await_children(self) -> None:
        with contextlib.suppress(OSError):
            while self._children:
                self._children.discard(os.wait()[0])

    def _tell(self, *message: object) -> None:
        with contextlib.suppress(ConnectionError):  # the client is gone, or is about to be: what it said last counts
            self._channel.send(*message)

    def _serve(self) -> bool:
        """One request; ``False`` when the client is gone."""
        data, descriptors, _, _ = socket.recv_fds(self._control, REQUEST.size, 2)
        while data and len(data) < REQUEST.size:
            data += self._control.recv(REQUEST.size - len(data))
        if len(data) < REQUEST.size:
            return False
        letter, number = REQUEST.unpack(data)
        if letter == END:
            self._told_to_end = True
            return False
        if letter == FORK:
            self._fork(number, *descriptors)
        elif number in self._children:
            _kill(number)
        return True

    def _fork(self, number: int, descriptor: int, output: int) -> None:
        try:
            pid = os.fork()
        except OSError as error:
            time.sleep(_REFUSED_S)
            self._tell("refused", number, f"the system allows no more processes: {error}")
            pid = -1
        if pid == 0:
            self._become_worker(descriptor, output)
        os.close(descriptor)
        os.close(output)
        if pid > 0:
            self._children.add(pid)
            self._tell("forked", number, pid)

    def _become_worker(self, descriptor: int, output: int) -> NoReturn:
        code = 1
        try:
            os.setsid()  # a group of its own: what it starts is killed with it, and Ctrl-C at the terminal passes it by
            _die_with(self._pid)
            with contextlib.suppress(OSError):
                score = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)  # open() would load a codec
                os.write(score, _OOM_SCORE)
                os.close(score)
            if self._private:
                from lithops_shm.workers.seclusion import forbid_dumps

                forbid_dumps()  # after the last that writes to /proc/self, which belongs to root from then on
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.close(self._woken)
            os.close(self._wakes)
            self._control.close()
            null = os.open(os.devnull, os.O_RDONLY)
            os.dup2(null, 0)
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.close(null)
            os.set_inheritable(output, False)

            from lithops_shm.workers.worker import serve

            serve(Channel(socket.socket(fileno=descriptor)), output)
            code = 0
        except BaseException:  # noqa: BLE001  (this process ends with it, and says so)
            import traceback

            traceback.print_exc()
        finally:
            with contextlib.suppress(BaseException):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def _reap(self) -> None:
        while self._children:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._children.discard(pid)
            _kill(pid)  # whatever it started and left behind
            self._tell("exited", pid, status)


def _kill(pid: int) -> None:
    """SIGKILL a worker and its process group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


def _die_with(parent: int) -> None:
    """Have this process killed when its parent dies, by whatever signal; where the system can (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died just before
        os._exit(1)
