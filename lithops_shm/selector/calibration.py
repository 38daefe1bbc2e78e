"""The file of measured rates: written by `lithops-shm calibrate`, read by every decision."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, TypeVar

from lithops_shm import host
from lithops_shm.errors import ConfigError
from lithops_shm.selector.rates import LocalRates, RemoteRates

__all__ = ["Calibration", "calibration_file", "host_id", "load_calibration", "save_calibration"]

VERSION = 1
_STALE_S = 90 * 86_400
_Rates = TypeVar("_Rates", LocalRates, RemoteRates)


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was measured, or the defaults.

    Parameters
    ----------
    local:
        Rates of this machine.
    remotes:
        Rates of compute and storage backends, by ``backend+storage``.
    notes:
        What a person should know of it, as sentences.
    """

    local: LocalRates = field(default_factory=LocalRates)
    remotes: Mapping[str, RemoteRates] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def calibration_file(path: str | None = None) -> str:
    """Where the file is: `path`, or in the user's directory for configurations (XDG base directories)."""
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    return path or os.path.join(home, "lithops-shm", "calibration.json")


def host_id() -> str:
    """Tells this machine, with its number of CPUs, from others; says nothing else about it."""
    name = ""
    for path in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        try:
            with open(path, encoding="ascii", errors="replace") as file:
                name = name or file.read().strip()
        except OSError:
            continue
    text = f"{name or platform.node()}/{os.cpu_count()}/{platform.machine()}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def load_calibration(path: str | None = None, *, now: float | None = None) -> Calibration:
    """The rates of the file; the defaults, and a note that says why, where it is not of this machine, or not whole.

    Raises
    ------
    ConfigError
        When `path` was given and cannot be read.
    """
    where = calibration_file(path)
    again = "run `lithops-shm calibrate`"
    try:
        with open(where, encoding="utf-8") as file:
            found = json.load(file)
        if found["version"] != VERSION:
            return Calibration(notes=(f"{where} is of another release, and was left aside: {again}",))
        local = _rates(LocalRates, found["local"])
        remotes = {str(name): _rates(RemoteRates, rates) for name, rates in found["remotes"].items()}
        measured_at, measured_on = float(found["measured_at"]), str(found["host"])
    except FileNotFoundError as error:
        if path is not None:
            raise ConfigError(f"`selector: {{calibration: {path!r}}}`: there is no such file; {again}") from error
        return Calibration(notes=(f"nothing was measured on this machine, and these are defaults: {again}",))
    except OSError as error:
        raise ConfigError(f"{where}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return Calibration(notes=(f"{where} is damaged, and was left aside ({error}): {again}",))
    if measured_on != host_id():
        return Calibration(notes=(f"{where} was measured on another machine, and was left aside: {again}",))
    age = (time.time() if now is None else now) - measured_at
    notes = (f"{where} is {age / 86_400:.0f} days old: {again} again",) if age > _STALE_S else ()
    return Calibration(local, remotes, notes)


def save_calibration(calibration: Calibration, path: str | None = None) -> str:
    """Write the file, whole or not at all; gives its path."""
    where = calibration_file(path)
    os.makedirs(os.path.dirname(where), mode=0o700, exist_ok=True)
    written = {
        "version": VERSION,
        "host": host_id(),
        "cpus": host.usable_cpus(),
        "measured_at": time.time(),
        "local": asdict(calibration.local),
        "remotes": {name: asdict(rates) for name, rates in calibration.remotes.items()},
    }
    temporary = f"{where}.{os.getpid()}"
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(written, file, indent=2)
        os.replace(temporary, where)
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)
    return where


def _rates(kind: type[_Rates], values: Mapping[str, Any]) -> _Rates:
    """Rates of which every value is a number that can be divided by; raises ValueError and TypeError."""
    known = {each.name for each in fields(kind)}
    for name, value in values.items():
        optional = name == "total_bps" and value is None
        if name not in known:
            raise ValueError(f"there is no rate {name!r}")
        if not optional and (isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e15):
            raise ValueError(f"{name} is {value!r}")
    return kind(**values)
