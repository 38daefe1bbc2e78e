"""Who waits for what: workers for calls of other workers, threads for the ends of jobs; no I/O."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

__all__ = ["Waits"]


class Waits:
    """Kept by the loop of a pool alone, which says when something is over."""

    def __init__(self) -> None:
        self._calls: dict[int, set[tuple[str, str]]] = {}
        self._jobs: list[tuple[frozenset[str], threading.Event]] = []

    def add_worker(self, worker: int, calls: Iterable[tuple[str, str]]) -> bool:
        """A worker, by number, waits for these, each a job's key and the call's id; gives whether there are any."""
        self.drop_worker(worker)
        if waited := set(calls):
            self._calls[worker] = waited
        return bool(waited)

    def drop_worker(self, worker: int) -> None:
        self._calls.pop(worker, None)

    def call_over(self, job_key: str, call_id: str) -> list[int]:
        """A call is over, or will not be; gives the workers for which it was the last."""
        for calls in self._calls.values():
            calls.discard((job_key, call_id))
        done = [worker for worker, calls in self._calls.items() if not calls]
        for worker in done:
            del self._calls[worker]
        return done

    def add_thread(self, job_keys: frozenset[str], over: threading.Event) -> None:
        """The event is set when none of these jobs is left."""
        self._jobs.append((job_keys, over))

    def tell_threads(self, has_job: Callable[[str], bool]) -> None:
        """Set the events of those whose jobs are over; `has_job` knows which are not."""
        left = []
        for keys, over in self._jobs:
            if any(map(has_job, keys)):
                left.append((keys, over))
            else:
                over.set()
        self._jobs = left
