"""What a shuffled map_reduce gives back at once: a future for each partition, in order."""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Sequence
from typing import Any, Protocol, overload

from lithops_shm.executor.summary import ShuffleSummary

__all__ = ["PartitionFuture", "Partitions", "ShuffleJob"]


class ShuffleJob(Protocol):
    """A shuffle that is running, as the futures of its partitions know it."""

    id: str

    def futures(self) -> list[PartitionFuture]: ...

    def wait(self, timeout: float | None) -> bool: ...

    def cancel(self) -> None: ...

    def summary(self) -> ShuffleSummary: ...


class PartitionFuture:
    """The result of one partition's reduce function, with the properties Lithops' own futures have.

    Parameters
    ----------
    partition:
        Its number.
    """

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.read = False  # whether somebody has had the result, or the error in its place
        self._future: concurrent.futures.Future[Any] = concurrent.futures.Future()

    def result(self, throw_except: bool = True, timeout: float | None = None) -> Any:
        """Wait for the result; raises what ended the shuffle, unless `throw_except` is false, which gives ``None``.

        Raises
        ------
        TimeoutError
            When it is not there after `timeout` seconds.
        """
        try:
            return self.wait(throw_except, timeout)
        finally:
            self.read = self.read or self.done

    def wait(self, throw_except: bool = True, timeout: float | None = None) -> Any:
        """As :meth:`result`, but what it gives still counts as not had."""
        try:
            # Not without an end: see MapReduce.wait.
            return self._future.result(threading.TIMEOUT_MAX if timeout is None else timeout)
        except concurrent.futures.TimeoutError:
            if self._future.done():
                raise
            raise TimeoutError(f"partition {self.partition} has no result after {timeout} seconds") from None
        except Exception:
            if throw_except:
                raise
            return None

    @property
    def done(self) -> bool:
        """Whether there is a result, or will be none."""
        return self._future.done()

    ready = done
    success = done

    @property
    def error(self) -> bool:
        """Whether there will be no result."""
        return self._future.done() and self._future.exception() is not None

    def settle(self, result: Any = None, error: BaseException | None = None) -> None:
        """Told once by the shuffle; what comes later does not count."""
        if self._future.done():
            return
        if error is None:
            self._future.set_result(result)
        else:
            self._future.set_exception(error)

    def __repr__(self) -> str:
        state = "failed" if self.error else "done" if self.done else "not done"
        return f"<PartitionFuture {self.partition}, {state}>"


class Partitions(Sequence[PartitionFuture]):
    """The futures of all partitions, by number; they share one shuffle.

    Where their number is chosen by the size of the data, asking for it, or for one of them, waits for the mappers.
    """

    def __init__(self, job: ShuffleJob) -> None:
        self._job = job
        self._read = False

    @overload
    def __getitem__(self, index: int) -> PartitionFuture: ...

    @overload
    def __getitem__(self, index: slice) -> list[PartitionFuture]: ...

    def __getitem__(self, index: int | slice) -> PartitionFuture | list[PartitionFuture]:
        return self._job.futures()[index]

    def __len__(self) -> int:
        return len(self._job.futures())

    def __repr__(self) -> str:
        return f"<Partitions of shuffle {self._job.id}>"

    def get_result(self, throw_except: bool = True, timeout: float | None = None) -> list[Any]:
        """The result of each partition, in order; waits for all.

        What ended the shuffle is raised, unless `throw_except` is false, which gives ``None`` for each that has none;
        nothing at all, where it ended before their number was chosen.

        Raises
        ------
        TimeoutError
            When they are not there after `timeout` seconds; the shuffle goes on.
        """
        if not self.wait(timeout):
            raise TimeoutError(f"shuffle {self._job.id} is not over after {timeout} seconds")
        self._read = True
        try:
            futures = self._job.futures()
        except Exception:
            if throw_except:
                raise
            return []
        return [future.result(throw_except) for future in futures]

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the shuffle is over, whether well or not; gives whether it is, after `timeout` seconds.

        An interruption (Ctrl-C) ends the shuffle.
        """
        try:
            return self._job.wait(timeout)
        except KeyboardInterrupt:
            self.cancel()
            raise

    def cancel(self) -> None:
        """End the shuffle, whatever it is doing, and free all it holds; waits until that is done."""
        self._job.cancel()
        self._read = True

    @property
    def done(self) -> bool:
        """Whether the shuffle is over."""
        return self._job.wait(0)

    @property
    def read(self) -> bool:
        """Whether all its results have been had, or will not be."""
        if self._read or not self.done:
            return self._read
        try:
            return all(future.read for future in self._job.futures())
        except Exception:  # noqa: BLE001  (it failed before it had any, and who asks for them is still to learn that)
            return False

    @property
    def summary(self) -> ShuffleSummary:
        """What the shuffle did; waits for its end, and raises what ended it if it failed."""
        return self._job.summary()
