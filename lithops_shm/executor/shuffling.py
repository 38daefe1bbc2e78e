"""From the arguments of a map_reduce, and the configuration of an executor, to a shuffle that runs."""

from __future__ import annotations

import copy
import secrets
from collections.abc import Callable
from typing import Any

from lithops_shm import host
from lithops_shm.config import SECTION
from lithops_shm.errors import ConfigError, UnsupportedError
from lithops_shm.executor.map_reduce import MapReduce, Work
from lithops_shm.executor.partitions import Partitions
from lithops_shm.executor.progress import Progress
from lithops_shm.executor.tasks import Place
from lithops_shm.plugin.calls import bound, rest_bound
from lithops_shm.plugin.pointers import store_of
from lithops_shm.plugin.section import shuffle_settings
from lithops_shm.shuffle.frames import Encoding
from lithops_shm.shuffle.media import Medium, S3Settings
from lithops_shm.shuffle.spec import Shuffle

__all__ = ["medium_of", "start"]

PREFIX = "lithops-shm.shuffles"

# Arguments of map_reduce that both stages pass on to Lithops' map.
_SHARED = ("extra_env", "timeout", "include_modules", "exclude_modules")
_OF_OBJECTS = ("obj_chunk_size", "obj_chunk_number", "obj_newline")
_STORAGE_OF_S3 = ("aws_s3", "minio")


def start(
    executor: Any,
    worker: Callable[..., Any],
    shuffle: Shuffle,
    arguments: dict[str, Any],
    *,
    show_progress: bool,
) -> Partitions:
    """Begin a shuffle; it goes on in a thread of this process.

    Parameters
    ----------
    executor:
        The user's.
    worker:
        Makes an executor of the same kind, for this shuffle alone, from a configuration.
    shuffle:
        What was asked for.
    arguments:
        Of Lithops' ``map_reduce``, by name.
    show_progress:
        Whether to show bars, on a terminal.

    Raises
    ------
    ConfigError
        When `shuffle` is something else.
    UnsupportedError
        For arguments of ``map_reduce`` that mean nothing to a shuffle.
    ValueError, TypeError
        When the data do not fit the functions.
    """
    if not isinstance(shuffle, Shuffle):
        raise ConfigError(f"shuffle={shuffle!r} is no Shuffle; give shuffle=lithops_shm.Shuffle(by=...)")
    if arguments.get("obj_reduce_by_key"):
        raise UnsupportedError(
            "obj_reduce_by_key gives each object a reducer; with shuffle=... keys decide: leave it out"
        )
    map_function, reduce_function = arguments["map_function"], arguments["reduce_function"]
    of_objects = {name: arguments[name] for name in _OF_OBJECTS if name in arguments}
    map_arguments = bound(map_function, arguments["map_iterdata"], arguments.get("extra_args"), executor, **of_objects)
    taken, reduce_arguments = rest_bound(reduce_function, 2 if shuffle.pairs else 1, arguments.get("extra_args_reduce"))
    options = {name: arguments[name] for name in _SHARED if name in arguments}
    settings = shuffle_settings(executor.config.get(SECTION))
    shuffle_id = f"{executor.executor_id}-{secrets.token_hex(4)}"
    place = Place(
        shuffle_id,
        shuffle,
        medium_of(executor),
        f"{PREFIX}/{shuffle_id}",
        Encoding(settings.shuffle_format, settings.shuffle_compression),
        len(map_arguments),
        taken[0],
    )
    work = Work(
        map_function,
        reduce_function,
        map_arguments,
        reduce_arguments,
        {**options, "runtime_memory": arguments.get("map_runtime_memory")},
        {**options, "runtime_memory": arguments.get("reduce_runtime_memory")},
    )
    own = worker(copy.deepcopy(executor.config))
    slots = executor.compute_handler.get_runtime_info().get("max_workers") or host.usable_cpus()
    return Partitions(MapReduce(own, place, work, slots, _store_bytes(executor), Progress(show_progress)))


def medium_of(executor: Any) -> Medium:
    """Where the objects of a shuffle of this executor go: to its storage, by the quickest way there is."""
    engine = shuffle_settings(executor.config.get(SECTION)).shuffle_engine
    backend = executor.internal_storage.backend
    store = store_of(executor.internal_storage)
    if store is not None:
        return Medium.of_store(store, executor.internal_storage.bucket)
    if backend in _STORAGE_OF_S3 and engine != "lithops":
        return Medium.of_s3(engine, S3Settings.from_lithops(executor.config))
    return Medium.of_lithops(executor.internal_storage.bucket)


def _store_bytes(executor: Any) -> Callable[[], int]:
    store = store_of(executor.internal_storage)
    return (lambda: 0) if store is None else (lambda: store.bytes_in_use)
