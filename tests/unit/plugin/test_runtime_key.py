"""The name of a runtime: Lithops keeps on disk, under it, which packages need not travel with a job."""

import sys
from pathlib import Path

import pytest

from lithops_shm.plugin.compute.backend import ShmComputeBackend


def key() -> str:
    return ShmComputeBackend.get_runtime_key(object.__new__(ShmComputeBackend), "python", 0)


def test_it_changes_with_what_is_installed_and_with_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages, script = tmp_path / "site-packages", tmp_path / "script"
    packages.mkdir()
    script.mkdir()
    monkeypatch.setattr(sys, "path", [str(script), str(packages), "/nowhere"])
    before = key()
    (script / "output").write_text("anything")
    assert key() == before
    (packages / "package").mkdir()
    assert key() != before
