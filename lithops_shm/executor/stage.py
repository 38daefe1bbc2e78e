"""One stage of a shuffle: its tasks as Lithops calls, attempts of those that died or lag included."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from lithops_shm.plugin import awaiting
from lithops_shm.shuffle.attempts import Attempts, Launch

__all__ = ["CancelledError", "Stage"]

_LOOKS_S = 0.5  # between looks for stragglers, and for a wish to cancel, when nothing happens

# Of all shuffles: Lithops keeps what it knows of a runtime in a file, which another thread would read half written.
_submitting = threading.Lock()


class CancelledError(Exception):
    """Somebody wanted the stage to end."""


class Stage:
    """Runs tasks, each until one attempt of it counts.

    Parameters
    ----------
    executor:
        Of Lithops; nobody else submits jobs with it meanwhile.
    function:
        Called in a worker as ``function(task, attempt, arguments)``.
    arguments:
        Of each task.
    options:
        More arguments of Lithops' ``map``.
    attempts:
        Which run, and which count.
    is_cancelled:
        Asked now and then.
    """

    def __init__(
        self,
        executor: Any,
        function: Callable[..., Any],
        arguments: Sequence[Any],
        options: dict[str, Any],
        attempts: Attempts,
        is_cancelled: Callable[[], bool],
    ) -> None:
        self._executor = executor
        self._function = function
        self._arguments = arguments
        self._options = options
        self._attempts = attempts
        self._is_cancelled = is_cancelled
        self._running: dict[Launch, Any] = {}
        self._raised: dict[int, BaseException] = {}  # by tasks another attempt of which still ran

    def run(self, counted: Callable[[int, Any], None]) -> None:
        """Run all tasks to their ends; calls that still run then, or when this raises, are ended.

        Parameters
        ----------
        counted:
            Called with the number of a task and the result of the attempt of it that counts.

        Raises
        ------
        CancelledError
        Exception
            Whatever a task raised, once no other attempt of it runs; or, when its attempts died once too often, the
            death of the last.
        """
        try:
            self._launch(self._attempts.start())
            looked = time.monotonic()
            while not self._attempts.over:
                if self._is_cancelled():
                    raise CancelledError
                ended = [launch for launch, future in self._running.items() if awaiting.has_ended(future)]
                for launch in ended:
                    self._settle(launch, counted)
                if time.monotonic() - looked >= _LOOKS_S:
                    self._look_at_the_slow()
                    looked = time.monotonic()
                if not self._attempts.over:
                    awaiting.next_news(self._executor, list(self._running.values()), _LOOKS_S)
        finally:
            awaiting.abandon(self._executor, list(self._running.values()))
            self._running.clear()

    def _settle(self, launch: Launch, counted: Callable[[int, Any], None]) -> None:
        future = self._running.pop(launch)
        result = awaiting.take_result(future, self._executor.internal_storage)
        error = awaiting.error_of(future)
        if error is None:
            self._attempts.began(launch, awaiting.began_at(future))
            if self._attempts.succeeded(launch, time.time()):
                counted(launch.task, result)
            return
        if awaiting.worker_died(future, error):
            instead = self._attempts.died(launch)
        else:
            instead = self._attempts.raised(launch)
            self._raised.setdefault(launch.task, error)
        if instead is None:
            raise self._raised.get(launch.task, error)
        self._launch(instead)

    def _look_at_the_slow(self) -> None:
        for launch, future in self._running.items():
            self._attempts.began(launch, awaiting.began_at(future))
        self._launch(self._attempts.stragglers(time.time()))

    def _launch(self, launches: list[Launch]) -> None:
        if not launches:
            return
        data = [(launch.task, launch.attempt, self._arguments[launch.task]) for launch in launches]
        with _submitting:
            futures = self._executor.map(self._function, data, **self._options)
        self._running.update(zip(launches, futures, strict=True))
