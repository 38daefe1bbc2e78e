"""The thread of a pool: hears what happens to its processes, tells the dispatcher, and does what that says."""

from __future__ import annotations

import collections
import contextlib
import logging
import selectors
import socket
import sys
import threading
import time
from typing import Any

from lithops_shm import host
from lithops_shm.config import WorkerSettings
from lithops_shm.workers.death import Cause, Death
from lithops_shm.workers.dispatch import Assign, Dispatcher, Fork, Retire, WarmUp
from lithops_shm.workers.job import Event, EventKind, Job
from lithops_shm.workers.processes import WorkerProcess, ZygoteProcess
from lithops_shm.workers.seclusion import OPEN, Seclusion
from lithops_shm.workers.waits import Waits
from lithops_shm.workers.worker import THREAD_CAPS

__all__ = ["Loop"]

logger = logging.getLogger(__name__)

_MEMORY_LOOKS_S = 0.2  # between looks while a call waits for memory
_SILENT_S, _SILENT_WHILE_LOADING_S = 1.0, 30.0  # between the end of a worker's channel and its own
_STARTS = 3  # how often in a row the zygote may fail to come up
_SPARES = 3  # fresh workers that wait for the next job


class Loop:
    """Runs from its making until it is told to close, or has been idle for as long as the settings say.

    Parameters
    ----------
    settings:
        Of the workers.
    slots:
        Most calls at once.
    runners:
        Modules that workers need for any job.
    last_will, seclusion:
        As :class:`ZygoteProcess` takes them.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        slots: int,
        runners: tuple[str, ...] = (),
        last_will: str = "",
        seclusion: Seclusion = OPEN,
    ) -> None:
        self._settings = settings
        self._runners = runners
        self._last_will = last_will
        self._seclusion = seclusion
        self._unfit = f"no worker can be started: `{sys.executable} -c 'import lithops_shm.workers.zygote'` fails"
        self._dispatcher = Dispatcher(slots, spares=_SPARES)
        self._selector = selectors.DefaultSelector()
        self._zygote: ZygoteProcess | None = None
        self._ready = self._warm = False
        self._failed_starts = 0
        self._workers: dict[int, WorkerProcess] = {}
        self._numbers = 0
        self._waits = Waits()
        self._idle_since = time.monotonic()
        self._waits_for_memory = False
        self._lock = threading.Lock()
        self._commands: collections.deque[tuple[Any, ...]] = collections.deque()
        self._over = False
        self._idle = threading.Event()
        self._idle.set()
        self._woken, self._wakes = socket.socketpair()
        self._woken.setblocking(False)
        self._wakes.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ, None)
        self._thread = threading.Thread(target=self._run, name="lithops-shm-pool", daemon=True)
        self._thread.start()

    def tell(self, *command: Any) -> bool:
        """Queue a command; gives ``False`` when this loop is over.

        ``start``; ``submit``, job; ``cancel``, keys, kill; ``await``, keys, an event to set when those jobs are over;
        or ``close``.
        """
        with self._lock:
            if self._over:
                return False
            self._commands.append(command)
            self._idle.clear()
        with contextlib.suppress(OSError):  # awake already, or ending
            self._wakes.send(b"x")
        return True

    def wait_until_idle(self) -> None:
        """Wait until no call is running or waiting to."""
        self._idle.wait()

    @property
    def busy(self) -> bool:
        """Whether a call is running or waiting to."""
        return not self._idle.is_set()

    def close(self) -> None:
        """End all workers and the thread, and wait for them."""
        self.tell("close")
        self._thread.join()

    def abandon(self) -> None:
        """In a forked child, which has neither the thread nor the processes: close its copies of the descriptors."""
        for worker in self._workers.values():
            worker.release()
        if self._zygote is not None:
            self._zygote.abandon()
        self._close_sockets()

    def _run(self) -> None:
        try:
            while True:
                self._obey()
                if self._over:
                    return
                self._advance()
                self._waits.tell_threads(self._dispatcher.has_job)
                for key, _ in self._selector.select(self._patience()):
                    if key.data is None:
                        with contextlib.suppress(BlockingIOError):
                            self._woken.recv(4096)
                    elif isinstance(key.data, ZygoteProcess):
                        self._hear_zygote(key.data)
                    else:
                        self._hear_worker(key.data)
                self._expire()
                with self._lock:
                    if not self._commands and not self._dispatcher.busy:
                        self._idle.set()
        except BaseException:
            logger.exception("the pool of workers failed; its calls are lost")
            self._lose_all(Death(Cause.LOST, "the thread that looks after the workers failed"))
            raise
        finally:
            self._end()

    def _obey(self) -> None:
        while self._commands:
            kind, *fields = self._commands.popleft()
            if kind == "submit":
                self._dispatcher.add_job(fields[0])
            elif kind == "cancel":
                self._cancel(*fields)
            elif kind == "await":
                self._waits.add_thread(fields[0], fields[1])
            elif kind == "close":
                with self._lock:
                    self._over = True
            self._idle_since = time.monotonic()

    def _cancel(self, job_keys: frozenset[str], kill: bool) -> None:
        for dropped in self._dispatcher.cancel(job_keys):
            self._resume_after(dropped.job.key, dropped.call.id)
        if kill and self._zygote is not None:
            for key in job_keys:
                for number in self._dispatcher.workers_of(key):
                    self._zygote.kill(self._workers[number], Death(Cause.CANCELLED, "it was cancelled"))

    def _advance(self) -> None:
        """Do what the dispatcher says."""
        if self._zygote is None:
            self._zygote = ZygoteProcess(self._runners, self._settings.preload, self._last_will, self._seclusion)
            self._selector.register(self._zygote, selectors.EVENT_READ, self._zygote)
        if not self._ready or (not self._warm and self._loads_what_workers_preload()):
            return
        wants_memory = any(job.memory_bytes for job in self._dispatcher.jobs())
        for action in self._dispatcher.plan(self._memory_available() if wants_memory else None):
            if isinstance(action, Fork):
                for _ in range(action.count):
                    self._fork(self._zygote)
            elif isinstance(action, Assign):
                self._assign(action)
            elif isinstance(action, WarmUp):
                with contextlib.suppress(OSError):  # it is dead already, and the zygote is about to say so
                    self._workers[action.worker].channel.send("warm-up", action.function, action.payload)
            elif isinstance(action, Retire):
                self._release(self._workers[action.worker])
        self._waits_for_memory = wants_memory and self._dispatcher.running < self._dispatcher.slots

    def _loads_what_workers_preload(self) -> bool:
        """Whether this process has loaded what workers do, so that its functions are likely to want it."""
        return any(name in sys.modules for name in self._settings.preload)

    def _memory_available(self) -> int | None:
        """Bytes that no running call has, nor has been promised and not taken yet."""
        limits = [limit for limit in (host.memory_available(), host.cgroup_headroom()) if limit is not None]
        if not limits:
            return None
        running = [(worker, self._dispatcher.call_of(worker.number)) for worker in self._workers.values()]
        promised = [(job.memory_bytes, worker.pid) for worker, found in running if found for job in found[:1]]
        return min(limits) - sum(max(0, asked - host.private_bytes(pid)) for asked, pid in promised if asked)

    def _fork(self, zygote: ZygoteProcess) -> None:
        self._numbers += 1
        worker = zygote.fork(self._numbers)
        self._workers[worker.number] = worker
        self._selector.register(worker.channel, selectors.EVENT_READ, worker)

    def _assign(self, action: Assign) -> None:
        worker, job, call = self._workers[action.worker], action.job, action.call
        worker.deadline = None if job.timeout_s is None else time.monotonic() + job.timeout_s
        worker.calls += 1
        with contextlib.suppress(OSError):  # it is dead already, and the zygote is about to say so
            if action.first:
                worker.channel.send("job", job.runner, job.payload, {**THREAD_CAPS, **job.environ}, job.directory)
            worker.channel.send("call", call.payload)
        self._follow(job, Event(EventKind.STARTED, call.id))

    def _hear_zygote(self, zygote: ZygoteProcess) -> None:
        try:
            messages = zygote.messages()
        except EOFError:
            self._lose_zygote()
            return
        for kind, *fields in messages:
            if kind == "ready":
                self._ready, self._failed_starts = True, 0
                if fields[0]:
                    logger.warning("functions of confidential jobs can reach the network: %s", fields[0])
            elif kind == "unfit":
                self._unfit = fields[0]
            elif kind == "warm":
                self._warm = True
                for worker in self._workers.values():
                    if worker.silent and worker.deadline is not None:
                        worker.deadline = min(worker.deadline, time.monotonic() + _SILENT_S)
            elif kind == "forked":
                self._workers[fields[0]].pid = fields[1]
                self._dispatcher.worker_ready(fields[0])
            elif kind == "refused":
                logger.warning("no new worker: %s", fields[1])
                self._dispatcher.fork_failed()
                self._release(self._workers[fields[0]])
            elif kind == "exited":
                self._reaped(*fields)

    def _reaped(self, pid: int, status: int) -> None:
        for worker in [each for each in self._workers.values() if each.pid == pid]:
            worker.status = status
            if not worker.silent:
                self._hear_worker(worker)  # what it sent before it died
            if worker.number in self._workers:
                worker.silent = True  # something that it started may hold the channel still
                self._bury(worker)

    def _hear_worker(self, worker: WorkerProcess) -> None:
        if worker.number not in self._workers:
            return  # another event of the same round was its end
        try:
            messages = worker.channel.receive_available()
        except (EOFError, OSError):
            worker.silent = True
            # A zygote that is still loading is late to say how its workers end.
            worker.deadline = time.monotonic() + (_SILENT_S if self._warm else _SILENT_WHILE_LOADING_S)
            self._selector.unregister(worker.channel)
            if worker.gone:
                self._bury(worker)
            return
        for kind, *fields in messages:
            if kind == "warm":
                self._dispatcher.worker_warm(worker.number)
                continue
            running = self._dispatcher.call_of(worker.number)
            if running is None:
                continue
            job, call = running
            if kind == "report":
                self._follow(job, Event(EventKind.REPORT, call.id, report=fields[0]))
            elif kind == "awaits":
                still = [call for call in fields[0] if self._dispatcher.is_open(*call)]
                waits = self._waits.add_worker(worker.number, still)
                self._dispatcher.worker_waits(worker.number, waits)
                if not waits:
                    self._send_over(worker)
            elif kind == "done":
                worker.deadline = None
                self._dispatcher.call_done(worker.number)
                self._advance()  # its next call first: what follows this job may take a while
                if fields[0] is not None:
                    self._follow(job, Event(EventKind.REPORT, call.id, report=fields[0]))
                self._end_call(job, Event(EventKind.DONE, call.id))
        self._idle_since = time.monotonic()

    def _bury(self, worker: WorkerProcess) -> None:
        self._lose(worker, worker.death())

    def _lose(self, worker: WorkerProcess, death: Death) -> None:
        begun = worker.has_begun
        self._release(worker)
        lost = self._dispatcher.worker_gone(worker.number, begun=begun, may_retry=death.cause.of_its_own)
        if lost is not None:
            if lost.again:
                self._follow(lost.job, Event(EventKind.RETRIED, lost.call.id, death=death))
            else:
                self._end_call(lost.job, Event(EventKind.DIED, lost.call.id, death=death))

    def _end_call(self, job: Job, event: Event) -> None:
        self._follow(job, event)
        self._resume_after(job.key, event.call_id)

    def _resume_after(self, job_key: str, call_id: str) -> None:
        for number in self._waits.call_over(job_key, call_id):
            self._dispatcher.worker_waits(number, False)
            self._send_over(self._workers[number])

    @staticmethod
    def _send_over(worker: WorkerProcess) -> None:
        with contextlib.suppress(OSError):  # it is dead already, and the zygote is about to say so
            worker.channel.send("over")

    def _lose_all(self, death: Death) -> None:
        for number in list(self._workers):
            if lost := self._dispatcher.worker_gone(number):
                self._follow(lost.job, Event(EventKind.DIED, lost.call.id, death=death))
        for lost in self._dispatcher.cancel([job.key for job in self._dispatcher.jobs()]):
            self._follow(lost.job, Event(EventKind.DIED, lost.call.id, death=death))

    def _release(self, worker: WorkerProcess) -> None:
        del self._workers[worker.number]
        self._waits.drop_worker(worker.number)
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(worker.channel)
        worker.release()

    def _lose_zygote(self) -> None:
        self._close_zygote()
        self._failed_starts += 1
        death = Death(Cause.LOST, "the process that workers are forked from ended, and took them with it")
        for worker in list(self._workers.values()):
            if not worker.pid:
                self._dispatcher.fork_failed()
            self._lose(worker, death)
        if self._failed_starts > _STARTS:
            self._lose_all(Death(Cause.UNAVAILABLE, self._unfit))

    def _expire(self) -> None:
        """Kill what is over its time; end the loop when nothing has happened for long."""
        now = time.monotonic()
        for worker in self._workers.values():
            if worker.deadline is not None and now >= worker.deadline and self._zygote is not None:
                cause = Cause.LOST if worker.silent else Cause.TIMED_OUT
                reason = "it closed its connection to us" if worker.silent else "it took longer than its timeout"
                self._zygote.kill(worker, Death(cause, f"{reason}, and was killed", worker.pid))
                worker.deadline = None
        if not self._dispatcher.busy and now - self._idle_since >= self._settings.idle_seconds:
            with self._lock:
                self._over = not self._commands

    def _patience(self) -> float | None:
        """Seconds until something has to be looked at."""
        times = [worker.deadline for worker in self._workers.values() if worker.deadline is not None]
        if not self._dispatcher.busy:
            times.append(self._idle_since + self._settings.idle_seconds)
        if self._waits_for_memory:
            times.append(time.monotonic() + _MEMORY_LOOKS_S)
        return max(0.0, min(times) - time.monotonic()) if times else None

    def _end(self) -> None:
        with self._lock:
            self._over = True
        for worker in list(self._workers.values()):
            self._release(worker)
        self._close_zygote()
        self._close_sockets()
        self._idle.set()
        self._waits.tell_threads(lambda _: False)

    def _close_zygote(self) -> None:
        self._ready = self._warm = False
        if self._zygote is not None:
            self._selector.unregister(self._zygote)
            self._zygote.close()
            self._zygote = None

    def _close_sockets(self) -> None:
        self._woken.close()
        self._wakes.close()
        self._selector.close()

    @staticmethod
    def _follow(job: Job, event: Event) -> None:
        try:
            job.on_event(event)
        except Exception:
            logger.exception("what follows job %s failed on %s of call %s", job.key, event.kind.value, event.call_id)
