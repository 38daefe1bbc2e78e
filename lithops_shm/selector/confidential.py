"""Whether a Lithops configuration keeps confidential data in the memory of this machine.

An allow-list, which fails closed: what is not known to stay here is refused, by the name of its key. Pure: nothing is
read, and nothing is run. It knows Lithops 3.8's keys by name, and not Lithops.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NoReturn

from lithops_shm.errors import ConfidentialityError

__all__ = ["require_local", "shown_to_functions"]

_SHM = "shm"
_LOCALHOST = "localhost"
_SHARED_MEMORY = "shared_memory"  # the mode of our executor, which spells it out before Lithops sees it

# What Lithops takes when its section names nothing, by the mode (lithops.utils, lithops.constants).
_BACKEND_OF = {None: "aws_lambda", "serverless": "aws_lambda", "standalone": "aws_ec2", _LOCALHOST: _LOCALHOST}
_STORAGE = "aws_s3"

_MODES = ("serverless", _SHARED_MEMORY)  # of backend shm: Lithops counts it among the first
# `storage` is monitoring through the storage, wherever that is.
_MONITORING = (_SHM, "shm_polling", "storage")
# As Lithops reads `telemetry` (lithops.telemetry.backends).
_TELEMETRY_OFF = ("", "false", "no", "none", "off", "0")
_TELEMETRY_ON = ("true", "yes", "on", "1")
_PROMETHEUS = "prometheus"
_CONSOLES = ("ext://sys.stderr", "ext://sys.stdout")

# Keys of the section `lithops` that take data nowhere, whatever their values.
_NAMES = """
    backend_type chunksize data_cleaner data_limit exclude_modules execution_timeout include_modules log_format
    log_level monitoring_interval retries telemetry_interval"""
_HARMLESS = frozenset(_NAMES.split())
_CHECKED = ("backend", "log_filename", "log_stream", "mode", "monitoring", "storage", "telemetry")

_ON_DISK = "it keeps arguments, results and output in files on disk, in clear"


def require_local(config: Mapping[str, Any], trusted: Collection[str] = ()) -> None:
    """Refuse a configuration with which data, results, logs or telemetry of a job could leave, or touch a disk.

    Parameters
    ----------
    config:
        Of Lithops, complete or as a user writes it: then what Lithops takes for a missing key counts.
    trusted:
        Names of backends that may have the data.

    Raises
    ------
    ConfidentialityError
        Naming the first key that is wrong.
    """
    lithops = _section(config, "lithops")
    own = _section(config, _SHM)
    backend = _require_backend(config, lithops, trusted)
    _require_mode(lithops, backend, trusted)
    _require_storage(lithops, backend, trusted)
    _require_monitoring(lithops, trusted)
    _require_telemetry(lithops, trusted)
    _require_console(lithops)
    for key in lithops:
        if key not in _HARMLESS and key not in _CHECKED:
            _refuse(f"lithops.{key}", "...", "nothing is known of that key; leave it out")
    _require_memory(own, trusted)


def shown_to_functions(config: Mapping[str, Any], trusted: Collection[str] = ()) -> dict[str, Any]:
    """The part of a configuration that workers of a confidential job need.

    Left out are the sections of all backends that are not trusted: Lithops connects a function to some of them because
    it has a parameter of that name (`ibm_cos`, `rabbitmq`), and they hold keys of accounts.
    """

    def is_trusted(section: str) -> bool:  # that of a cloud is shared by its backends: `aws` by `aws_s3`
        return any(name == section or name.startswith(f"{section}_") for name in trusted)

    return {name: section for name, section in config.items() if name in ("lithops", _SHM) or is_trusted(name)}


def _section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = config.get(name)
    if section is None:
        return {}
    if not isinstance(section, Mapping):
        _refuse(name, type(section).__name__, "it must be a mapping of keys to values")
    return section


def _require_backend(config: Mapping[str, Any], lithops: Mapping[str, Any], trusted: Collection[str]) -> str:
    key, backend = _backend(config, lithops)
    if not _is_in(backend, (_SHM, *trusted)):
        why = _ON_DISK if backend == _LOCALHOST else "functions would run on another machine"
        shown = lithops["mode"] if key == "lithops.mode" else backend
        _refuse(key, shown, f"{why}; use backend '{_SHM}', {_or_trust(backend)}")
    return str(backend)


def _backend(config: Mapping[str, Any], lithops: Mapping[str, Any]) -> tuple[str, Any]:
    """What Lithops resolves the compute backend to, and the key that says so."""
    mode = lithops.get("mode") or None
    if lithops.get("backend"):
        return "lithops.backend", lithops["backend"]
    if mode == _SHARED_MEMORY:
        return "lithops.mode", _SHM
    if mode is None:
        return "lithops.backend", _BACKEND_OF[None]
    if not isinstance(mode, str):
        return "lithops.mode", mode
    of_mode = config.get(mode)
    if isinstance(of_mode, Mapping) and "backend" in of_mode:
        return f"{mode}.backend", of_mode["backend"]
    return "lithops.mode", _BACKEND_OF.get(mode, mode)


def _require_mode(lithops: Mapping[str, Any], backend: str, trusted: Collection[str]) -> None:
    mode = lithops.get("mode") or None
    if not (mode is None or _is_in(mode, _MODES) or _is_in(backend, trusted)):
        _refuse("lithops.mode", mode, "backend 'shm' has no such mode; leave it out")


def _require_storage(lithops: Mapping[str, Any], backend: str, trusted: Collection[str]) -> None:
    if lithops.get("mode") == _SHARED_MEMORY:
        storage = lithops.get("storage") or _SHM
    else:
        storage = lithops.get("storage", _LOCALHOST if backend == _LOCALHOST else _STORAGE)
    if not _is_in(storage, (_SHM, *trusted)):
        why = _ON_DISK if storage == _LOCALHOST else "it is not this machine's memory"
        _refuse("lithops.storage", storage, f"{why}; use storage '{_SHM}', {_or_trust(storage)}")


def _require_monitoring(lithops: Mapping[str, Any], trusted: Collection[str]) -> None:
    given = lithops.get("monitoring")
    monitoring = str(given).lower() if given else _MONITORING[-1]
    if not _is_in(monitoring, (*_MONITORING, *trusted)):
        todo = f"statuses hold results and exceptions; leave it out, {_or_trust(monitoring)}"
        _refuse("lithops.monitoring", given, todo)


def _require_telemetry(lithops: Mapping[str, Any], trusted: Collection[str]) -> None:
    given = lithops.get("telemetry")
    if given is None or given is False:
        return
    telemetry = str(given).strip().lower()
    if telemetry in _TELEMETRY_OFF:
        return
    name = _PROMETHEUS if telemetry in _TELEMETRY_ON else telemetry
    if not _is_in(name, trusted):
        _refuse("lithops.telemetry", given, f"it sends names, sizes and times; leave it out, {_or_trust(name)}")


def _require_console(lithops: Mapping[str, Any]) -> None:
    if lithops.get("log_filename") is not None:
        _refuse("lithops.log_filename", lithops["log_filename"], "logs would be on disk, in clear; leave it out")
    stream = lithops.get("log_stream")
    if stream is not None and not _is_in(stream, _CONSOLES):
        _refuse("lithops.log_stream", stream, f"logs go to the console; use one of {', '.join(_CONSOLES)}")


def _require_memory(own: Mapping[str, Any], trusted: Collection[str]) -> None:
    if own.get("spill", False) is not False:
        _refuse("shm.spill", own["spill"], "segments would go to disk, in clear; leave it out")
    if own.get("lifetime", "session") != "session":
        _refuse("shm.lifetime", own["lifetime"], "objects would outlive the job; leave it out")
    compute = own.get("compute", _SHM)
    if not _is_in(compute, (_SHM, *trusted)):
        _refuse("shm.compute", compute, f"{_ON_DISK}; leave it out, {_or_trust(compute)}")


def _is_in(value: object, names: Collection[str]) -> bool:
    """Whether it is one of these texts; nothing that only compares equal to one."""
    return type(value) is str and value in tuple(names)


def _or_trust(name: object) -> str:
    return f"or, if '{name}' may have the data, list it in `shm: {{trusted: [...]}}`"


def _refuse(key: str, value: object, todo: str) -> NoReturn:
    raise ConfidentialityError(key, value, todo)
