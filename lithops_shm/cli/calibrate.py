"""``lithops-shm calibrate``: measure what predictions are made from, and write it down."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from dataclasses import asdict, replace
from typing import Any, NoReturn

from lithops_shm.calibrate import FULL, QUICK, Effort, Measured, Progress, measure_machine
from lithops_shm.calibrate.machine import steps_of_machine
from lithops_shm.cli.select import configured
from lithops_shm.cli.terminal import escaped, plural, print_json, table
from lithops_shm.config import SECTION, SelectorSettings
from lithops_shm.errors import ConfigError
from lithops_shm.host import usable_cpus
from lithops_shm.selector.calibration import LOCAL, calibration_file, load_calibration, save_calibration
from lithops_shm.selector.rates import LocalRates, RemoteRates

__all__ = ["run"]

_TERMINATED = 143  # 128 + SIGTERM, as shells report it
_MEGA = 1e6
_BUSY = 0.5  # of the CPUs


def run(options: argparse.Namespace) -> int:
    """Measure this machine, or a storage, or functions with a storage; keep what the file says of others; always 0."""
    if options.backend is not None and options.storage is None:
        raise ConfigError("functions are measured together with the storage they use: name it with --storage")
    if options.storage == SECTION:
        raise ConfigError(f"storage '{SECTION}' is this machine's memory: leave out --storage to measure that")
    loaded, settings = configured(options)
    path = options.output or settings.calibration
    _require_room_for(calibration_file(path))
    known = load_calibration(path, missing_ok=True)
    effort = QUICK if options.quick else FULL
    signal.signal(signal.SIGTERM, _terminated)
    load, cpus = os.getloadavg()[0], usable_cpus()  # before our own jobs
    began = time.monotonic()
    found: dict[str, Measured[Any]] = {}
    if options.storage is None or LOCAL not in known.measured_at:
        with Progress(steps_of_machine(effort)) as progress:
            found[LOCAL] = measure_machine(loaded.get(SECTION) or {}, effort, progress.step)
        known = known.with_local(found[LOCAL].rates)
    if options.storage is not None:
        name = f"{options.backend}+{options.storage}" if options.backend is not None else options.storage
        found[name] = _remote(loaded, settings, options.storage, options.backend, effort)
        known = known.with_remote(name, found[name].rates)
    where = save_calibration(known, path)
    seconds = time.monotonic() - began
    if options.json:
        print_json(
            "calibrate",
            {
                "file": where,
                "seconds": seconds,
                "load_before": load,
                "rates": {name: asdict(each.rates) for name, each in found.items()},
                "measured": {name: sorted(each.names) for name, each in found.items()},
            },
        )
        return 0
    for name, each in found.items():
        _print(name, each)
    if load > _BUSY * cpus:
        print(
            f"this machine was busy before (load {load:.1f} on {plural(cpus, 'CPU')}), and measured as it is then: "
            "measure again when nothing else runs"
        )
    print(f"measured in {seconds:.0f} s, and written to {escaped(where)}")
    return 0


def _require_room_for(path: str) -> None:
    """Find out now whether the file can be written: measuring takes a minute. Raises OSError."""
    directory = os.path.dirname(os.path.realpath(path))
    os.makedirs(directory, mode=0o700, exist_ok=True)
    try:
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:  # it names the file that it tried
        raise OSError(error.errno, error.strerror, directory) from error


def _terminated(number: int, frame: object) -> NoReturn:  # noqa: ARG001 - a handler
    """End as after Ctrl-C: what was stored is deleted."""
    sys.exit(_TERMINATED)


def _remote(
    loaded: dict[str, Any], settings: SelectorSettings, storage: str, backend: str | None, effort: Effort
) -> Measured[RemoteRates]:
    from lithops_shm.calibrate.elsewhere import measure_remote, steps_of_remote
    from lithops_shm.placement.remote import remote_of
    from lithops_shm.selector.calibration import Calibration
    from lithops_shm.selector.rates import LAMBDA

    limits = LAMBDA
    if backend is not None:
        there = remote_of(loaded, replace(settings, backend=backend, storage=storage), Calibration())
        limits = there.limits if there is not None else LAMBDA
    with Progress(steps_of_remote(backend, effort)) as progress:
        return measure_remote(loaded, storage, backend, limits, effort, progress.step)


def _print(name: str, found: Measured[Any]) -> None:
    defaults = asdict(LocalRates() if name == LOCAL else RemoteRates())
    print(f"{'this machine' if name == LOCAL else escaped(name)}:")
    rows = [
        (rate, _worded(rate, value) if rate in found.names else "-", _worded(rate, defaults[rate]))
        for rate, value in asdict(found.rates).items()
    ]
    table(("rate", "measured", "default"), rows, right="measured default")
    print()


def _worded(rate: str, value: float | None) -> str:
    """A rate with its unit."""
    if value is None:
        return "no bound"
    if rate.endswith("_bps"):
        return f"{value / _MEGA:,.1f} MB/s"
    if rate.endswith("_per_s"):
        return f"{value:,.0f} /s"
    if rate.endswith("_per_gb"):
        return f"{value:,.1f} s/GB"
    if rate.endswith("_s"):
        return f"{value:,.2f} s" if value >= 1 else f"{value * 1e3:,.2f} ms"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"
