"""The doctor as a command."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lithops_shm import __version__


def kill(holder: subprocess.Popen[str]) -> None:
    holder.kill()
    holder.wait()


class TestDoctor:
    SEVERITIES = ("ok", "note", "warning", "problem")

    def examine(self, run: Any, *arguments: str, **options: Any) -> dict[str, dict[str, Any]]:
        done = run("doctor", "--json", *arguments, code=None, **options)
        assert done.stdout.isascii()
        result: dict[str, Any] = json.loads(done.stdout)
        assert (result["schema"], result["command"]) == (1, "doctor")
        assert set(result) == {"schema", "command", "version", "directory", "worst", "findings"}
        assert result["version"] == __version__
        for finding in result["findings"]:
            assert set(finding) == {"name", "severity", "value", "why", "change", "facts"}
            assert finding["severity"] in self.SEVERITIES
        severities = [finding["severity"] for finding in result["findings"]]
        assert result["worst"] == max(severities, key=self.SEVERITIES.index)
        assert done.returncode == (1 if result["worst"] == "problem" else 0)
        return {finding["name"]: finding for finding in result["findings"]}

    def test_text_ends_with_what_matters_most(self, run: Any) -> None:
        findings = self.examine(run)
        code = 1 if any(finding["severity"] == "problem" for finding in findings.values()) else 0
        lines = run("doctor", code=code).stdout.splitlines()
        said = [line.split()[0] for line in lines if re.match(rf"({'|'.join(self.SEVERITIES)}) ", line)]
        assert said == sorted(said, key=self.SEVERITIES.index)
        assert len(said) == len(findings)
        assert re.fullmatch(r"(\d+ (problem|warning|note)s?, )*\d+ ok", lines[-1])

    def test_dead_sessions(self, run: Any, hold: Any) -> None:
        dead, _ = hold({"dead": 600_000})
        hold({"live": 600_000})
        kill(dead)
        sessions = self.examine(run)["sessions"]
        assert sessions["severity"] == "note"
        assert (sessions["facts"]["live"], sessions["facts"]["dead"]) == (1, 1)
        assert sessions["facts"]["reclaimable_memory_bytes"] >= 600_000

    def test_unsafe_directories_are_a_problem(self, run: Any, tmp_path: Path) -> None:
        (tmp_path / "open").mkdir()
        (tmp_path / "open").chmod(0o755)
        (tmp_path / "target").mkdir(mode=0o700)
        (tmp_path / "link").symlink_to(tmp_path / "target")
        (tmp_path / "file").write_text("")
        for name, word in (("open", "755"), ("link", "link"), ("file", "not a directory")):
            finding = self.examine(run, "--directory", str(tmp_path / name))["base-directory"]
            assert finding["severity"] == "problem"
            assert word in finding["value"]

    @pytest.mark.skipif(os.geteuid() != 0, reason="needs to mount a file system")
    @pytest.mark.parametrize("megabytes", [64, 1024])
    def test_size_of_the_tmpfs(self, run: Any, tmp_path: Path, megabytes: int) -> None:
        mount = tmp_path / "tiny shm"
        mount.mkdir()
        options = f"size={megabytes}m"
        if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", mount], capture_output=True).returncode:
            pytest.skip("mounting is not allowed here")
        try:
            finding = self.examine(run, "--directory", str(mount / "store"))["shared-memory"]
        finally:
            subprocess.run(["umount", mount], check=True)
        assert finding["facts"]["mount_point"] == str(mount)
        assert finding["facts"]["total_bytes"] == megabytes << 20
        assert finding["severity"] == ("warning" if megabytes == 64 else "ok")

    def test_spilling_into_memory(self, run: Any, shm_directory: Path) -> None:
        if not str(shm_directory).startswith("/dev/shm"):
            pytest.skip("no /dev/shm")
        text = json.dumps({"shm": {"directory": str(shm_directory), "spill_directory": "/dev/shm/lithops-shm-spill"}})
        assert self.examine(run, configured=False, LITHOPS_CONFIG=text)["spill-directory"]["severity"] == "warning"

    def test_runtime_of_the_configuration(self, run: Any) -> None:
        text = json.dumps({"localhost": {"runtime": "python-that-is-not-there"}})
        finding = self.examine(run, configured=False, LITHOPS_CONFIG=text)["worker-python"]
        assert finding["severity"] == "problem"
        assert "python-that-is-not-there" in finding["value"]
