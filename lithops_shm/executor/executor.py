"""The executor: Lithops' own, on shared memory unless told otherwise, with large arguments stored once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import lithops

from lithops_shm.executor.arguments import Arguments
from lithops_shm.executor.choice import SHARED_MEMORY, configured
from lithops_shm.plugin.leftovers import leftovers

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
        Lithops' own. A configuration may say ``lithops: {mode: shared_memory}``.

    Raises
    ------
    ConfigError
        For wrong settings, and for a mode and a backend that contradict each other.
    """

    def __init__(
        self,
        mode: str | None = None,
        config: dict[str, Any] | None = None,
        config_file: str | None = None,
        backend: str | None = None,
        storage: str | None = None,
        monitoring: str | None = None,
        log_level: str | bool | None = False,
        **options: Any,
    ) -> None:
        super().__init__(
            mode=None if mode == SHARED_MEMORY else mode,
            config=configured(config, config_file, mode, backend, storage),
            backend=backend,
            storage=storage,
            monitoring=monitoring,
            log_level=log_level,
            **options,
        )
        self._arguments = Arguments(self.executor_id, self.internal_storage)

    def call_async(self, *args: Any, **options: Any) -> Any:
        """Lithops' own, with large arguments stored once."""
        return self._submit(super().call_async, args, options)

    def map(self, *args: Any, **options: Any) -> Any:
        """Lithops' own, with large arguments stored once."""
        return self._submit(super().map, args, options)

    def map_reduce(self, *args: Any, **options: Any) -> Any:
        """Lithops' own, with large arguments stored once."""
        return self._submit(super().map_reduce, args, options)

    def _submit(self, method: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        call = inspect.signature(method).bind(*args, **options)
        names = [name for name in _DATA if name in call.arguments]
        values, pointers = self._arguments.stored(call.arguments[name] for name in names)
        call.arguments.update(zip(names, values, strict=True))
        futures = method(*call.args, **call.kwargs)
        if pointers:
            first = futures[0] if isinstance(futures, list) else futures
            leftovers(self.executor_id).add(first.job_key, pointers)
        return futures
