"""What tests of whole programs share: a store, a Lithops configuration and a home directory of their own."""

import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from effort import times

from lithops_shm.config import StoreSettings

ASK = """
import json, traceback

def ask(questions):
    # Answers by the names of the functions; an exception is an answer too, and its traceback is shown.
    answers = {}
    for question in questions:
        try:
            answers[question.__name__] = question()
        except BaseException as error:
            answers[question.__name__] = f"{type(error).__name__}: {error}"
            traceback.print_exc()
    print(json.dumps(answers, default=str))
"""
"""The beginning of programs that answer several questions, so that a client is started once for all of them."""


@pytest.fixture
def settings(shm_directory: Path, tmp_path: Path) -> StoreSettings:
    return StoreSettings(directory=str(shm_directory), spill_directory=str(tmp_path / "spill"))


@pytest.fixture
def compute() -> str:
    """What runs the functions; tests of both name it as a parameter."""
    return "shm"


@pytest.fixture
def more_settings() -> dict[str, Any]:
    """More of the section `shm`; tests that need some name them as a parameter."""
    return {}


@pytest.fixture
def section(settings: StoreSettings, compute: str, more_settings: dict[str, Any]) -> dict[str, Any]:
    """The section `shm` of the configuration."""
    directories = {"directory": settings.directory, "spill_directory": settings.spill_directory}
    return {**directories, "compute": compute, **more_settings}


@pytest.fixture
def environment(section: dict[str, Any], tmp_path: Path) -> dict[str, str]:
    """A configuration file with a store of its own, and a home and temporary directory for what Lithops leaves."""
    config = tmp_path / "lithops.yaml"
    lithops: dict[str, Any] = {"backend": "localhost", "storage": "shm"}
    if section["compute"] == "localhost":
        # Its cleaner is a process that stays for seven seconds; what it does is tested where it is the subject.
        lithops["data_cleaner"] = False
    config.write_text(yaml.safe_dump({"lithops": lithops, "shm": section}))
    # Not the directory of this Python first in PATH: workers have to find it all the same.
    return {**os.environ, "LITHOPS_CONFIG_FILE": str(config), "HOME": str(tmp_path), "TMPDIR": str(tmp_path)}


@pytest.fixture
def run(tmp_path: Path, environment: dict[str, str]) -> Callable[..., str]:
    """Run a program to its end; gives what it printed."""

    def run(program: str, *arguments: str, timeout: float = times(150, 3000)) -> str:
        command = _command(tmp_path, program, arguments)
        done = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=timeout, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


@pytest.fixture
def start(tmp_path: Path, environment: dict[str, str]) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Start a program, and wait until it has printed ``ready``; whatever becomes of the test, it is ended."""
    started: list[subprocess.Popen[str]] = []

    def start(program: str, *arguments: str) -> "subprocess.Popen[str]":
        command = _command(tmp_path, program, arguments)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(command, env=environment, cwd=tmp_path, text=True, **pipes)  # type: ignore[call-overload]
        started.append(process)
        while (line := process.stdout.readline()) != "ready\n":
            assert line, "it ended before it was ready"
        return process  # type: ignore[no-any-return]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def _command(directory: Path, program: str, arguments: tuple[str, ...]) -> list[str]:
    path = directory / f"program-{secrets.token_hex(4)}.py"
    path.write_text(program)
    return [sys.executable, str(path), *arguments]
