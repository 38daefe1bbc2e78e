"""The section ``shm:``: the store, the workers, the shuffle, and what is confidential."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from lithops_shm.config.values import parse_bytes, unknown_key
from lithops_shm.errors import ConfigError

__all__ = [
    "COMPUTES",
    "LIFETIMES",
    "SECTION",
    "ConfidentialSettings",
    "ShuffleSettings",
    "StoreSettings",
    "WorkerSettings",
]

SECTION = "shm"
LIFETIMES = ("session", "kept")
COMPUTES = ("shm", "localhost")

_CHOICES: dict[str, tuple[str | None, ...]] = {
    "lifetime": LIFETIMES,
    "compute": COMPUTES,
    "shuffle_engine": ("boto3", "s3fs", "lithops"),
    "shuffle_format": ("arrow", "parquet"),
    "shuffle_compression": ("lz4", "zstd", "none"),
    "network": ("none", "host", None),
}
_SWITCHES = ("spill", "confidential")
_NAMES = {"preload": "module names", "trusted": "names of backends"}
_AT_LEAST: dict[str, tuple[Any, int]] = {
    "worker_processes": (int, 1),
    "max_workers": (int, 1),
    "runtime_memory": (int, 0),
    "retries": (int, 0),
    "idle_seconds": ((int, float), 0),
}


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Where segments live and how much memory they may take.

    Parameters
    ----------
    directory:
        Base directory on a tmpfs; ``None`` for ``/dev/shm/lithops-shm-<uid>``, or a directory beside
        the temporary files where there is no ``/dev/shm``.
    budget_bytes:
        Cap on the memory of all sessions in `directory`, in bytes; ``None`` for no cap of your own.
        The free space of the tmpfs, of the cgroup and of the machine always bound it as well.
    spill:
        Whether segments that do not fit in the budget go to `spill_directory`. If not, writing them raises
        :class:`~lithops_shm.errors.StoreFullError`.
    spill_directory:
        A directory on disk; ``None`` for ``/var/tmp/lithops-shm-<uid>``.
    pool_bytes:
        Most memory kept in retired segment files for the next writes, in bytes; 0 turns recycling off.
    storage_bucket:
        The bucket in which Lithops keeps its own objects.
    lifetime:
        ``"session"``: objects go when the process that opened the session does. ``"kept"``: they
        stay until deleted, or until the machine restarts.
    session:
        Id of the session to join; written by the client for its workers, not by users.
    confidential:
        Whether what is stored stays in memory, is zeroed when it is released, and is seen by confidential sessions
        alone. ``None``: as in the session that this process, or the one that started it, has open.
    """

    directory: str | None = None
    budget_bytes: int | None = None
    spill: bool = True
    spill_directory: str | None = None
    pool_bytes: int = 256 << 20
    storage_bucket: str = "lithops"
    lifetime: str = "session"
    session: str | None = None
    confidential: bool | None = None

    @classmethod
    def from_mapping(
        cls, section: Mapping[str, Any] | None, *, source: str = "the Lithops configuration"
    ) -> StoreSettings:
        """Validate the ``shm:`` section of a configuration.

        Parameters
        ----------
        section:
            The mapping under ``shm:``; ``None`` and ``{}`` give the defaults.
        source:
            Where the section comes from, for the error messages.

        Raises
        ------
        ConfigError
            For an unknown key (the nearest known one is named), a wrong type, a malformed size
            or a value out of range.
        """
        return cls(**_checked(section, {field.name for field in fields(cls)}, source))

    def to_mapping(self) -> dict[str, Any]:
        """The settings as a JSON-ready dict that :meth:`from_mapping` reads back; unset ones left out."""
        return {key: value for key, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """How many processes run functions on this machine, and what they have ready.

    Parameters
    ----------
    compute:
        ``"shm"``: warm workers. ``"localhost"``: Lithops' own, which start an interpreter for every call.
    worker_processes:
        Most calls at once; ``None`` for the CPUs this process may use.
    max_workers:
        The same by Lithops' name for it; the lesser of the two counts.
    runtime_memory:
        Memory a call asks for, in MB of 1,000,000 bytes; it starts when so much is available. 0 asks for none.
    retries:
        How often a call is run again whose worker died: killed, crashed, or out of memory.
    idle_seconds:
        How long workers without work are kept, in seconds.
    preload:
        Modules that workers have imported before they get their first call; those that are missing are left out.
    """

    compute: str = "shm"
    worker_processes: int | None = None
    max_workers: int | None = None
    runtime_memory: int = 0
    retries: int = 0
    idle_seconds: float = 300.0
    preload: tuple[str, ...] = ("numpy", "pandas", "pyarrow")

    @classmethod
    def from_mapping(
        cls, section: Mapping[str, Any] | None, *, source: str = "the Lithops configuration"
    ) -> WorkerSettings:
        """The same section as :meth:`StoreSettings.from_mapping` reads, for its other half; raises ConfigError too."""
        return cls(**_checked(section, {field.name for field in fields(cls)}, source))


@dataclass(frozen=True, slots=True)
class ShuffleSettings:
    """How shuffles use a storage that is not shared memory.

    Parameters
    ----------
    shuffle_engine:
        What reaches an S3 (storage ``aws_s3`` or ``minio``): ``"boto3"``, ``"s3fs"``, or ``"lithops"``, the storage
        itself, as for every other storage.
    shuffle_format:
        ``"arrow"``: Arrow IPC. ``"parquet"``: smaller, and slower to write.
    shuffle_compression:
        ``"lz4"``, ``"zstd"``, or ``"none"``.
    """

    shuffle_engine: str = "boto3"
    shuffle_format: str = "arrow"
    shuffle_compression: str = "lz4"

    @classmethod
    def from_mapping(
        cls, section: Mapping[str, Any] | None, *, source: str = "the Lithops configuration"
    ) -> ShuffleSettings:
        """The same section as :meth:`StoreSettings.from_mapping` reads, for shuffles; raises ConfigError too."""
        return cls(**_checked(section, {field.name for field in fields(cls)}, source))


@dataclass(frozen=True, slots=True)
class ConfidentialSettings:
    """Whether data may leave the memory of this machine.

    Parameters
    ----------
    confidential:
        Whether it must not: only this machine, no clear text on disk, nothing left in memory afterwards.
    trusted:
        Backends of Lithops, of compute, storage, monitoring or telemetry, that may have confidential data all the same.
    network:
        Of workers. ``"none"``: a network namespace without an interface. ``"host"``: this machine's. ``None``:
        ``"none"`` for confidential jobs, where the kernel allows it, and ``"host"`` for others.
    """

    confidential: bool = False
    trusted: tuple[str, ...] = ()
    network: str | None = None

    @classmethod
    def from_mapping(
        cls, section: Mapping[str, Any] | None, *, source: str = "the Lithops configuration"
    ) -> ConfidentialSettings:
        """The same section as :meth:`StoreSettings.from_mapping` reads; raises ConfigError too."""
        return cls(**_checked(section, {field.name for field in fields(cls)}, source))


_ALL = (StoreSettings, WorkerSettings, ShuffleSettings, ConfidentialSettings)
_KNOWN = frozenset(field.name for settings in _ALL for field in fields(settings))


def _checked(section: Mapping[str, Any] | None, wanted: set[str], source: str) -> dict[str, Any]:
    """The values of the wanted keys, each checked; all keys of the section have to be known."""
    if section is None:
        return {}
    if not isinstance(section, Mapping):
        raise ConfigError(f"section `{SECTION}:` of {source} must be a mapping of keys to values, not {section!r}")
    for key in section:
        if key not in _KNOWN:
            raise ConfigError(unknown_key(key, set(_KNOWN - {"session"}), SECTION, source))
    checked = {key: _check(key, value, source) for key, value in section.items()}
    return {key: value for key, value in checked.items() if key in wanted}


def _check(key: str, value: Any, source: str) -> Any:
    """The value of one key in its final type, or a ConfigError that names the key."""

    def wrong(expected: str) -> ConfigError:
        return ConfigError(f"`{SECTION}: {{{key}: {value!r}}}` in {source}: {expected}")

    if key == "pool_bytes" or (key == "budget_bytes" and value is not None):
        try:
            return parse_bytes(value)
        except ValueError as error:
            raise wrong(str(error)) from None
    if key in _SWITCHES:
        if not isinstance(value, bool):
            raise wrong("must be true or false")
        return value
    if key in _CHOICES:
        if value not in _CHOICES[key]:
            raise wrong(f"must be one of {', '.join(filter(None, _CHOICES[key]))}")
        return value
    if key in _AT_LEAST and not (value is None and key in ("worker_processes", "max_workers")):
        kinds, least = _AT_LEAST[key]
        if isinstance(value, bool) or not isinstance(value, kinds) or value < least:
            raise wrong(f"must be a {'whole ' if kinds is int else ''}number from {least} up")
        return value
    if key in _NAMES:
        if not isinstance(value, (list, tuple)) or not all(isinstance(name, str) and name for name in value):
            raise wrong(f"must be a list of {_NAMES[key]}")
        return tuple(value)
    if value is None and key != "storage_bucket":
        return None
    if not isinstance(value, str) or not value:
        raise wrong("must be a text that is not empty")
    if key in ("directory", "spill_directory"):
        value = os.path.expanduser(value)
        if not os.path.isabs(value):
            raise wrong("must be an absolute path")
    return value
