"""Listing and reclaiming, beside sessions that live, died, keep and spill."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

HOSTILE = "evil/\x1b[31mred\x1b]0;title\x07\n\u202egnp\\ \u65e5\u672c" + "z" * 300


def kill(holder: subprocess.Popen[str]) -> None:
    holder.kill()
    holder.wait()


def is_utc(text: str) -> bool:
    when = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)
    return abs(datetime.now(timezone.utc) - when) < timedelta(minutes=10)


class TestLs:
    def test_an_empty_store(self, run: Any, directories: dict[str, str]) -> None:
        assert "0 segments" in run("ls").stdout
        result = run.json("ls")
        assert (result["segments"], result["sessions"]) == ([], [])
        assert not os.path.exists(directories["directory"])

    def test_schema(self, run: Any, hold: Any, directories: dict[str, str]) -> None:
        holder, session = hold({"a": 100_000, HOSTILE: 10})
        result = run.json("ls")
        assert set(result) == {"schema", "command", "directory", "spill_directory", "segments", "sessions", "totals"}
        assert result["command"] == "ls"
        assert result["directory"] == directories["directory"]
        assert [segment["key"] for segment in result["segments"]] == ["a", HOSTILE]
        first = result["segments"][0]
        assert is_utc(first.pop("modified"))
        assert first == {"bucket": "data", "key": "a", "size": 100_000, "session": session, "spilled": False}
        (owner,) = result["sessions"]
        assert is_utc(owner.pop("started"))
        assert "lithops_shm" in owner.pop("command")
        assert owner.pop("memory_bytes") >= 100_010
        assert owner == {
            "id": session, "kept": False, "alive": True, "pid": holder.pid, "segments": 2, "spilled_bytes": 0
        }  # fmt: skip
        totals = result["totals"]
        assert (totals["segments"], totals["size"], totals["sessions"], totals["dead_sessions"]) == (2, 100_010, 1, 0)

    def test_live_dead_kept_and_spilled(self, run: Any, hold: Any) -> None:
        live, live_id = hold({"live": 5000})
        dead, dead_id = hold({"dead": 6000})
        spilling, spilling_id = hold({"spilled": 3 << 20}, budget_bytes=1 << 20)
        hold({"kept": 7000}, lifetime="kept")[0].communicate()
        kill(dead)
        result = run.json("ls")
        found = {segment["key"]: (segment["session"], segment["spilled"]) for segment in result["segments"]}
        assert found == {
            "live": (live_id, False),
            "dead": (dead_id, False),
            "spilled": (spilling_id, True),
            "kept": ("kept", False),
        }
        alive = {session["id"]: session["alive"] for session in result["sessions"]}
        assert alive == {live_id: True, dead_id: False, spilling_id: True, "kept": True}
        assert result["totals"]["spilled_bytes"] >= 3 << 20
        lines = run("ls", "--sort", "size").stdout.splitlines()
        assert [line.split()[-1] for line in lines[:-1]] == ["KEY", "spilled", "kept", "dead", "live"]
        assert re.search(rf"3.0 MiB +\d+s +{spilling_id} +{spilling.pid} +disk +data +spilled$", lines[1])
        assert re.search(rf"5.9 KiB +\d+s +{dead_id} +{dead.pid} dead +memory +data +dead$", lines[3])
        assert "1 dead, `lithops-shm gc`" in lines[-1]
        sessions = run("ls", "--sessions").stdout.splitlines()
        assert sessions[0].split() == ["SESSION", "OWNER", "AGE", "SEGMENTS", "MEMORY", "DISK", "COMMAND"]
        assert len(sessions) == 6
        assert any(re.match(rf"{live_id} +{live.pid} +\d+s +1 ", line) for line in sessions)

    def test_filters_and_orders(self, run: Any, hold: Any) -> None:
        hold({"b/2": 10, "a/1": 300, "b/1": 200})

        def keys(*arguments: str) -> list[str]:
            return [segment["key"] for segment in run.json("ls", *arguments)["segments"]]

        assert keys() == ["a/1", "b/1", "b/2"]
        assert keys("--prefix", "b/") == ["b/1", "b/2"]
        assert keys("--bucket", "data", "--sort", "size") == ["a/1", "b/1", "b/2"]
        assert keys("--sort", "age") == ["b/2", "a/1", "b/1"]
        assert keys("--bucket", "other") == []

    def test_hostile_keys_are_one_harmless_line(self, run: Any, hold: Any) -> None:
        hold({HOSTILE: 10})
        out = run("ls").stdout
        assert out.count("\n") == 3
        assert "".join(out.split("\n")).isprintable()
        assert r"evil/\x1b[31mred\x1b]0;title\x07\n\u202egnp\\" in out
        assert "z" * 300 in out  # whole, when it is not for a terminal
        plain = run("ls", PYTHONIOENCODING="ascii").stdout
        assert r"\u65e5" in plain

    def test_a_terminal_gets_lines_that_fit(self, tmp_path: Path, hold: Any, directories: dict[str, str]) -> None:
        hold({HOSTILE: 10, "\u65e5\u672c\u8a9e" * 100: 10, "short": 1})
        for variables, colours in (({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)):
            out = in_terminal(
                ["ls", "--directory", directories["directory"]], columns=90, HOME=str(tmp_path), **variables
            )
            assert ("\x1b[" in out) is colours
            *lines, _ = re.sub(r"\x1b\[\d*m", "", out).splitlines()
            assert len(lines) == 4
            widths = [sum(2 if char > "\u2e80" else 1 for char in line) for line in lines]
            assert max(widths) <= 90
            assert lines[-2].endswith("short") or lines[-1].endswith("short") or lines[1].endswith("short")


def in_terminal(arguments: list[str], columns: int, **variables: str) -> str:
    """Run the command on a pseudo-terminal; gives what the terminal got."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("LITHOPS", "NO_COLOR"))}
    master, slave = pty.openpty()
    try:
        child = subprocess.Popen(
            [sys.executable, "-m", "lithops_shm", *arguments],
            env={**environ, "TERM": "xterm", "COLUMNS": str(columns), **variables},
            stdin=subprocess.DEVNULL,
            stdout=slave,
            stderr=slave,
        )
    finally:
        os.close(slave)
    out = b""
    try:
        while chunk := os.read(master, 65536):
            out += chunk
    except OSError:  # EIO: the other end is closed
        pass
    finally:
        os.close(master)
    assert child.wait() == 0
    return out.decode().replace("\r\n", "\n")


