"""What the doctor makes of facts handed to it."""

from __future__ import annotations

import configparser
import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lithops_shm import config, doctor, errors
from lithops_shm.doctor import Finding, Severity, memory, probe, safety, software
from lithops_shm.host import FileSystem, Swap
from lithops_shm.host.system import CoreDumps, HugePages
from lithops_shm.sizes import size
from lithops_shm.store import SessionReport, StoreReport
from lithops_shm.store.owner import Owner

GIB = 1 << 30
ROOT = Path(__file__).parents[2]
SHM = FileSystem("tmpfs", "/dev/shm", ("rw", "size=8g"), 8 * GIB, 6 * GIB)
DISK = FileSystem("ext4", "/", ("rw",), 100 * GIB, 60 * GIB)


def check(finding: Finding, severity: Severity, *words: str) -> None:
    """The severity is right, the words are there, and whatever is not in order says why and what to change."""
    assert finding.severity is severity, finding
    text = f"{finding.value} {finding.why} {finding.change}"
    for word in words:
        assert word in text
    if severity in (Severity.WARNING, Severity.PROBLEM):
        assert finding.why.endswith(".")
        assert finding.change
    json.dumps(finding.facts)


class TestSharedMemory:
    def test_enough(self) -> None:
        check(memory.shared_memory("/dev/shm/x", SHM, None, spill=True), Severity.OK, "8.0 GiB", "6.0 GiB free")

    @pytest.mark.parametrize(
        ("container", "word"),
        [
            ("docker", "--shm-size"),
            ("podman", "--shm-size"),
            ("kubernetes", "emptyDir"),
            (None, "remount"),
            ("lxc", "medium"),
        ],
    )
    def test_the_64_mb_of_a_container(self, container: str | None, word: str) -> None:
        tiny = replace(SHM, total_bytes=64 << 20, free_bytes=64 << 20)
        check(
            memory.shared_memory("/dev/shm/x", tiny, container, spill=True), Severity.WARNING, "64.0 MiB", word, "disk"
        )
        check(memory.shared_memory("/dev/shm/x", tiny, container, spill=False), Severity.PROBLEM, word, "refused")

    def test_nearly_full(self) -> None:
        check(
            memory.shared_memory("/dev/shm/x", replace(SHM, free_bytes=1 << 20), None, spill=True),
            Severity.WARNING,
            "gc",
        )

    def test_unbounded(self) -> None:
        unbounded = replace(SHM, total_bytes=None, free_bytes=None)
        check(memory.shared_memory("/dev/shm/x", unbounded, None, spill=True), Severity.OK, "unlimited")

    @pytest.mark.parametrize("where", [DISK, FileSystem(None, None, (), None, None)])
    def test_not_in_memory(self, where: FileSystem) -> None:
        check(memory.shared_memory("/data/x", where, None, spill=True), Severity.WARNING, "not in memory", "/dev/shm")


