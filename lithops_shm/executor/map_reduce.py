"""A shuffled map_reduce: mappers, the manifest, reducers; in a thread of the client, which may wait or not."""

from __future__ import annotations

import atexit
import logging
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lithops_shm.errors import ShmError, ShuffleError
from lithops_shm.executor.partitions import PartitionFuture
from lithops_shm.executor.progress import Progress
from lithops_shm.executor.stage import CancelledError, Stage
from lithops_shm.executor.summary import ShuffleSummary
from lithops_shm.executor.tally import Tally
from lithops_shm.executor.tasks import MapReport, Place, ReduceReport, map_task, reduce_task
from lithops_shm.plugin.leftovers import ended
from lithops_shm.shuffle.attempts import Attempts
from lithops_shm.shuffle.exchange import Exchange, ManifestRef
from lithops_shm.shuffle.manifest import Manifest, Readers

__all__ = ["MapReduce", "Work"]

logger = logging.getLogger(__name__)

_MAP, _REDUCE = 0, 1  # the stages, as the progress bars know them

# Of objects that could not be deleted, by the kind of their medium.
_DELETE_THEM = "; delete them, or have them expire"
_WHAT_TO_DO = {"shared": " in shared memory; they go when this program ends, or with lithops-shm gc"}


@dataclass(frozen=True)
class Work:
    """What to run.

    Parameters
    ----------
    map_function, reduce_function:
        The user's.
    map_arguments:
        Of each mapper, by name.
    reduce_arguments:
        Of every reducer, besides the rows.
    map_options, reduce_options:
        More arguments of Lithops' ``map``, for the one and the other.
    """

    map_function: Callable[..., Any]
    reduce_function: Callable[..., Any]
    map_arguments: list[dict[str, Any]]
    reduce_arguments: dict[str, Any]
    map_options: dict[str, Any] = field(default_factory=dict)
    reduce_options: dict[str, Any] = field(default_factory=dict)


