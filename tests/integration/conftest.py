"""What tests of whole programs share: a store, a Lithops configuration and a home directory of their own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from lithops_shm.config import StoreSettings


@pytest.fixture
def settings(shm_directory: Path, tmp_path: Path) -> StoreSettings:
    return StoreSettings(directory=str(shm_directory), spill_directory=str(tmp_path / "spill"))


@pytest.fixture
def compute() -> str:
    """What runs the functions; tests of both name it as a parameter."""
    return "shm"


@pytest.fixture
def section(settings: StoreSettings, compute: str) -> dict[str, Any]:
    """The section `shm` of the configuration; a test may add to it before it runs a program."""
    return {"directory": settings.directory, "spill_directory": settings.spill_directory, "compute": compute}


@pytest.fixture
def environment(section: dict[str, Any], tmp_path: Path) -> dict[str, str]:
    """A configuration file with a store of its own, and a home and temporary directory for what Lithops leaves."""
    config = tmp_path / "lithops.yaml"
    config.write_text(yaml.safe_dump({"lithops": {"backend": "localhost", "storage": "shm"}, "shm": section}))
    # Not the directory of this Python first in PATH: workers have to find it all the same.
    return {**os.environ, "LITHOPS_CONFIG_FILE": str(config), "HOME": str(tmp_path), "TMPDIR": str(tmp_path)}


@pytest.fixture
def run(tmp_path: Path, environment: dict[str, str]) -> Callable[..., str]:
    """Run a program to its end; gives what it printed."""

    def run(program: str, *arguments: str, timeout: float = 150) -> str:
        path = tmp_path / "program.py"
        path.write_text(program)
        command = [sys.executable, str(path), *arguments]
        done = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=timeout, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run
