"""Collecting the facts, and handing them to the rooms that judge them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib import metadata
from typing import Any

import lithops_shm
from lithops_shm import host
from lithops_shm.config import StoreSettings
from lithops_shm.doctor import memory, probe, safety, software
from lithops_shm.doctor.finding import Finding
from lithops_shm.errors import UnsafeDirectoryError
from lithops_shm.host import system
from lithops_shm.store import StoreReport, inspect
from lithops_shm.store.layout import check_private, layout_of
from lithops_shm.workers.seclusion import network_refusal

__all__ = ["examine"]

_ANSWER_WITHIN_S = 10


def examine(settings: StoreSettings | None = None, *, runtime: str | None = None) -> list[Finding]:
    """Look at this machine, this interpreter and the store of these settings; changes nothing.

    Starts two short-lived processes: the Python that Lithops would start for functions on localhost, and one that tries
    to do without a network.

    Parameters
    ----------
    settings:
        Which store; ``None`` for the default one.
    runtime:
        ``localhost: {runtime: ...}`` of the Lithops configuration; ``None`` when it is not set.
    """
    settings = settings or StoreSettings()
    return [*_of_memory(settings), *_of_safety(settings), *_of_software(runtime)]


def _of_memory(settings: StoreSettings) -> list[Finding]:
    base = layout_of(settings).base
    where = host.filesystem(base)
    total = host.memory_total()
    return [
        memory.shared_memory(base, where, system.container(), spill=settings.spill),
        memory.machine(host.memory_available(), total),
        memory.cgroup(host.cgroup_limit(), host.cgroup_headroom(), total),
        memory.swap(host.swaps(), where),
        memory.huge_pages(system.huge_pages(), where, system.kernel_release()),
    ]


def _of_safety(settings: StoreSettings) -> list[Finding]:
    layout = layout_of(settings)
    refusal, exists = _refusal(layout.base)
    report: StoreReport | None = None
    if refusal is None:
        try:
            report = inspect(settings)
        except UnsafeDirectoryError as error:  # made so, or found so further down
            refusal = _reason(error)
    findings = [
        safety.base_directory(layout.base, exists=exists, refusal=refusal, writable=_writable(layout.base)),
        safety.dead_sessions(report),
    ]
    if layout.spill is None:
        findings.append(safety.spill(None, None, refusal=None, writable=False))
    else:
        directory = os.path.dirname(layout.spill)  # each store has a corner of its own in it
        findings.append(
            safety.spill(
                directory,
                host.filesystem(directory),
                refusal=_refusal(directory)[0],
                writable=_writable(directory),
            )
        )
    return [
        *findings,
        safety.core_dumps(system.core_dumps()),
        safety.confidential(network_refusal(), host.swaps(), host.filesystem(layout.base)),
        safety.removed_at_logout(layout.base, system.removes_ipc()),
        safety.open_files(system.file_descriptor_limit()),
    ]


def _of_software(runtime: str | None) -> list[Finding]:
    here = sys.version_info[:3]
    mine = probe.answer()
    return [
        software.system(system.kernel_release(), system.container()),
        software.python(here, sys.executable),
        *(software.package(wanted, _version(wanted.name)) for wanted in software.PACKAGES),
        software.import_hook(
            installed=_version("lithops-shm"),
            site=not sys.flags.no_site,
            finder=mine["hook"],
            finds=mine["finds_shm"],
        ),
        software.worker_python(_worker(runtime), here, lithops_shm.__version__),
    ]


def _refusal(directory: str) -> tuple[str | None, bool]:
    """What the store has against a directory, and whether it exists."""
    try:
        return None, check_private(directory)
    except UnsafeDirectoryError as error:
        return _reason(error), True


def _reason(error: UnsafeDirectoryError) -> str:
    path, reason = error.args
    return f"{path}: {reason}"


def _writable(directory: str) -> bool:
    """Whether files can be made in the directory, or it can be made itself."""
    while not os.path.lexists(directory) and directory != os.path.dirname(directory):
        directory = os.path.dirname(directory)
    return os.path.isdir(directory) and os.access(directory, os.W_OK | os.X_OK)


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _worker(runtime: str | None) -> software.Worker:
    # Lithops takes the name of the client's interpreter by default, and our storage backend makes that its path.
    if runtime in (None, os.path.basename(sys.executable)):
        runtime = sys.executable
    # Lithops' own rule: an absolute path or a name that starts with "python" is an interpreter, looked for in PATH;
    # anything else is a container image.
    name = str(runtime)
    if not name.startswith("/") and ("/" in name or ":" in name or not name.lower().startswith("python")):
        return software.Worker(name, None, True, None)
    path = shutil.which(name)
    return software.Worker(name, path, False, None if path is None else _asked(path))


def _asked(python: str) -> dict[str, Any] | None:
    command = [python, probe.__file__]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_ANSWER_WITHIN_S, check=True, cwd="/")
        answer = json.loads(done.stdout.splitlines()[-1])
    except (OSError, ValueError, IndexError, subprocess.SubprocessError):
        return None
    return answer if isinstance(answer, dict) else None