class MapReduce:
    """One shuffle, from its start to its end.

    Parameters
    ----------
    executor:
        Of Lithops, for this shuffle alone, closed at its end.
    place:
        Where and how.
    work:
        What to run.
    slots:
        How many calls run at once.
    store_bytes:
        Gives the bytes of memory that segments take now; for the summary.
    progress:
        To be told.
    """

    def __init__(
        self,
        executor: Any,
        place: Place,
        work: Work,
        slots: int,
        store_bytes: Callable[[], int],
        progress: Progress,
    ) -> None:
        self.id = place.id
        self._executor = executor
        self._place = place
        self._work = work
        self._slots = slots
        self._store_bytes = store_bytes
        self._progress = progress
        self._tally = Tally(len(work.map_arguments), slots)
        self._futures: list[PartitionFuture] | None = None
        self._error: BaseException | None = None
        self._numbered = threading.Event()
        self._over = threading.Event()
        self._cancelled = threading.Event()
        if place.shuffle.partitions is not None:
            self._number(place.shuffle.partitions)
        self._thread = threading.Thread(target=self._run, name=f"shuffle-{self.id}", daemon=True)
        _running.add(self)
        self._thread.start()

    def futures(self) -> list[PartitionFuture]:
        """A future for each partition; waits until their number is known, and raises what came in between."""
        self._numbered.wait(threading.TIMEOUT_MAX)
        if self._futures is None:
            assert self._error is not None
            raise self._error
        return self._futures

    def wait(self, timeout: float | None) -> bool:
        """Wait until it is over, at most for `timeout` seconds; gives whether it is."""
        # A wait without an end cannot be interrupted where a library has a handler of SIGINT of its own (Polars has).
        return self._over.wait(threading.TIMEOUT_MAX if timeout is None else timeout)

    def cancel(self) -> None:
        """End it, and wait until nothing of it is left; its futures raise ShuffleError."""
        self._cancelled.set()
        self._thread.join()

    def summary(self) -> ShuffleSummary:
        """What it did; waits for its end, and raises what ended it."""
        self.wait(None)
        if self._error is not None:
            raise self._error
        return self._tally.summary()

    def _run(self) -> None:
        try:
            with ended(self._executor), self._place.exchange(self._executor.storage) as exchange:
                try:
                    self._map_and_reduce(exchange)
                finally:
                    self._end_progress()
                    self._clear(exchange)
            logger.info("%s", self._tally.summary())
        except CancelledError:
            self._fail(ShuffleError(f"shuffle {self.id} was cancelled"))
        except BaseException as error:  # noqa: BLE001  (it is for whoever waits for the partitions)
            self._fail(error)
        finally:
            self._numbered.set()
            self._over.set()

    def _map_and_reduce(self, exchange: Exchange) -> None:
        tally, work, place = self._tally, self._work, self._place
        reports: dict[int, MapReport] = {}

        def mapped(number: int, report: MapReport) -> None:
            reports[number] = report
            tally.mapped(report, self._store_bytes())
            self._progress.advance(_MAP, report.output.rows, report.output.nbytes)

        started = time.perf_counter()
        self._progress.begin(_MAP, "map", len(work.map_arguments))
        function = map_task(work.map_function, place)
        self._stage(function, work.map_arguments, work.map_options, mapped)
        tally.map_s = time.perf_counter() - started

        started = time.perf_counter()
        outputs = [report.output for report in reports.values()]
        manifest = exchange.plan(self.id, outputs, len(work.map_arguments), self._slots)
        ref = exchange.commit(manifest)
        self._number(manifest.partitions)
        tally.committed(manifest)
        tally.commit_s = time.perf_counter() - started

        started = time.perf_counter()
        self._progress.begin(_REDUCE, "reduce", manifest.partitions)
        self._reduce(exchange, manifest, ref)
        tally.reduce_s = time.perf_counter() - started

    def _reduce(self, exchange: Exchange, manifest: Manifest, ref: ManifestRef) -> None:
        readers = Readers(manifest)

        def reduced(number: int, report: ReduceReport) -> None:
            self.futures()[number].settle(report.result)  # whatever becomes of the segments, it is right
            self._tally.reduced(report, self._store_bytes())
            self._release(exchange, readers.done(number))
            self._progress.advance(_REDUCE, report.rows, report.nbytes)

        function = reduce_task(self._work.reduce_function, self._place, ref)
        arguments = [self._work.reduce_arguments] * manifest.partitions
        self._stage(function, arguments, self._work.reduce_options, reduced)

    def _release(self, exchange: Exchange, keys: list[str]) -> None:
        """Delete objects that all their readers have read; what cannot be deleted now is tried again at the end."""
        if not keys:
            return
        try:
            exchange.release(keys)
        except ShmError as error:
            logger.warning(
                "shuffle %s: %d objects that are no longer needed, %s the first, could not be deleted; they take their "
                "room until the shuffle ends, when it is tried again: %s",
                *(self.id, len(keys), keys[0], error),
            )

    def _clear(self, exchange: Exchange) -> None:
        try:
            exchange.clear()
        except ShmError as error:
            medium = self._place.medium
            logger.warning(
                "shuffle %s is over, but what it stored could not be deleted: objects under %s/ may be left in the "
                "bucket %s%s: %s",
                *(self.id, self._place.prefix, medium.bucket, _WHAT_TO_DO.get(medium.kind, _DELETE_THEM), error),
            )

    def _end_progress(self) -> None:
        try:
            self._progress.end()
        except Exception as error:  # noqa: BLE001  (bars are for show: whatever they raise, the rows are right)
            logger.warning("shuffle %s: its progress bars could not be closed: %s", self.id, error)

    def _stage(
        self,
        function: Callable[..., Any],
        arguments: list[dict[str, Any]],
        options: dict[str, Any],
        counted: Callable[[int, Any], None],
    ) -> None:
        shuffle = self._place.shuffle
        attempts = Attempts(len(arguments), retries=shuffle.retries, backups=shuffle.backups)
        try:
            Stage(self._executor, function, arguments, options, attempts, self._cancelled.is_set).run(counted)
        finally:
            self._tally.retried += attempts.retried
            self._tally.backups += attempts.backed_up

    def _number(self, partitions: int) -> None:
        if self._futures is None:
            self._futures = [PartitionFuture(number) for number in range(partitions)]
            self._numbered.set()

    def _fail(self, error: BaseException) -> None:
        self._error = error
        for future in self._futures or []:
            future.settle(error=error)


_running: weakref.WeakSet[MapReduce] = weakref.WeakSet()


@atexit.register
def _cancel_all() -> None:
    """A client that ends without waiting leaves nothing running."""
    for job in list(_running):
        if not job.wait(0):
            job.cancel()
