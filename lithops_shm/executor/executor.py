"""The executor: Lithops' own, on shared memory unless told otherwise, with large arguments stored once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import lithops

from lithops_shm.errors import ConfigError
from lithops_shm.executor.arguments import Arguments
from lithops_shm.executor.choice import AUTO, SHARED_MEMORY, configured
from lithops_shm.executor.partitions import PartitionFuture, Partitions
from lithops_shm.placement.choose import as_profile, decided, outcome_of
from lithops_shm.plugin.leftovers import leftovers
from lithops_shm.plugin.section import require_asked
from lithops_shm.selector import Decision, JobProfile
from lithops_shm.shuffle.spec import Shuffle

__all__ = ["FunctionExecutor"]

# Of the methods that submit jobs, the parameters that carry the user's data.
_DATA = ("data", "map_iterdata", "extra_args", "extra_args_reduce")


class FunctionExecutor(lithops.FunctionExecutor):  # type: ignore[misc]
    """Takes all that `lithops.FunctionExecutor` takes, in the same order, and has all its methods.

    On shared memory a large frame, table, array or bytes passed to any number of calls is stored once and mapped by
    each, read-only; that it is in a list, tuple or dict makes no difference. It is deleted with the job.

    Parameters
    ----------
    mode:
        ``"shared_memory"``: warm workers on this machine and storage `shm`, unless `storage` names another. This is
        the default when neither the arguments nor a configuration name a backend. Or one of Lithops' own.
    config, config_file, backend, storage, monitoring, log_level, options:
        Lithops' own. A configuration may say ``lithops: {mode: shared_memory}``, and `backend` may be ``"auto"``, there
        or here: then the selector chooses between this machine and the remote backends of the configuration, once.
    profile:
        With ``"auto"``: what is known of the job.
    decision:
        With ``"auto"``: one that was made before, by :func:`lithops_shm.select`.
    confidential:
        Whether data must not leave the memory of this machine. The profile and the configuration may say so as well,
        and what one of them says no other takes back.

    Attributes
    ----------
    decision:
        What was decided, and why; ``None`` unless the backend is ``"auto"``.

    Raises
    ------
    ConfigError
        For wrong settings, and for a mode and a backend that contradict each other.
    NoPlaceError
        When no place meets the hard constraints of the profile.
    ConfidentialityError
        When something in the configuration would take confidential data elsewhere.
    """

    decision: Decision | None

    def __init__(
        self,
        mode: str | None = None,
        config: dict[str, Any] | None = None,
        config_file: str | None = None,
        backend: str | None = None,
        storage: str | None = None,
        monitoring: str | None = None,
        log_level: str | bool | None = False,
        *,
        profile: JobProfile | dict[str, Any] | None = None,
        decision: Decision | None = None,
        confidential: bool = False,
        **options: Any,
    ) -> None:
        found = configured(config, config_file, mode, backend, storage, confidential=confidential)
        self.decision, chosen = None, found
        if found["lithops"].get("backend") == AUTO:
            self.decision = decision or decided(as_profile(profile or {}), found, {})
            chosen, backend, storage = self.decision.config, None, None
        elif profile is not None or decision is not None:
            raise ConfigError("a profile and a decision are for backend='auto': name it, or leave them out")
        mode = None if mode == SHARED_MEMORY else mode
        require_asked(chosen, mode=mode, backend=backend, storage=storage, monitoring=monitoring)
        super().__init__(
            mode=mode,
            config=chosen,
            backend=backend,
            storage=storage,
            monitoring=monitoring,
            log_level=log_level,
            **options,
        )
        self._outcome = outcome_of(self.decision, found) if self.decision else None
        self._arguments = Arguments(self.executor_id, self.internal_storage)
        self._shuffled: list[Partitions] = []

    def call_async(self, *args: Any, **options: Any) -> Any:
        """Lithops' own, with large arguments stored once."""
        return self._submit(super().call_async, args, options)

    def map(self, *args: Any, **options: Any) -> Any:
        """Lithops' own, with large arguments stored once."""
        return self._submit(super().map, args, options)

    def map_reduce(self, *args: Any, shuffle: Shuffle | None = None, show_progress: bool = True, **options: Any) -> Any:
        """Lithops' own, with large arguments stored once; with `shuffle`, an exchange from all mappers to all reducers.

        Parameters
        ----------
        shuffle:
            How rows find their reducers. Map functions then return or yield frames or tables (or, without a key column,
            yield pairs), and reduce functions are called once for each partition, with its rows (or once for each key).
        show_progress:
            Whether a shuffle shows a bar for each stage, if standard error is a terminal.
        args, options:
            Lithops' own. With `shuffle`, `chunksize` and `spawn_reducer` mean nothing.

        Returns
        -------
        Lithops' futures; or, with `shuffle`, at once, :class:`~lithops_shm.executor.partitions.Partitions`: a future
        for each partition, and a ``summary``. The shuffle runs in a thread of this process.

        Raises
        ------
        UnsupportedError, ValueError, TypeError
            When the arguments do not go together. What goes wrong later is raised by the futures.
        """
        if shuffle is None:
            return self._submit(super().map_reduce, args, options)
        from lithops_shm.executor.shuffling import start

        call = inspect.signature(super().map_reduce).bind(*args, **options)
        self.last_call = "map_reduce"
        self._begins()
        partitions = start(self, _executor_of, shuffle, call.arguments, show_progress=show_progress)
        self._shuffled = [*self._unread_shuffled, partitions]
        return partitions

    def get_result(self, fs: Any = None, *args: Any, **options: Any) -> Any:
        """Lithops' own; of a shuffle, the list of its partitions' results.

        Without `fs`, what has not been had yet: of one shuffle its list; of several, and with results of other calls,
        all of them in one.
        """
        found = self._results_of(fs, args, options)
        self._shuffled = self._unread_shuffled  # so that what was had is held here no longer
        self._ends()
        return found

    def _results_of(self, fs: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        if fs is not None:
            return self._waited_for(fs, args, options) if _is_shuffled(fs) else super().get_result(fs, *args, **options)
        shuffled, self._shuffled = self._unread_shuffled, []
        if not shuffled:
            return super().get_result(None, *args, **options)
        others = super().get_result(None, *args, **options) if self._has_unread else []
        found = list(others) if isinstance(others, list) else [others]
        for partitions in shuffled:
            found += self._waited_for(partitions, args, options)
        return found

    def wait(self, fs: Any = None, *args: Any, **options: Any) -> Any:
        """Lithops' own; for a shuffle, its futures that are done and those that are not."""
        if fs is None and (shuffled := self._unread_shuffled):
            done, pending = super().wait(None, *args, **options) if self._has_unread else ([], [])
            found = [self.wait(partitions, *args, **options) for partitions in shuffled]
            return sum((each[0] for each in found), list(done)), sum((each[1] for each in found), list(pending))
        if not _is_shuffled(fs):
            return super().wait(fs, *args, **options)
        self._waited_for(
            fs, (), {name: options[name] for name in ("throw_except", "timeout") if name in options}, read=False
        )
        several = _as_list(fs)
        return [each for each in several if each.done], [each for each in several if not each.done]

    def _waited_for(self, fs: Any, args: tuple[Any, ...], options: dict[str, Any], *, read: bool = True) -> Any:
        """The results of a shuffle's futures, which have been had then if `read`; an interruption ends the shuffle."""
        named = dict(zip(("throw_except", "timeout"), args, strict=False)) | options
        throw_except, timeout = named.get("throw_except", True), named.get("timeout")
        try:
            if isinstance(fs, Partitions) and read:
                return fs.get_result(throw_except, timeout)
            return [(each.result if read else each.wait)(throw_except, timeout) for each in _as_list(fs)]
        except KeyboardInterrupt:
            if isinstance(fs, Partitions):
                fs.cancel()
            raise

    @property
    def _unread_shuffled(self) -> list[Partitions]:
        """Shuffles of which somebody may still want the results."""
        return [each for each in self._shuffled if not each.read]

    @property
    def _has_unread(self) -> bool:
        return any(not future._read and not future.futures for future in self.futures)

    def _begins(self) -> None:
        if self._outcome is not None:
            self._outcome.begins()

    def _ends(self) -> None:
        if self._outcome is not None:
            self._outcome.ends()

    def _submit(self, method: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        self._begins()
        call = inspect.signature(method).bind(*args, **options)
        names = [name for name in _DATA if name in call.arguments]
        values, pointers = self._arguments.stored(call.arguments[name] for name in names)
        call.arguments.update(zip(names, values, strict=True))
        futures = method(*call.args, **call.kwargs)
        if pointers:
            first = futures[0] if isinstance(futures, list) else futures
            leftovers(self.executor_id).add(first.job_key, pointers)
        return futures


def _executor_of(config: dict[str, Any]) -> FunctionExecutor:
    """One like that of a complete configuration, which says nothing of itself."""
    return FunctionExecutor(config=config, log_level=None)


def _is_shuffled(fs: Any) -> bool:
    if isinstance(fs, Partitions):
        return True
    several = _as_list(fs)
    return bool(several) and all(isinstance(each, PartitionFuture) for each in several)


def _as_list(fs: Any) -> list[Any]:
    return [fs] if isinstance(fs, PartitionFuture) else list(fs) if isinstance(fs, (list, tuple, Partitions)) else []
