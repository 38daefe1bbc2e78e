"""Where settings come from, and every way the command can end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lithops_shm import __version__


class TestConfiguration:
    def where(self, run: Any, **variables: str) -> str:
        return str(run.json("ls", configured=False, **variables)["directory"])

    def test_lithops_places_in_lithops_order(self, run: Any, tmp_path: Path) -> None:
        home = tmp_path / "home"
        default = self.where(run)
        assert str(os.getuid()) in default
        (home / ".lithops").mkdir()
        (home / ".lithops" / "config").write_text("shm: {directory: /dev/shm/from-home}")
        assert self.where(run) == "/dev/shm/from-home"
        (home / ".lithops_config").write_text("shm: {directory: /dev/shm/from-here}")
        assert self.where(run) == "/dev/shm/from-here"
        (tmp_path / "named").write_text("shm: {directory: /dev/shm/from-file}")
        assert self.where(run, LITHOPS_CONFIG_FILE=str(tmp_path / "named")) == "/dev/shm/from-file"
        text = json.dumps({"shm": {"directory": "/dev/shm/from-text"}})
        assert self.where(run, LITHOPS_CONFIG=text, LITHOPS_CONFIG_FILE=str(tmp_path / "named")) == "/dev/shm/from-text"
        (home / ".lithops_config").write_text("")
        assert self.where(run) == default

    def test_the_command_line_wins(self, run: Any) -> None:
        assert run.json("ls", "--directory", "/dev/shm/other")["directory"] == "/dev/shm/other"
        relative = run.json("ls", "--directory", "here")["directory"]
        assert relative.endswith("/home/here")

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("shm: {dirctory: /x}", ["'dirctory'", "'directory'", "named"]),
            ("shm: {pool_bytes: lots}", ["pool_bytes", "lots"]),
            ("shm: {directory: relative}", ["absolute"]),
            ("shm: 5", ["mapping", "5"]),
            ("- list", ["mapping"]),
            ("shm: {", ["not YAML", "line 1"]),
            ("\x1b[31m: {", ["YAML"]),
        ],
    )
    def test_mistakes_are_one_sentence(self, run: Any, tmp_path: Path, text: str, words: list[str]) -> None:
        (tmp_path / "named").write_text(text)
        for command in ("ls", "gc", "doctor") if "dirctory" in text else ("ls",):
            done = run(command, configured=False, code=2, LITHOPS_CONFIG_FILE=str(tmp_path / "named"))
            assert done.stdout == ""
            assert done.stderr.startswith("lithops-shm: ")
            assert done.stderr.count("\n") == 1
            assert "\x1b" not in done.stderr
            for word in words:
                assert word in done.stderr

    def test_files_that_cannot_be_read(self, run: Any, tmp_path: Path) -> None:
        assert "no configuration file /nope" in run("ls", "--config", "/nope", code=2, configured=False).stderr
        assert "Is a directory" in run("ls", "--config", str(tmp_path), code=2, configured=False).stderr
        assert "not JSON" in run("ls", configured=False, code=2, LITHOPS_CONFIG="{").stderr


class TestEnds:
    def test_version_help_and_usage(self, run: Any) -> None:
        assert run("--version", configured=False).stdout == f"lithops-shm {__version__}\n"
        out = run("--help", configured=False).stdout
        assert all(word in out for word in ("doctor", "ls", "gc"))
        assert "usage" in run(configured=False, code=2).stderr
        assert "--nonsense" in run("ls", "--nonsense", code=2).stderr

    def test_help_imports_no_store_and_no_lithops(self) -> None:
        code = (
            "import sys, contextlib, lithops_shm.cli as cli\n"
            "with contextlib.suppress(SystemExit): cli.main(['--help'])\n"
            "bad = [m for m in sys.modules if m.startswith(('lithops.', 'yaml', 'pyarrow', 'lithops_shm.store'))]\n"
            "sys.exit(repr(bad) if bad else 0)"
        )
        subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)

    def test_an_unsafe_directory_is_refused(self, run: Any, tmp_path: Path) -> None:
        (tmp_path / "open").mkdir()
        (tmp_path / "open").chmod(0o777)
        for command in ("ls", "gc"):
            done = run(command, "--directory", str(tmp_path / "open"), code=2)
            assert "its mode 777 lets others in" in done.stderr
            assert done.stderr.count("\n") == 1

    @pytest.mark.skipif(os.geteuid() != 0, reason="needs a directory of somebody else")
    def test_somebody_elses_directory_is_refused(self, run: Any, tmp_path: Path) -> None:
        (tmp_path / "theirs").mkdir(mode=0o700)
        os.chown(tmp_path / "theirs", 12345, 12345)
        assert "belongs to user id 12345" in run("ls", "--directory", str(tmp_path / "theirs"), code=2).stderr

    def test_a_reader_that_leaves(self, hold: Any, directories: dict[str, str]) -> None:
        hold({f"{number:05}{'k' * 200}": 1 for number in range(1000)})
        command = [sys.executable, "-m", "lithops_shm", "ls", "--directory", directories["directory"]]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
            assert child.stdout is not None
            assert child.stderr is not None
            child.stdout.read(10)
            child.stdout.close()
            assert child.stderr.read() == b""
            assert child.wait() == 141

    def test_interrupt(self, tmp_path: Path) -> None:
        fifo = tmp_path / "config"
        os.mkfifo(fifo)  # the command waits for somebody to write to it
        command = [sys.executable, "-m", "lithops_shm", "ls", "--config", str(fifo)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
            with open(fifo, "wb"):  # opens when the command has opened its end
                child.send_signal(signal.SIGINT)
                out, err = child.communicate(timeout=150)
            assert (child.returncode, out, err) == (130, b"", b"")

    def test_output_that_cannot_be_written(self, run: Any) -> None:
        command = [sys.executable, "-m", "lithops_shm", "ls", "--config", str(run.config)]
        with open("/dev/full", "wb") as full:
            done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
        assert (done.returncode, done.stderr) == (2, "lithops-shm: No space left on device\n")
        closed = subprocess.run(["sh", "-c", '"$@" >&- 2>&-', "sh", *command])
        assert closed.returncode == 0
