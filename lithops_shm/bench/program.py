"""Contestants run in programs of their own, as a user's would: both ends of what is said between them and us.

A command is a line of JSON, a name and arguments; the answer is one too, after whatever else the program prints.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

__all__ = ["Client", "ProgramError", "serve", "stop"]

_ENDS_S = 60.0  # after its input has ended
_STOPS_S = 10.0  # after an interrupt; then it is killed
_LAST_WORDS = 2000  # characters of what it said on standard error


class ProgramError(RuntimeError):
    """A program ended before it answered, or its answer is that it failed."""


class Client:
    """A program at work; give it commands, close it. For use in a ``with`` block.

    Parameters
    ----------
    program:
        What Python runs: ``-m`` and a module, or ``-c`` and code; and its arguments.
    environ:
        More of its environment.

    Raises
    ------
    ProgramError
        When it ends before it is ready, with its last words.
    """

    def __init__(self, program: Sequence[str], *, environ: Mapping[str, str] | None = None) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - as long as the program
        # A session of its own, so that Ctrl-C reaches us alone, and all of it can be killed at once.
        self._process = subprocess.Popen(
            [sys.executable, *program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**os.environ, **(environ or {})},
            start_new_session=True,
        )
        try:
            self._read_until("ready")
        except BaseException:
            self._stop()
            raise

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._stop()
            return
        try:
            self._process.communicate(timeout=_ENDS_S)
        except subprocess.TimeoutExpired:
            self._stop()
            raise ProgramError(f"the program had not ended {_ENDS_S:.0f} s after it was asked to") from None
        except BaseException:
            self._stop()
            raise
        self._errors.close()

    def ask(self, name: str, *arguments: Any) -> Any:
        """Have it run one of its functions; gives what that gives. Raises ProgramError when it fails."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # its last words are what there is to say
            self._process.stdin.write(json.dumps([name, *arguments]) + "\n")
            self._process.stdin.flush()
        answer = json.loads(self._read_until("answer").partition(" ")[2])
        if "failed" in answer:
            raise ProgramError(answer["failed"])
        return answer["result"]

    def _read_until(self, word: str) -> str:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(word):
                return line
        self._errors.seek(0)
        said = self._errors.read()[-_LAST_WORDS:].strip()
        raise ProgramError(f"the program ended before it said {word!r}: {said or 'without a word'}")

    def _stop(self) -> None:
        stop(self._process)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):
                pipe.close()
        self._errors.close()


def stop(process: subprocess.Popen[str]) -> None:
    """End a program that leads its own session as Ctrl-C does, and kill what is left of it and all it has started."""
    try:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOPS_S)
    finally:  # whoever is impatient and interrupts again gets the second half at once
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def serve(commands: Mapping[str, Callable[..., Any]]) -> None:
    """The other end: say that all is ready, then run what is asked until there is nothing more."""
    print("ready", flush=True)
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        try:
            answer = {"result": commands[name](*arguments)}
        except Exception as error:  # noqa: BLE001 - engines raise what they like
            answer = {"failed": f"{type(error).__name__}: {error}".strip()}
        print("answer", json.dumps(answer), flush=True)
