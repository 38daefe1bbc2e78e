"""Lithops' own test-suite on its localhost and on shm: whatever passes on the first has to pass on the second.

    python tests/lithops_suite.py                       # all of it, in warm workers (-b shm -s shm)
    python tests/lithops_suite.py --stock-workers       # and in Lithops' localhost workers (-b localhost -s shm)
    python tests/lithops_suite.py --storage-only        # the files that touch a storage
    python tests/lithops_suite.py test_storage.py       # some files
    python tests/lithops_suite.py --log suite.log       # with pytest's own output kept there

The installed Lithops is tested. Each run has temporary, home and shared-memory directories of its own, so that several
may run at once. Ends with 1 when a test that passes on localhost does not pass on shm, twice in a row, when a test
hangs on shm, were it once, or when its memory is not empty afterwards.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO
from xml.etree import ElementTree

from lithops_shm.config import StoreSettings
from lithops_shm.store import reclaim

STORAGE_FILES = (
    "test_call_async.py",
    "test_executors.py",
    "test_map.py",
    "test_map_reduce.py",
    "test_retries.py",
    "test_storage.py",
    "test_storage_layer.py",
    "test_wait.py",
)

# Tests that cannot pass, by how their names begin, and why. Those that reach for the internet end alike everywhere;
# tests/integration/test_lithops_storage.py runs what these would have, on files of its own.
EXPECTED = {
    "test_map_reduce.TestMapReduce.": "its setup downloads five texts from s3-eu-west-1.amazonaws.com",
    "test_constants.TestConstants.test_the_known_backends_are_the_ones_that_exist[SERVERLESS_BACKENDS-": (
        "it compares Lithops' table of backends with Lithops' directory, and `shm` is in the one and not in the other"
    ),
    "test_localhost.TestLocalhostV1Live.test_map_with_localhost_v1": (
        "it asserts that functions run on Lithops' localhost, whatever backend the suite is run on"
    ),
    "test_localhost.TestLocalhostV2Live.test_map_after_wait_and_get_result": (
        "it asserts that functions run on Lithops' localhost, whatever backend the suite is run on"
    ),
}

# Lithops uses the alarm signal itself and disarms pytest-timeout with it; only the thread method, which ends the
# whole process, holds. So each file has a process of its own, and a hang costs the rest of one file.
_TEST_TIMEOUT_S = 60
# An executor of Lithops' localhost that is used again at once may never start its job, on any storage: its job manager
# takes the new job on without starting the threads that `clean` has just stopped.
_ATTEMPTS = 3  # for the rest of the file to be compared; a hang on shm is a failure whatever a later attempt does
_SHARED_MEMORY = "/dev/shm"
_GRACE_S = 30  # Lithops' cleaner process outlives the session by some seconds, and holds a session of its own


@dataclass(frozen=True)
class Outcome:
    """How a test ended: "passed", "failed", "error" or "skipped", and the first line of the reason."""

    state: str
    reason: str = ""


@dataclass(frozen=True)
class Run:
    """One run of the suite.

    Parameters
    ----------
    outcomes:
        How each test ended.
    seconds:
        How long all took.
    left:
        Files still in shared memory afterwards.
    hung:
        Files of tests that had to be killed, once for each time.
    """

    outcomes: dict[str, Outcome]
    seconds: float
    left: tuple[str, ...]
    hung: tuple[str, ...]


@dataclass(frozen=True)
class Backends:
    """What runs the functions of the tests, and what stores their data."""

    compute: str
    storage: str

    def __str__(self) -> str:
        return f"-b {self.compute} -s {self.storage}"


REFERENCE = Backends("localhost", "localhost")
WARM_WORKERS = Backends("shm", "shm")
STOCK_WORKERS = Backends("localhost", "shm")


def run(backends: Backends, selection: Sequence[str], log: TextIO) -> Run:
    """Run files or tests of Lithops' suite in a place of their own.

    Parameters
    ----------
    selection:
        File names, or ``file.py::Class::test``; none for the whole suite.
    """
    suite = _suite()
    base = Path(_SHARED_MEMORY if os.path.isdir(_SHARED_MEMORY) else tempfile.gettempdir())
    memory = base / f"lithops-suite-{secrets.token_hex(4)}"
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="lithops-suite-", ignore_cleanup_errors=True) as place:
        for name in ("tmp", "home"):
            Path(place, name).mkdir()
        config = Path(place, "config.yaml")
        lithops = f"lithops: {{backend: {backends.compute}, storage: {backends.storage}}}\n"
        section = f"shm: {{directory: {memory}, spill_directory: {place}/spill, compute: {backends.compute}}}\n"
        config.write_text(lithops + (section if backends != REFERENCE else ""), encoding="utf-8")
        # The reference would otherwise run its workers with the first `python` in PATH, whichever that is.
        path = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)])
        ours = {"TMPDIR": f"{place}/tmp", "HOME": f"{place}/home", "PATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("LITHOPS", "__LITHOPS"))}
        outcomes: dict[str, Outcome] = {}
        hung: list[str] = []
        for file in selection or sorted(path.name for path in suite.glob("test_*.py")):
            report = Path(place, "report.xml")
            command = [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", str(suite), "-q"]
            command += ["-p", "no:cacheprovider", "-p", "no:randomly", f"--junitxml={report}"]
            command += [f"--timeout={_TEST_TIMEOUT_S}", "--timeout-method=thread"]
            command += ["--config", str(config), "--backend", backends.compute, "--storage", backends.storage]
            command.append(str(suite / file))
            for _attempt in range(_ATTEMPTS):
                log.write(f"\n$ {' '.join(command)}\n")
                log.flush()
                subprocess.run(command, cwd=place, env=kept | ours, stdout=log, stderr=subprocess.STDOUT, check=False)
                if report.exists():
                    outcomes |= _outcomes(report)
                    report.unlink()
                    break
                hung.append(file)
            else:
                outcomes[file] = Outcome("error", f"it hung, or did not begin, {_ATTEMPTS} times")
        left = _left_in(memory, reclaiming=bool(hung)) if backends != REFERENCE else ()
        shutil.rmtree(memory, ignore_errors=True)
        return Run(outcomes, time.monotonic() - started, left, tuple(hung))


def compare(reference: dict[str, Outcome], candidate: dict[str, Outcome]) -> list[str]:
    """The tests that pass in the reference and do not in the candidate, by name."""
    return sorted(
        name
        for name, outcome in reference.items()
        if outcome.state == "passed" and candidate.get(name, _MISSING).state != "passed"
    )


def selector(name: str) -> str:
    """A test's name in a report, ``test_map.TestMap.test_x[1]``, as pytest wants it to run it alone."""
    bare, bracket, parameters = name.partition("[")
    parts = bare.split(".")
    file = next(index for index, part in enumerate(parts) if part.startswith("test_"))
    return "::".join([f"{parts[file]}.py", *parts[file + 1 :]]) + bracket + parameters


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Lithops' own test-suite on shm, compared with its localhost")
    parser.add_argument("files", nargs="*", help="files of lithops/tests; all by default")
    parser.add_argument("--storage-only", action="store_true", help="only the files that touch a storage")
    parser.add_argument("--stock-workers", action="store_true", help="also shm storage with Lithops' localhost workers")
    parser.add_argument("--log", default=os.devnull, help="where pytest's output goes")
    options = parser.parse_args(arguments)
    selection = options.files or (STORAGE_FILES if options.storage_only else ())
    candidates = [WARM_WORKERS, *([STOCK_WORKERS] if options.stock_workers else [])]
    with open(options.log, "a", encoding="utf-8") as log:
        reference = run(REFERENCE, selection, log)
        _print_counts(REFERENCE, reference)
        _list("Not passed", [n for n, o in reference.outcomes.items() if o.state in _FAILED], reference.outcomes)
        return max([_judge(each, selection, reference.outcomes, log) for each in candidates])


