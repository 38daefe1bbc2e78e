"""The choice that is not this machine, as the user's configuration names it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lithops_shm import host
from lithops_shm.config import SelectorSettings
from lithops_shm.errors import ConfigError
from lithops_shm.selector import Remote
from lithops_shm.selector.calibration import Calibration
from lithops_shm.selector.rates import LAMBDA, Limits, Prices, RemoteRates

__all__ = ["LOCAL", "remote_of"]

LOCAL = ("shm", "localhost")
"""Backends of Lithops, of compute and of storage, that are this machine."""

_UNLIMITED = Limits(memory_mb=1 << 24, seconds=None, concurrency=1_000, payload_bytes=1 << 30, memory_per_vcpu_mb=0)
_FREE = Prices(0.0, 0.0, 0.0, 0.0, 0.0)


def remote_of(config: Mapping[str, Any], settings: SelectorSettings, calibration: Calibration) -> Remote | None:
    """The remote choice: what `selector:` names, else what `lithops:` does, if that is elsewhere; ``None`` for none.

    Raises
    ------
    ConfigError
        When only one of its two backends is named.
    """
    lithops = config.get("lithops") or {}
    backend = settings.backend or _elsewhere(lithops.get("backend"))
    storage = settings.storage or _elsewhere(lithops.get("storage"))
    if backend is None and storage is None:
        return None
    if backend is None or storage is None:
        missing, there = ("backend", storage) if backend is None else ("storage", backend)
        raise ConfigError(
            f"the remote choice has '{there}' and no {missing}: name one with `selector: {{{missing}: ...}}`"
        )
    section = config.get(backend) or {}
    own = (config.get("shm") or {}).get("trusted") or ()
    return Remote(
        backend,
        storage,
        calibration.remote(backend, storage) or RemoteRates(),
        Prices() if backend.startswith("aws_") else _FREE,
        _limits(backend, section, lithops),
        section.get("runtime_memory"),
        trusted=backend in own and storage in own,
    )


def _elsewhere(name: str | None) -> str | None:
    return None if name in LOCAL or not name or name == "auto" else name


def _limits(backend: str, section: Mapping[str, Any], lithops: Mapping[str, Any]) -> Limits:
    """What the backend allows, and its configuration: memory and time of a function, and how many at once."""
    base = LAMBDA if backend == "aws_lambda" else _UNLIMITED
    seconds = [
        each for each in (base.seconds, section.get("runtime_timeout"), lithops.get("execution_timeout")) if each
    ]
    workers = section.get("max_workers") or lithops.get("max_workers") or base.concurrency
    if backend in LOCAL:  # another storage, on this machine all the same
        workers = section.get("max_workers") or section.get("worker_processes") or host.usable_cpus()
    return Limits(
        base.memory_mb,
        min(seconds, default=None),
        min(base.concurrency, workers),
        base.payload_bytes,
        base.memory_per_vcpu_mb,
    )