def test_machine_memory() -> None:
    check(memory.machine(4 * GIB, 8 * GIB), Severity.OK, "4.0 GiB")
    check(memory.machine(GIB // 16, 8 * GIB), Severity.WARNING, "spill")
    check(memory.machine(None, None), Severity.NOTE)


def test_cgroup_limits() -> None:
    check(memory.cgroup(None, None, 8 * GIB), Severity.OK, "no limit")
    check(memory.cgroup(16 * GIB, GIB, 8 * GIB), Severity.OK, "no limit below")
    check(memory.cgroup(4 * GIB, 3 * GIB, 8 * GIB), Severity.OK, "4.0 GiB", "3.0 GiB left")
    check(memory.cgroup(4 * GIB, 1 << 20, 8 * GIB), Severity.WARNING, "limits.memory")
    check(memory.cgroup(4 * GIB, None, None), Severity.OK, "unknown left")


def test_swap() -> None:
    disk = Swap("/dev/sda2", 2 * GIB, GIB)
    check(memory.swap([], SHM), Severity.OK)
    check(memory.swap([Swap("/dev/zram0", GIB, 0)], SHM), Severity.OK)
    check(memory.swap([disk, Swap("/dev/zram0", GIB, 0)], SHM), Severity.NOTE, "2.0 GiB on /dev/sda2", "swapoff")
    check(memory.swap([disk], replace(SHM, options=("rw", "noswap"))), Severity.OK, "noswap")
    check(memory.swap(None, SHM), Severity.NOTE, "unknown")


OLD, NEW = "5.15.0-91-generic", "6.1.0-18-amd64"


@pytest.mark.parametrize(
    ("release", "shmem", "option", "severity", "word"),
    [
        (OLD, "never", None, Severity.NOTE, "remount,huge=within_size /dev/shm"),
        (OLD, "always", None, Severity.NOTE, "remount"),  # shmem_enabled does not reach a mount
        (OLD, "never", "within_size", Severity.OK, "within_size"),
        (OLD, "never", "always", Severity.OK, "always"),
        (OLD, "never", "advise", Severity.NOTE, "advise"),
        (OLD, "deny", "always", Severity.NOTE, "remount"),
        (OLD, "force", None, Severity.OK, "always"),
        (OLD, None, None, Severity.OK, "not available"),
        (NEW, "never", None, Severity.OK, "made by the store"),
        (NEW, "never", "always", Severity.OK, "always"),
        (NEW, "deny", None, Severity.NOTE, "echo never"),
        (NEW, None, None, Severity.OK, "not available"),
        ("10.2", "never", None, Severity.OK, "made by the store"),
        ("unheard of", "never", None, Severity.NOTE, "remount"),
    ],
)
def test_huge_pages(release: str, shmem: str | None, option: str | None, severity: Severity, word: str) -> None:
    where = replace(SHM, options=(f"huge={option}",)) if option else SHM
    check(memory.huge_pages(HugePages("madvise", shmem), where, release), severity, word)


def test_base_directory() -> None:
    check(safety.base_directory("/b", exists=True, refusal=None, writable=True), Severity.OK, "private")
    check(safety.base_directory("/b", exists=False, refusal=None, writable=True), Severity.OK, "will be made")
    check(
        safety.base_directory("/b", exists=True, refusal="/b: it is a link", writable=True), Severity.PROBLEM, "a link"
    )
    check(safety.base_directory("/b", exists=False, refusal=None, writable=False), Severity.PROBLEM, "written to")


def test_spill() -> None:
    check(safety.spill("/s", DISK, refusal=None, writable=True), Severity.OK, "60.0 GiB free")
    check(safety.spill(None, None, refusal=None, writable=False), Severity.NOTE, "off")
    check(safety.spill("/s", SHM, refusal=None, writable=True), Severity.WARNING, "frees nothing")
    check(safety.spill("/s", replace(DISK, free_bytes=1000), refusal=None, writable=True), Severity.WARNING, "1000 B")
    check(safety.spill("/s", DISK, refusal=None, writable=False), Severity.PROBLEM, "spill_directory")
    check(safety.spill("/s", DISK, refusal="/s: it is a link", writable=True), Severity.PROBLEM, "a link")


def test_core_dumps() -> None:
    check(safety.core_dumps(CoreDumps(0, "core", 0x33)), Severity.OK)
    check(safety.core_dumps(CoreDumps(None, "core.%p", 0x33)), Severity.NOTE, "written to core.%p", "deleted segments")
    check(safety.core_dumps(CoreDumps(0, "|/lib/apport %p", 0x3F)), Severity.NOTE, "to /lib/apport", "every segment")
    check(safety.core_dumps(CoreDumps(None, None, None)), Severity.NOTE, "unknown")


def test_what_confidential_jobs_get() -> None:
    disk = Swap("/dev/sda2", 2 * GIB, 0)
    check(safety.confidential("", [], SHM), Severity.OK, "functions have no network", "not swapped")
    check(safety.confidential("", [Swap("/dev/zram0", GIB, 0)], SHM), Severity.OK)
    check(safety.confidential("EPERM", [], SHM), Severity.NOTE, "network of this machine", "EPERM", "user namespaces")
    check(safety.confidential("", [disk], SHM), Severity.NOTE, "may be swapped", "swapoff")
    check(safety.confidential("", None, SHM), Severity.NOTE, "may be swapped")
    check(safety.confidential("", [disk], replace(SHM, options=("rw", "noswap"))), Severity.OK, "not swapped")
    check(safety.confidential("", [], DISK), Severity.NOTE, "are refused", "tmpfs")


def test_removal_at_logout() -> None:
    check(safety.removed_at_logout("/dev/shm/x", True), Severity.WARNING, "enable-linger")
    check(safety.removed_at_logout("/mnt/memory/x", True), Severity.OK)
    check(safety.removed_at_logout("/dev/shm/x", False), Severity.OK)
    check(safety.removed_at_logout("/dev/shm/x", None), Severity.NOTE, "unknown")


def test_open_files() -> None:
    check(safety.open_files(None), Severity.OK, "unlimited")
    check(safety.open_files(65536), Severity.OK, "65,536")
    check(safety.open_files(1024), Severity.NOTE, "ulimit -n")
    check(safety.open_files(256), Severity.WARNING, "EMFILE")


def test_sessions() -> None:
    live = SessionReport("a", Owner(1, 1.0, "python", {}), True, 1000, 0, 1)
    dead = SessionReport("b", Owner(2, 1.0, "python", {}), False, GIB, GIB, 2)
    check(safety.dead_sessions(None), Severity.NOTE)
    check(safety.dead_sessions(StoreReport("/b", None, (), ())), Severity.OK, "0 live")
    check(safety.dead_sessions(StoreReport("/b", None, (live,), ())), Severity.OK, "1 live")
    check(safety.dead_sessions(StoreReport("/b", None, (live, dead), ())), Severity.NOTE, "1 dead with 2.0 GiB", "gc")


class TestPackages:
    S3FS = next(package for package in software.PACKAGES if package.name == "s3fs")
    LITHOPS = next(package for package in software.PACKAGES if package.name == "lithops")

    def test_the_s3fs_trap(self) -> None:
        check(software.package(self.S3FS, "0.4.2"), Severity.WARNING, "0.4.2", "pip install 's3fs>=2025.12'")
        check(software.package(self.S3FS, "2025.9.0"), Severity.WARNING)
        check(software.package(self.S3FS, "2026.9.0"), Severity.OK)

    @pytest.mark.parametrize(
        ("version", "severity"),
        [
            ("3.8.0", Severity.OK),
            ("3.10.1.dev0", Severity.OK),
            ("3.7.9", Severity.PROBLEM),
            ("4.0.0", Severity.PROBLEM),
            ("unreadable", Severity.PROBLEM),
            (None, Severity.PROBLEM),
        ],
    )
    def test_lithops(self, version: str | None, severity: Severity) -> None:
        check(software.package(self.LITHOPS, version), severity)

    def test_what_is_optional_may_be_missing(self) -> None:
        optional = [package for package in software.PACKAGES if package.optional]
        assert [package.name for package in optional] == ["polars"]
        check(software.package(optional[0], None), Severity.OK, "optional")

    def test_bounds_are_those_of_the_distribution(self) -> None:
        setup = configparser.ConfigParser()
        setup.read(ROOT / "setup.cfg")
        wanted = setup["options"]["install_requires"].split() + setup["options.extras_require"]["polars"].split()
        ours = set()
        for package in software.PACKAGES:
            if package.name != "numpy":  # comes with pandas, in whatever version that wants
                bounds = [
                    f"{sign}{'.'.join(map(str, bound))}"
                    for sign, bound in ((">=", package.least), ("<", package.below))
                    if bound
                ]
                ours.add(package.name + ",".join(bounds))
        assert ours == set(wanted)

    @pytest.mark.parametrize(
        ("text", "numbers"),
        [
            ("1.2.3", (1, 2, 3)),
            ("2025.12.0rc1", (2025, 12, 0)),
            ("1!4.0+local", (4, 0)),
            ("v3", (3,)),
            ("x", ()),
            ("", ()),
        ],
    )
    def test_versions_are_compared_as_numbers(self, text: str, numbers: tuple[int, ...]) -> None:
        assert software.release(text) == numbers


def test_python_versions() -> None:
    check(software.python((3, 11, 2), "/p"), Severity.OK, "3.11.2")
    check(software.python((3, 9, 2), "/p"), Severity.PROBLEM)
    check(software.python((3, 14, 0), "/p"), Severity.NOTE)


def test_system() -> None:
    check(software.system("6.1", "docker"), Severity.OK if sys.platform == "linux" else Severity.NOTE, "docker")
    check(software.system("6.1", "lambda"), Severity.PROBLEM, "aws_s3")


def test_import_hook() -> None:
    check(software.import_hook(installed="0.1.0", site=True, finder=True, finds=True), Severity.OK)
    for installed in (None, "0.1.0"):
        absent = software.import_hook(installed=installed, site=True, finder=False, finds=False)
        check(absent, Severity.PROBLEM, "not active", "pip install")
    check(software.import_hook(installed="0.1.0", site=False, finder=False, finds=False), Severity.PROBLEM, "-S")
    check(software.import_hook(installed="0.1.0", site=True, finder=True, finds=False), Severity.PROBLEM, "not serve")


class TestWorkerPython:
    ANSWER = {"python": "3.11.4", "lithops": True, "lithops_shm": "0.1.0", "hook": True, "finds_shm": True}  # noqa: RUF012

    @pytest.mark.parametrize(
        ("change", "severity", "word"),
        [
            ({}, Severity.OK, "/bin/python"),
            ({"python": "3.12.0"}, Severity.PROBLEM, "3.11"),
            ({"lithops_shm": None, "finds_shm": False}, Severity.PROBLEM, "lithops-shm is not"),
            ({"lithops": False}, Severity.PROBLEM, "Lithops is not installed"),
            ({"finds_shm": False}, Severity.PROBLEM, "hook"),
            ({"lithops_shm": "0.0.9"}, Severity.WARNING, "0.0.9"),
        ],
    )
    def test_answers(self, change: dict[str, Any], severity: Severity, word: str) -> None:
        worker = software.Worker("python", "/bin/python", False, {**self.ANSWER, **change})
        check(software.worker_python(worker, (3, 11, 9), "0.1.0"), severity, word)

    def test_no_answer(self) -> None:
        for worker, word in (
            (software.Worker("python3.9", None, False, None), "no python3.9 in PATH"),
            (software.Worker("/bin/python", "/bin/python", False, None), "does not answer"),
            (software.Worker("me/image:1", None, True, None), "container image"),
        ):
            check(software.worker_python(worker, (3, 11, 9), "0.1.0"), Severity.PROBLEM, word)

    def test_the_probe_speaks_for_this_interpreter(self) -> None:
        answer = probe.answer()
        assert answer["python"] == ".".join(map(str, sys.version_info[:3]))
        assert set(answer) == set(self.ANSWER)


class TestExamine:
    def test_changes_nothing_and_names_each_finding_once(self, shm_directory: Path) -> None:
        findings = doctor.examine(config.StoreSettings(directory=str(shm_directory)))
        assert not shm_directory.exists()
        names = [finding.name for finding in findings]
        assert len(names) == len(set(names))

    def test_runtimes_that_are_images(self, shm_directory: Path) -> None:
        settings = config.StoreSettings(directory=str(shm_directory))
        by_name = {finding.name: finding for finding in doctor.examine(settings, runtime="docker.io/me/python:3.11")}
        check(by_name["worker-python"], Severity.PROBLEM, "container image")

    def test_a_python_that_is_none(self, shm_directory: Path, tmp_path: Path) -> None:
        fake = tmp_path / "python"
        fake.write_text("#!/bin/sh\necho nonsense\n")
        fake.chmod(0o700)
        settings = config.StoreSettings(directory=str(shm_directory))
        by_name = {finding.name: finding for finding in doctor.examine(settings, runtime=str(fake))}
        check(by_name["worker-python"], Severity.PROBLEM, "does not answer")

    def test_troubleshooting_has_them_all(self, shm_directory: Path) -> None:
        text = (ROOT / "docs" / "troubleshooting.md").read_text()
        headings = set(re.findall(r"^### `(.+)`$", text, re.MULTILINE))
        findings = doctor.examine(config.StoreSettings(directory=str(shm_directory)))
        packages = {package.name for package in software.PACKAGES}
        codes = {getattr(errors, name).code for name in errors.__all__}
        assert {finding.name for finding in findings} - packages <= headings
        assert codes <= headings
        assert headings <= {finding.name for finding in findings} | codes | {"packages"}


@pytest.mark.parametrize(
    ("count", "text"),
    [(None, "unlimited"), (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1048575, "1.0 MiB"), (64 << 20, "64.0 MiB"),
     (3 * GIB // 2, "1.5 GiB"), (5000 << 40, "5,000.0 TiB"), (-2048, "-2.0 KiB")],
)  # fmt: skip
def test_sizes(count: int | None, text: str) -> None:
    assert size(count) == text