_FAILED = ("failed", "error")
_MISSING = Outcome("missing", "it did not run")


def _judge(candidate: Backends, selection: Sequence[str], reference: dict[str, Outcome], log: TextIO) -> int:
    """Run the suite on a candidate and print what it loses; gives the exit code."""
    found = run(candidate, selection, log)
    lost = compare(reference, found.outcomes)
    suspects = confirmed = [name for name in lost if candidate != WARM_WORKERS or not _why(name)]
    if suspects:  # a busy machine fails a test now and then, on any backend
        again = run(candidate, [selector(name) for name in suspects], log)
        confirmed = compare({name: reference[name] for name in suspects}, again.outcomes)
    _print_counts(candidate, found)
    _list("Failed once, passed when run again", [n for n in suspects if n not in confirmed], found.outcomes)
    _list("Passed on the reference, cannot pass here", [n for n in lost if n not in suspects], found.outcomes)
    _list("Passed on the reference, failed here", confirmed, found.outcomes)
    if found.left:
        print(f"Left in shared memory: {', '.join(found.left)}")
    return 1 if confirmed or found.hung or found.left else 0


def _print_counts(backends: Backends, found: Run) -> None:
    counts = Counter(outcome.state for outcome in found.outcomes.values())
    summary = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
    hangs = f"; killed because they hung: {', '.join(found.hung)}" if found.hung else ""
    print(f"\n{backends}: {summary} in {found.seconds:.0f} s{hangs}", flush=True)


def _suite() -> Path:
    spec = importlib.util.find_spec("lithops")
    if spec is None or spec.origin is None:
        raise SystemExit("Lithops is not installed here")
    return Path(spec.origin).parent / "tests"


def _outcomes(report: Path) -> dict[str, Outcome]:
    outcomes = {}
    for case in ElementTree.parse(report).iter("testcase"):
        name = ".".join(filter(None, (case.get("classname"), case.get("name"))))
        state, reason = "passed", ""
        for child in case:
            if child.tag in ("failure", "error", "skipped"):
                state = {"failure": "failed"}.get(child.tag, child.tag)
                text = (child.text or "").strip().splitlines()
                reason = text[-1] if child.get("message") == "collection failure" and text else child.get("message", "")
        outcomes[name] = Outcome(state, " ".join(reason.split())[:160])
    return outcomes


def _left_in(memory: Path, *, reclaiming: bool) -> tuple[str, ...]:
    """The files in the shared memory of a run once all its processes are gone; `reclaiming` what killed ones left."""
    if reclaiming:
        reclaim(StoreSettings(directory=str(memory)))
    deadline = time.monotonic() + _GRACE_S
    while memory.exists() and time.monotonic() < deadline:
        time.sleep(0.5)
    return tuple(sorted(str(path) for path in memory.rglob("*") if path.is_file()))


def _list(title: str, names: Sequence[str], outcomes: dict[str, Outcome]) -> None:
    if names:
        print(f"{title}:")
    for name in names:
        print(f"  {name}: {_why(name) or outcomes.get(name, _MISSING).reason}")


def _why(name: str) -> str:
    return next((reason for begin, reason in EXPECTED.items() if name.startswith(begin)), "")


if __name__ == "__main__":
    sys.exit(main())
