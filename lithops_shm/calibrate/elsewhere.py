"""The rates of a storage, and of functions elsewhere that use it."""

from __future__ import annotations

import contextlib
import copy
import logging
import secrets
import statistics
import time
from collections.abc import Iterator, Mapping
from typing import Any

from lithops.constants import JOBS_PREFIX
from lithops.storage import Storage

from lithops_shm.calibrate import child
from lithops_shm.calibrate.child import Step
from lithops_shm.calibrate.effort import Effort
from lithops_shm.calibrate.samples import Measured, Samples
from lithops_shm.calibrate.storages import measure_storage, steps_of_storage, together
from lithops_shm.config import SECTION
from lithops_shm.errors import ConfigError, ShmError
from lithops_shm.selector.rates import Limits, RemoteRates
from lithops_shm.shuffle.media import Medium, ObjectStore, RetryPolicy, open_objects

__all__ = ["measure_remote", "of_functions", "steps_of_remote"]

_PROGRAM = "lithops_shm.calibrate.far"
_TIMEOUT_S = 90.0
_PATIENCE_S = 15.0  # for a storage that fails
_PREFIX = "lithops-shm.calibration"
_FALLS = 0.7  # of what as many functions alone would get: below, they are in each other's way
_SHARE = 3  # of a window that an object takes, one part in so many
_LEAST_BYTES, _MOST_BYTES = 64 << 10, 16 << 20
_SPINS = 5
_WINDOW = 0.5  # of one from here: functions have a dozen of them


def measure_remote(
    config: dict[str, Any],
    storage: str,
    backend: str | None,
    limits: Limits,
    effort: Effort,
    step: Step,
) -> Measured[RemoteRates]:
    """Use a storage, and run functions; gives their rates. What was stored is deleted, also when this is interrupted.

    Parameters
    ----------
    config:
        The Lithops configuration; not changed.
    storage, backend:
        By their names in Lithops. Without a backend what functions do is not known: those rates stay defaults, and
        bandwidths are those between this machine and the storage.
    limits:
        Of the backend: its CPUs are compared as if each function had a whole one.
    step:
        Told what is measured next, :func:`steps_of_remote` times.

    Raises
    ------
    ConfigError
        When Lithops knows no such storage, or it is not configured.
    ShuffleStorageError, SelectorError
        When the storage or a function fails.
    """
    place = _storage(config, storage)
    with _objects(place) as (objects, prefix):
        found = measure_storage(objects, prefix, effort, step)
        if backend is None:
            return Measured.of(RemoteRates(), found)
        request = {
            "config": _config(config, backend, storage),
            "here": None if backend == SECTION else _config(config, SECTION, SECTION),
            "bucket": place.bucket,
            "prefix": prefix,
            "nbytes": _object_bytes(found, effort),
            "window_s": effort.window_s * _WINDOW,
            "rounds": effort.rounds,
            "functions": effort.functions,
            "hold_s": effort.hold_s,
            "spins": _SPINS,
        }
        said = _run(request, objects, step)
    samples = Samples()
    for name in ("start_s", "starts_per_s", "stage_s", "invoke_s", "shuffle_s", "shuffle_function_s"):
        for value in said[name]:
            samples.add({name: value})
    rates = {**found, **samples.medians(), **of_functions(said, limits)}
    return Measured.of(RemoteRates(), rates, samples.spread)


def steps_of_remote(backend: str | None, effort: Effort) -> int:
    """How many steps :func:`measure_remote` tells of."""
    return steps_of_storage(effort) + (effort.rounds + 6 if backend is not None else 0)


def of_functions(said: Mapping[str, Any], limits: Limits) -> dict[str, float | None]:
    """Rates from what functions did, alone and together."""
    alone, every, functions = said["alone"], said["together"], said["functions"]
    # More of them never run at once: whatever bounds them, what they get together is all there is.
    all_there_are = functions >= said["slots"]

    def bound(name: str) -> float | None:
        in_the_way = functions > 1 and every[name] < _FALLS * functions * alone[name]
        return every[name] if all_there_are or in_the_way else None

    defaults = RemoteRates()
    share = 1.0
    if limits.memory_per_vcpu_mb and said["memory_mb"]:
        share = min(1.0, said["memory_mb"] / limits.memory_per_vcpu_mb)
    return {
        "cpu": said["cpu"][0] / share,
        "read_bps": alone["read"],
        "write_bps": alone["write"],
        "total_bps": together([bound("read"), bound("write")]),
        "reads_per_s": bound("small reads") or max(every["small reads"], defaults.reads_per_s),
        "writes_per_s": bound("small writes") or max(every["small writes"], defaults.writes_per_s),
        "latency_s": statistics.fmean(1 / alone[name] for name in ("small reads", "small writes")),
    }


def _object_bytes(found: Mapping[str, float | None], effort: Effort) -> int:
    slower = min(found["read_bps"] or 0.0, found["write_bps"] or 0.0)
    return int(min(_MOST_BYTES, max(_LEAST_BYTES, slower * effort.window_s * _WINDOW / _SHARE)))


def _run(request: dict[str, Any], objects: ObjectStore, step: Step) -> dict[str, Any]:
    """Run the program; what Lithops stored for its jobs is deleted, and functions have ended that could write more."""
    session = secrets.token_hex(3)
    until = 0.0

    def told(said: dict[str, Any]) -> None:
        nonlocal until
        until = said.get("until", until)

    environ = {"__LITHOPS_SESSION_ID": session}
    try:
        said: dict[str, Any] = child.run(_PROGRAM, request, step, timeout_s=_TIMEOUT_S, environ=environ, told=told)
        return said
    except BaseException:
        time.sleep(max(0.0, until - time.time()))  # nobody can tell functions elsewhere to stop
        raise
    finally:
        objects.delete_prefix(f"{JOBS_PREFIX}/{session}-")


@contextlib.contextmanager
def _objects(place: Any) -> Iterator[tuple[ObjectStore, str]]:
    """The objects of a storage, and a prefix; whatever is below that is deleted at the end."""
    objects = open_objects(Medium.of_lithops(place.bucket, RetryPolicy(_PATIENCE_S)), place)
    prefix = f"{_PREFIX}/{secrets.token_hex(6)}"
    try:
        try:
            yield objects, prefix
        except BaseException:
            with contextlib.suppress(ShmError):  # the storage fails: that was said already
                objects.delete_prefix(f"{prefix}/")
            raise
        objects.delete_prefix(f"{prefix}/")
    finally:
        objects.close()


def _storage(config: dict[str, Any], name: str) -> Any:
    """Lithops' own; its reasons come as exceptions of any kind, which it logs as well."""
    logging.getLogger("lithops").addHandler(logging.NullHandler())
    try:
        return Storage(config=copy.deepcopy(config), backend=name)
    except ModuleNotFoundError as error:
        raise ConfigError(f"Lithops has no storage {name!r}, or lacks what it needs: {error}") from error
    except Exception as error:
        raise ConfigError(f"storage {name!r} cannot be used as it is configured: {error}") from error


def _config(config: Mapping[str, Any], backend: str, storage: str) -> dict[str, Any]:
    """The configuration with these backends. What jobs store we delete: Lithops leaves that to another process."""
    kept = {key: value for key, value in config.items() if key != "selector"}
    section = {key: value for key, value in (config.get("lithops") or {}).items() if key != "mode"}
    own = {key: value for key, value in (config.get(SECTION) or {}).items() if key != "confidential"}
    lithops = {**section, "backend": backend, "storage": storage, "data_cleaner": False}
    return copy.deepcopy({**kept, SECTION: own, "lithops": lithops})
