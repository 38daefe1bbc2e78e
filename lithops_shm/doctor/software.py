"""Python, packages, and whether Lithops finds ``shm`` here and in its workers."""

from __future__ import annotations

import platform
import re
import sys
from dataclasses import dataclass
from typing import Any

from lithops_shm.doctor.finding import Finding, Severity

__all__ = ["PACKAGES", "Package", "Worker", "import_hook", "package", "python", "release", "system", "worker_python"]

_OLDEST_PYTHON = (3, 10)
_NEWEST_PYTHON = (3, 13)  # that we test with


@dataclass(frozen=True, slots=True)
class Package:
    """A package we work with.

    Parameters
    ----------
    name, use:
        Of the distribution, and what it is for.
    severity:
        How much it matters when it is not in the range we support.
    least, below:
        That range, from `least` up to, not including, `below`; empty for no bound.
    optional:
        Whether it is no matter at all when it is not installed.
    trap:
        What is special about a version out of range.
    """

    name: str
    use: str
    severity: Severity = Severity.PROBLEM
    least: tuple[int, ...] = ()
    below: tuple[int, ...] = ()
    optional: bool = False
    trap: str = ""


# The bounds are those of setup.cfg; a test compares them.
PACKAGES = (
    Package("lithops", "running functions", least=(3, 8), below=(4,)),
    Package("numpy", "arrays without copies"),
    Package("pyarrow", "tables without copies", least=(20,)),
    Package("pandas", "data frames without copies", least=(2, 3)),
    Package("polars", "Polars frames without copies", Severity.WARNING, least=(1, 31), optional=True),
    Package("aiobotocore", "s3fs, which stands on it", Severity.WARNING, least=(2, 19)),
    Package("sqlglot", "jobs whose filters and columns are texts", Severity.WARNING, least=(30,)),
    Package("boto3", "jobs that move to S3", Severity.WARNING, least=(1, 35)),
    Package(
        "s3fs",
        "jobs that read S3 as files",
        Severity.WARNING,
        least=(2025, 12),
        trap="Without this bound pip keeps the newest boto3 and falls back to s3fs 0.4.2, which is of 2020.",
    ),
)


def release(version: str) -> tuple[int, ...]:
    """The numbers of a version, for comparing: (2025, 12, 0) of ``2025.12.0rc1``."""
    match = re.match(r"\s*v?(?:\d+!)?(\d+(?:\.\d+)*)", version)
    return tuple(int(part) for part in match[1].split(".")) if match else ()


def package(wanted: Package, version: str | None) -> Finding:
    """One package; `version` is ``None`` when it is not installed."""
    name, facts = wanted.name, {"version": version, "optional": wanted.optional}
    bounds = [f">={'.'.join(map(str, wanted.least))}"] if wanted.least else []
    bounds += [f"<{'.'.join(map(str, wanted.below))}"] if wanted.below else []
    install = f"`pip install '{name}{','.join(bounds)}'`"
    if version is None:
        if wanted.optional:
            return Finding(name, Severity.OK, f"not installed (optional: {wanted.use})", facts=facts)
        return Finding(name, wanted.severity, "not installed", f"It is needed for {wanted.use}.", install, facts)
    found = release(version)
    if (wanted.least and found < wanted.least) or (wanted.below and found >= wanted.below):
        why = wanted.trap or f"This release of lithops-shm works with {name} {', '.join(bounds)}."
        return Finding(name, wanted.severity, version, why, install, facts)
    return Finding(name, Severity.OK, version, facts=facts)


def python(version: tuple[int, int, int], executable: str) -> Finding:
    """The interpreter this runs in."""
    text = ".".join(map(str, version))
    facts = {"version": text, "executable": executable}
    value = f"{text} ({executable})"
    if version[:2] < _OLDEST_PYTHON:
        why = "lithops-shm needs Python 3.10 or later."
        return Finding("python", Severity.PROBLEM, value, why, "Use a later Python.", facts)
    if version[:2] > _NEWEST_PYTHON:
        why = "lithops-shm is tested with Python 3.10 to 3.13."
        return Finding("python", Severity.NOTE, value, why, "Use one of these if something fails.", facts)
    return Finding("python", Severity.OK, value, facts=facts)


