"""Programs that measure, each in an interpreter of its own: both ends of what is said between them and us."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from typing import Any

from lithops_shm.errors import SelectorError, ShmError
from lithops_shm.store.session import SESSION_VARIABLE

__all__ = ["Step", "answer", "run"]

Step = Callable[[str], None]
"""Told what is measured next."""

# What makes a process part of a session: these programs are in one of their own.
_SESSION = (SESSION_VARIABLE, "__LITHOPS_SESSION_ID", "__LITHOPS_TOTAL_EXECUTORS", "__LITHOPS_MONITORING_QUEUES")
_ENDS_S = 10.0  # after an interrupt; then it is killed
_LAST_WORDS = 300  # characters of what it said on standard error


def run(
    module: str,
    request: Mapping[str, Any],
    step: Step,
    *,
    timeout_s: float,
    environ: Mapping[str, str] | None = None,
    told: Callable[[dict[str, Any]], None] | None = None,
) -> Any:
    """Run a program to its end; gives what it found.

    Parameters
    ----------
    module:
        Its full name; it calls :func:`answer`.
    request:
        What it shall do. It goes through a pipe: a configuration may hold keys, and arguments are there for all to see.
    step:
        Told what the program says it does.
    timeout_s:
        After which it is killed, with all it has started.
    environ:
        More of its environment.
    told:
        Given whatever else the program says.

    Raises
    ------
    SelectorError
        When it fails, with its reason.
    """
    variables = {name: value for name, value in os.environ.items() if name not in _SESSION}
    # A session of its own, so that Ctrl-C reaches us alone, and all of it can be killed at once.
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**variables, **(environ or {})},
            start_new_session=True,
        ) as process,
    ):
        late = threading.Event()

        def give_up() -> None:
            late.set()
            _kill(process)

        timer = threading.Timer(timeout_s, give_up)
        timer.daemon = True
        timer.start()
        try:
            said = _conversation(process, request, step, told)
            process.wait()
        except BaseException:
            _end(process)
            raise
        finally:
            timer.cancel()
            timer.join()
        if "result" in said:
            return said["result"]
        if late.is_set():
            raise SelectorError(f"this could not be measured: it was not over after {timeout_s:.0f} s")
        raise SelectorError(f"this could not be measured: {said.get('error') or _last_words(errors)}")


def _conversation(
    process: subprocess.Popen[bytes],
    request: Mapping[str, Any],
    step: Step,
    told: Callable[[dict[str, Any]], None] | None,
) -> dict[str, Any]:
    """Give it the request, and listen to it until it has an answer, or has none."""
    assert process.stdin is not None
    assert process.stdout is not None
    # If it has ended already, standard error says why.
    with contextlib.suppress(BrokenPipeError), process.stdin as pipe:
        pickle.dump(dict(request), pipe)
    for line in process.stdout:
        said: dict[str, Any] = json.loads(line)
        if "step" in said:
            step(said["step"])
        elif {"result", "error"} & said.keys():
            return said
        elif told is not None:
            told(said)
    return {}


def _end(process: subprocess.Popen[bytes]) -> None:
    """As Ctrl-C does, so that it takes back what it has stored."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(_ENDS_S)
    except subprocess.TimeoutExpired:
        _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _last_words(errors: Any) -> str:
    errors.seek(0)
    text = errors.read().decode(errors="replace").strip()
    return f"...{text[-_LAST_WORDS:]}" if len(text) > _LAST_WORDS else text or "the program ended without a word"


def answer(work: Callable[[dict[str, Any], Callable[[dict[str, Any]], None]], Any]) -> None:
    """The whole of such a program: do what was asked, and say what came of it.

    Parameters
    ----------
    work:
        Given the request, and what says something to whoever asked; gives what can be JSON.
    """
    # Whatever else is printed, by Lithops or by functions, goes to standard error.
    with os.fdopen(os.dup(1), "w", encoding="ascii") as channel:
        os.dup2(2, 1)

        def say(what: dict[str, Any]) -> None:
            print(json.dumps(what), file=channel, flush=True)

        request = pickle.load(sys.stdin.buffer)
        try:
            say({"result": work(request, say)})
        except KeyboardInterrupt:
            sys.exit(130)
        except ShmError as error:
            say({"error": str(error)})
        except Exception as error:  # noqa: BLE001 - Lithops and its backends raise what they like
            say({"error": f"{type(error).__name__}: {error}"})
