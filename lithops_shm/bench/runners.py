"""Ways to run many small calls; declared in `contestants`. Each is made in a program of its own."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

__all__ = ["Dask", "Loky", "Ours", "Ray", "Runner", "Stock", "same"]


def same(item: Any) -> Any:
    """The function: what goes in comes out."""
    return item


class Runner:
    """An engine that is ready to run calls.

    Parameters
    ----------
    cpus:
        As many processes as it may use.
    scratch, shared:
        Directories for what it leaves, on a disk and on a tmpfs; removed afterwards.
    """

    def __init__(self, cpus: int, scratch: str, shared: str) -> None:
        raise NotImplementedError

    def map(self, items: list[Any]) -> list[Any]:
        """`same` of each, in order."""
        raise NotImplementedError

    def close(self) -> None:
        """Stop what the engine has started."""


class Ours(Runner):
    """Warm workers, and results through shared memory."""

    def __init__(self, cpus: int, scratch: str, shared: str) -> None:
        import lithops

        places = {"directory": os.path.join(shared, "store"), "spill": False, "pool_bytes": 0}
        config = {
            "lithops": {"backend": "shm", "storage": "shm", **_NO_LIMIT},
            "shm": {**places, "worker_processes": cpus},
        }
        self.executor = lithops.FunctionExecutor(config=config, log_level=None)

    def map(self, items: list[Any]) -> list[Any]:
        executor = self.executor
        if len(items) == 1:
            return [executor.call_async(same, (items[0],)).result()]
        # The package is there: Lithops need not look for what to send along.
        found: list[Any] = executor.get_result(executor.map(same, [(each,) for each in items], exclude_modules=_HERE))
        return found

    def close(self) -> None:
        self.executor.__exit__(None, None, None)


class Stock(Ours):
    """Lithops' own localhost: an interpreter for each call, results as files."""

    def __init__(self, cpus: int, scratch: str, shared: str) -> None:
        import lithops

        # It would run its workers with the first `python` in PATH, and start a process that cleans up after each job.
        config = {
            "lithops": {"backend": "localhost", "storage": "localhost", "data_cleaner": False, **_NO_LIMIT},
            "localhost": {"runtime": sys.executable, "worker_processes": cpus},
        }
        self.executor = lithops.FunctionExecutor(config=config, log_level=None)


class Ray(Runner):
    """Tasks of a local Ray."""

    def __init__(self, cpus: int, scratch: str, shared: str) -> None:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        ray = import_module("ray")

        self._ray = ray
        ray.init(num_cpus=cpus, include_dashboard=False, log_to_driver=False, logging_level="ERROR", _temp_dir=scratch)
        self._same = ray.remote(same)

    def map(self, items: list[Any]) -> list[Any]:
        found: list[Any] = self._ray.get([self._same.remote(each) for each in items])
        return found

    def close(self) -> None:
        self._ray.shutdown()


class Dask(Runner):
    """A local cluster of `distributed`, a thread in each of its processes."""

    def __init__(self, cpus: int, scratch: str, shared: str) -> None:
        Client = import_module("distributed").Client  # noqa: N806

        self._client = Client(
            n_workers=cpus, threads_per_worker=1, dashboard_address=None, local_directory=scratch, silence_logs=50
        )

    def map(self, items: list[Any]) -> list[Any]:
        # Functions are pure to it, and their results kept: not here.
        found: list[Any] = self._client.gather(self._client.map(same, items, pure=False))
        return found

    def close(self) -> None:
        self._client.close()


class Loky(Runner):
    """loky's reusable executor, joblib's if it is not installed by itself."""

    def __init__(self, cpus: int, scratch: str, shared: str) -> None:
        try:
            loky = import_module("loky")
        except ModuleNotFoundError:
            loky = import_module("joblib.externals.loky")
        self._executor = loky.get_reusable_executor(max_workers=cpus, timeout=None)

    def map(self, items: list[Any]) -> list[Any]:
        return list(self._executor.map(same, items))

    def close(self) -> None:
        self._executor.shutdown(wait=True)


_HERE = ["lithops_shm"]
_NO_LIMIT = {"data_limit": False}  # Lithops refuses more than 4 MiB of arguments in all