class TestGc:
    def test_removes_the_dead_and_nothing_else(self, run: Any, hold: Any) -> None:
        _, live_id = hold({"live": 5000})
        dead, dead_id = hold({"dead": 600_000, "more": 10})
        kill(dead)
        for _ in range(2):  # a dry run changes nothing
            would = run.json("gc", "--dry-run")
            assert would["dry_run"] is True
            assert [session["id"] for session in would["sessions"]] == [dead_id]
        text = run("gc", "--dry-run").stdout
        assert f"{dead_id}: 2 segments" in text
        assert "would remove 1 session with 2 segments" in text
        done = run.json("gc")
        assert set(done) == {
            "schema", "command", "directory", "spill_directory", "dry_run", "sessions", "segments", "memory_bytes",
            "spilled_bytes", "kept_segments",
        }  # fmt: skip
        assert (done["segments"], done["kept_segments"], done["dry_run"]) == (2, [], False)
        assert done["memory_bytes"] >= 600_010
        assert done["sessions"][0]["pid"] == dead.pid
        assert "nothing to reclaim" in run("gc").stdout
        left = run.json("ls")
        assert [segment["session"] for segment in left["segments"]] == [live_id]

    def test_spilled_remains_go_too(self, run: Any, hold: Any, directories: dict[str, str]) -> None:
        spilling, _ = hold({"spilled": 3 << 20}, budget_bytes=1 << 20)
        kill(spilling)
        assert run.json("gc")["spilled_bytes"] >= 3 << 20
        assert not any(files for _, _, files in os.walk(directories["spill_directory"]))

    def test_kept_objects_go_only_when_asked_and_named(self, run: Any, hold: Any) -> None:
        hold({"kept": 7000, HOSTILE: 1}, lifetime="kept")[0].communicate()
        assert "nothing to reclaim" in run("gc").stdout
        assert "data/kept" in run("gc", "--kept", "--dry-run").stdout
        assert len(run.json("ls")["segments"]) == 2
        out = run("gc", "--kept").stdout
        assert out.index("2 kept objects:") < out.index("data/kept  6.8 KiB") < out.index("removed 1 session")
        assert "\x1b" not in out
        assert run.json("ls")["segments"] == []
