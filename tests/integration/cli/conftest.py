"""The command as users run it: a process of its own, beside processes that hold segments."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

HOLDER = """
import sys, json
from lithops_shm.config import StoreSettings
from lithops_shm.store import Store
store = Store.open(StoreSettings(**json.loads(sys.argv[1])))
for key, size in json.loads(sys.stdin.readline()).items():
    store.put("data", key, bytes(size))
print(store.session.id, flush=True)
sys.stdin.read()
"""


class Runner:
    """Runs the command on the test's own store, away from any configuration of the machine's user."""

    def __init__(self, home: Path, directories: dict[str, str]) -> None:
        self.home = home
        home.mkdir()
        self.config = home.with_name("config.yaml")
        self.config.write_text(json.dumps({"lithops": {"storage": "shm"}, "shm": directories}))
        names = ("LITHOPS", "NO_COLOR", "COLUMNS")
        self.environ = {name: value for name, value in os.environ.items() if not name.startswith(names)}

    def __call__(
        self, *arguments: str, code: int | None = 0, configured: bool = True, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run to its end, which must come with that exit code (``None``: with any), and without a traceback."""
        words = [*arguments, *(["--config", str(self.config)] if configured else [])]
        done = subprocess.run(
            [sys.executable, "-m", "lithops_shm", *words],
            env={**self.environ, "HOME": str(self.home), **variables},
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=150,
        )
        assert code in (None, done.returncode), done.stderr + done.stdout
        assert "Traceback" not in done.stderr
        return done

    def json(self, command: str, *arguments: str, **options: Any) -> dict[str, Any]:
        """What the command prints with ``--json``."""
        done = self(command, "--json", *arguments, **options)
        assert done.stdout.isascii()
        result: dict[str, Any] = json.loads(done.stdout)
        assert (result["schema"], result["command"]) == (1, command)
        return result


@pytest.fixture
def directories(shm_directory: Path, tmp_path: Path) -> dict[str, str]:
    return {"directory": str(shm_directory), "spill_directory": str(tmp_path / "spill")}


@pytest.fixture
def run(tmp_path: Path, directories: dict[str, str]) -> Runner:
    return Runner(tmp_path / "home", directories)


@pytest.fixture
def hold(directories: dict[str, str], run: Runner) -> Iterator[Callable[..., tuple[subprocess.Popen[str], str]]]:
    """Start a process that stores zeros and lives until it is ended; gives it and its session."""
    holders: list[subprocess.Popen[str]] = []

    def start(segments: dict[str, int], **settings: Any) -> tuple[subprocess.Popen[str], str]:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("LITHOPS")}
        command = [sys.executable, "-c", HOLDER, json.dumps({**directories, **settings})]
        holder = subprocess.Popen(
            command, env=environ, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        holders.append(holder)
        assert holder.stdin is not None
        assert holder.stdout is not None
        holder.stdin.write(json.dumps(segments) + "\n")
        holder.stdin.flush()
        session = holder.stdout.readline().strip()
        assert session
        return holder, session

    yield start
    for holder in holders:
        holder.communicate()
    run("gc", "--kept")