def system(release_name: str, container: str | None) -> Finding:
    """The kernel, and the kind of container."""
    facts = {"system": platform.system(), "kernel": release_name, "container": container}
    inside = f", in a container ({container})" if container else ""
    value = f"{platform.system()} {release_name}{inside}"
    if container == "lambda":
        why = "AWS Lambda has no shared memory between functions, and no /dev/shm."
        return Finding("system", Severity.PROBLEM, value, why, "Use `storage: aws_s3` there.", facts)
    if sys.platform != "linux":
        why = "Shared memory without copies is built on Linux's tmpfs; elsewhere segments are files in a directory."
        return Finding("system", Severity.NOTE, value, why, "Use Linux for speed.", facts)
    return Finding("system", Severity.OK, value, facts=facts)


def import_hook(*, installed: str | None, site: bool, finder: bool, finds: bool) -> Finding:
    """Whether Lithops finds ``shm`` by name in this interpreter.

    Parameters
    ----------
    installed:
        The version of lithops-shm that is installed, or seems to be; ``None`` when it only lies on the path.
    site:
        Whether this interpreter read .pth files when it started.
    finder:
        Whether it has our finder.
    finds:
        Whether the finder serves ``lithops.storage.backends.shm``.
    """
    name, facts = "import-hook", {"installed": installed, "active": finder, "finds_shm": finds}
    if finder and finds:
        return Finding(name, Severity.OK, "active; Lithops finds `shm`", facts=facts)
    why = "Without it `storage='shm'` ends in \"No module named 'lithops.storage.backends.shm'\"."
    value = "active, but does not serve `shm`" if finder else "not active in this interpreter"
    change = (
        "Install lithops-shm into this environment: `pip install --force-reinstall --no-deps lithops-shm`, or "
        "`pip install -e .` in a clone. PYTHONPATH is not enough."
    )
    if not site:
        change = "Start Python without -S, which skips the .pth file that activates it."
    return Finding(name, Severity.PROBLEM, value, why, change, facts)


@dataclass(frozen=True, slots=True)
class Worker:
    """The interpreter Lithops' localhost backend starts.

    Parameters
    ----------
    runtime:
        As configured, or Lithops' default.
    path:
        Where it was found; ``None`` when it was not, or is a container image.
    image:
        Whether `runtime` names a container image.
    answer:
        What it said of itself when it was started (see ``probe``); ``None`` when it did not answer.
    """

    runtime: str
    path: str | None
    image: bool
    answer: dict[str, Any] | None


def worker_python(worker: Worker, here: tuple[int, int, int], version: str) -> Finding:
    """Whether workers on localhost run a Python in which ``shm`` works; `version` is that of lithops-shm here."""
    name = "worker-python"
    facts = {"runtime": worker.runtime, "path": worker.path, "image": worker.image, "answer": worker.answer}
    fix = "Activate the environment that has lithops-shm, or set `localhost: {runtime: /path/to/its/bin/python}`."
    if worker.image:
        why = "A container has its own /dev/shm: functions there do not see segments of this machine."
        change = "Leave `localhost: {runtime: ...}` out to run the functions here."
        return Finding(name, Severity.PROBLEM, f"container image {worker.runtime}", why, change, facts)
    if worker.path is None:
        return Finding(name, Severity.PROBLEM, f"no {worker.runtime} in PATH", "Lithops starts it for functions.", fix,
                       facts)  # fmt: skip
    if worker.answer is None:
        why = "Lithops starts it for functions, and it could not be asked what it has installed."
        return Finding(name, Severity.PROBLEM, f"{worker.path} does not answer", why, fix, facts)
    theirs = str(worker.answer["python"])
    value = f"{worker.path} (Python {theirs})"
    if release(theirs)[:2] != here[:2]:
        why = f"Lithops refuses to run functions pickled by Python {here[0]}.{here[1]} in another version."
        return Finding(name, Severity.PROBLEM, value, why, fix, facts)
    missing = next(
        (
            what
            for there, what in (
                (worker.answer["lithops"], "Lithops is not installed"),
                (worker.answer["lithops_shm"], "lithops-shm is not installed"),
                (worker.answer["finds_shm"], "the import hook is not active"),
            )
            if not there
        ),
        None,
    )
    if missing is not None:
        why = "Functions would fail: they need Lithops, and it has to find `shm`."
        return Finding(name, Severity.PROBLEM, f"{value}: {missing} there", why, fix, facts)
    if worker.answer["lithops_shm"] != version:
        why = f"It has lithops-shm {worker.answer['lithops_shm']}, this interpreter {version}."
        return Finding(name, Severity.WARNING, value, why, fix, facts)
    return Finding(name, Severity.OK, value, facts=facts)
