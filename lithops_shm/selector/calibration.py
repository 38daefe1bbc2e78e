"""The file of measured rates: written by `lithops-shm calibrate`, read by every decision."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, TypeVar

from lithops_shm import host
from lithops_shm.errors import ConfigError
from lithops_shm.selector.rates import LocalRates, RemoteRates

__all__ = ["LOCAL", "Calibration", "calibration_file", "host_id", "load_calibration", "save_calibration"]

VERSION = 1
LOCAL = "local"
"""What `measured_at` calls the rates of this machine."""
_STALE_S = 90 * 86_400
_AGAIN = "run `lithops-shm calibrate`"
_Rates = TypeVar("_Rates", LocalRates, RemoteRates)


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was measured, or the defaults.

    Parameters
    ----------
    local:
        Rates of this machine.
    remotes:
        Rates of compute and storage backends, by ``backend+storage``; those of a storage alone, measured from this
        machine, by its name.
    notes:
        What a person should know of it, as sentences.
    measured_at:
        When each was measured, in seconds since 1970: by `LOCAL` and the names of `remotes`. What is not in it is a
        default, or has just been measured.
    cpus:
        How many this machine let us use when it was measured; ``None`` for as many as now.
    """

    local: LocalRates = field(default_factory=LocalRates)
    remotes: Mapping[str, RemoteRates] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    measured_at: Mapping[str, float] = field(default_factory=dict, compare=False)
    cpus: int | None = field(default=None, compare=False)

    def remote(self, backend: str, storage: str) -> RemoteRates | None:
        """The rates of a compute and a storage backend; those of the storage alone, if that is all there is."""
        return self.remotes.get(f"{backend}+{storage}") or self.remotes.get(storage)

    def with_local(self, rates: LocalRates) -> Calibration:
        """The same with rates of this machine that have just been measured."""
        return replace(self, local=rates, measured_at={**self.measured_at, LOCAL: time.time()}, cpus=None)

    def with_remote(self, name: str, rates: RemoteRates) -> Calibration:
        """The same with rates of a remote choice that have just been measured."""
        at = {**self.measured_at, name: time.time()}
        return replace(self, remotes={**self.remotes, name: rates}, measured_at=at)


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


def load_calibration(path: str | None = None, *, now: float | None = None, missing_ok: bool = False) -> Calibration:
    """The rates of the file; the defaults, and a note that says why, where it is not of this machine, or not whole.

    Parameters
    ----------
    path:
        ``None`` for the default, see :func:`calibration_file`.
    now:
        Seconds since 1970, to tell what is old; the clock by default.
    missing_ok:
        Whether a `path` that was given may lead to no file, as when the file is about to be written.

    Raises
    ------
    ConfigError
        When `path` was given and cannot be read.
    """
    where = calibration_file(path)
    try:
        with open(where, encoding="utf-8") as file:
            found = json.load(file)
        if found["version"] != VERSION:
            return _aside(f"{where} is of another release")
        measured_on, cpus = str(found["host"]), int(found["cpus"])
        sections = {LOCAL: found["local"], **found["remotes"]}
        measured_at = {str(name): float(each["measured_at"]) for name, each in sections.items() if each is not None}
        local = _rates(LocalRates, found["local"]["rates"]) if found["local"] is not None else LocalRates()
        remotes = {str(name): _rates(RemoteRates, each["rates"]) for name, each in found["remotes"].items()}
    except FileNotFoundError as error:
        if path is not None and not missing_ok:
            raise ConfigError(f"`selector: {{calibration: {path!r}}}`: there is no such file; {_AGAIN}") from error
        return Calibration(notes=(f"nothing was measured on this machine, and these are defaults: {_AGAIN}",))
    except OSError as error:
        if path is not None:
            raise ConfigError(f"`selector: {{calibration: {path!r}}}`: {error.strerror}") from error
        return _aside(f"{where} cannot be read ({error.strerror})")
    # json gives up on a text that is nested too deep, and float on an integer that is too long.
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        return _aside(f"{where} is damaged", f" ({type(error).__name__}: {error})")
    if measured_on != host_id():
        return _aside(f"{where} was measured on another machine")
    notes = _notes(where, measured_at, cpus, time.time() if now is None else now)
    return Calibration(local, remotes, notes, measured_at, cpus)


def save_calibration(calibration: Calibration, path: str | None = None) -> str:
    """Write the file, whole or not at all; gives its path, which is the target if there is a link.

    Rates that are not in `measured_at` count as measured now; but defaults of this machine as not measured.

    Raises
    ------
    OSError
        When it cannot be written; a file that was there is as it was.
    """
    where = os.path.realpath(calibration_file(path))
    os.makedirs(os.path.dirname(where), mode=0o700, exist_ok=True)
    at, now = calibration.measured_at, time.time()
    measured = LOCAL in at or calibration.local != LocalRates()
    written = {
        "version": VERSION,
        "host": host_id(),
        "cpus": calibration.cpus or host.usable_cpus(),
        "local": _section(calibration.local, at.get(LOCAL, now)) if measured else None,
        "remotes": {name: _section(rates, at.get(name, now)) for name, rates in calibration.remotes.items()},
    }
    temporary = f"{where}.{os.getpid()}"
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(written, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, where)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise
    return where


def _aside(what: str, why: str = "") -> Calibration:
    return Calibration(notes=(f"{what}, and was left aside{why}: {_AGAIN}",))


def _notes(where: str, measured_at: Mapping[str, float], cpus: int, now: float) -> tuple[str, ...]:
    """What makes these rates worse than they look."""
    notes = []
    if LOCAL not in measured_at:
        notes.append(f"nothing was measured on this machine itself, and its rates are defaults: {_AGAIN}")
    elif cpus != (usable := host.usable_cpus()):
        notes.append(f"{where} was measured with {cpus} CPUs, and {usable} can be used now: {_AGAIN} again")
    ages = {name: (now - at) / 86_400 for name, at in measured_at.items() if now - at > _STALE_S}
    for name, days in ages.items():
        what = "the rates of this machine" if name == LOCAL else f"those of {name}"
        how = _AGAIN if name == LOCAL else f"run `lithops-shm calibrate {_options(name)}`"
        notes.append(f"{what} in {where} are {days:.0f} days old: {how} again")
    return tuple(notes)


def _options(name: str) -> str:
    backend, separator, storage = name.partition("+")
    return f"--storage {storage} --backend {backend}" if separator else f"--storage {name}"


def _section(rates: LocalRates | RemoteRates, at: float) -> dict[str, Any]:
    return {"measured_at": at, "rates": asdict(rates)}


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
