"""The arguments of ``python -m seer_integration``, and the ends it can come to.

Exit codes: 0 for success, 1 when the job failed, 2 when the job file, the configuration or the arguments are wrong, 130
after Ctrl-C, and 141 when the reader of the output has gone. What went wrong is said on stderr.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module

from lithops_shm.cli.terminal import escaped
from lithops_shm.errors import ConfidentialityError, ConfigError, NoPlaceError, ProfileError, ShmError
from seer_integration.errors import JobFileError, OperationError, PlanError

__all__ = ["main"]

_FAILED = 1
_WRONG = 2
_INTERRUPTED = 130  # 128 + SIGINT, as shells report it
_NO_READER = 141  # 128 + SIGPIPE

# What has to be changed for these is what was written, not what is in the data.
_MISTAKES = (JobFileError, PlanError, OperationError, ConfigError, ProfileError, ConfidentialityError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; gives its exit code.

    Parameters
    ----------
    arguments:
        Without the program's name; those of the process by default.
    """
    # Whoever started us may have closed these.
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 - until the end
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # data may hold what the terminal's encoding does not
            stream.reconfigure(errors="backslashreplace")
    options = _parser().parse_args(arguments)
    try:
        code = int(getattr(import_module("seer_integration.cli.commands"), options.command)(options))
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes stdout once more when it exits, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _NO_READER
    except KeyboardInterrupt:
        return _INTERRUPTED
    except Exception as error:  # noqa: BLE001 - of a function in the job, or of the storage
        return _explained(error)
    return code


def _explained(error: Exception) -> int:
    if not isinstance(error, (ShmError, OSError)):
        traceback.print_exception(error)
    lines = str(error).splitlines() if isinstance(error, (JobFileError, NoPlaceError)) else [_sentence(error)]
    print("seer_integration: " + "\n".join(map(escaped, lines)), file=sys.stderr)
    return _WRONG if isinstance(error, _MISTAKES) else _FAILED


def _sentence(error: Exception) -> str:
    if isinstance(error, ShmError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror
    return f"the job failed: {type(error).__name__}: {error}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m seer_integration",
        description="Run data jobs that are written down in YAML: see docs/seer.md.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    run = _of_job(commands, "run", "run a job", "Run a job, and print or write what it collects.")
    run.add_argument(
        "--output", metavar="FILE", type=_output, help="write the collected rows, as the file's ending says"
    )
    run.add_argument("--rows", metavar="N", type=_count, default=20, help="rows to print (default: %(default)s)")
    run.add_argument("--quiet", action="store_true", help="show no progress and no summary")
    explain = _of_job(
        commands,
        "explain",
        "say how a job would run",
        "Print the plan of a job: stages, what is fused, what is read, where it would run and why. Runs nothing.",
    )
    explain.set_defaults(quiet=True)
    _of_job(
        commands,
        "validate",
        "find mistakes in a job file",
        "Check a job file without looking at its data. Every mistake is named with its line; 2 if there is one.",
    )
    _index(commands)
    return parser


def _of_job(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, summary: str, description: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=summary, description=description, allow_abbrev=False)
    parser.add_argument("job", metavar="JOB.yaml", help="the job file")
    _common(parser)
    return parser


def _index(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    description = (
        "Write down what each part of a dataset holds, so that jobs with a Filter leave out what cannot match."
    )
    index = commands.add_parser("index", help="index a dataset", description=description, allow_abbrev=False)
    index.add_argument(
        "dataset",
        metavar="DATASET",
        help="a path, a URI, or a key with --bucket, as the file of a Scan; or a job file, for what it scans",
    )
    index.add_argument("--stage", help="of the job file, when several scan")
    index.add_argument("--columns", metavar="A,B", type=_names, required=True, help="those that filters use")
    index.add_argument("--bucket", help="the dataset is in this bucket")
    index.add_argument("--storage", help="of this Lithops storage, instead of the configuration's")
    index.add_argument("--format", choices=("csv", "parquet", "ipc", "jsonl"), help="(default: what the names end in)")
    index.add_argument("--header", action="store_true", help="the first row of a CSV has the names of its columns")
    index.add_argument("--delimiter", default=",", help="of CSV (default: %(default)s)")
    _common(index)


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set",
        metavar="NAME=VALUE",
        type=_setting,
        action="append",
        default=[],
        help="a parameter of the job file; may be repeated",
    )
    parser.add_argument(
        "--config", metavar="FILE", help="Lithops configuration (default: the job's, else where Lithops looks for it)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout")


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not name=value")
    return name, value


def _names(text: str) -> list[str]:
    found = [name for name in text.split(",") if name]
    if not found:
        raise argparse.ArgumentTypeError("names no columns")
    return found


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError("must be a whole number from 0 up")
    return int(text)


def _output(text: str) -> str:
    from seer_integration.cli.results import ENDINGS

    ending = os.path.splitext(text)[1].lower()
    if ending not in ENDINGS:
        raise argparse.ArgumentTypeError(f"{text!r} has none of the endings {', '.join(ENDINGS)}")
    if not os.path.isdir(directory := os.path.dirname(os.path.abspath(text))):
        raise argparse.ArgumentTypeError(f"there is no directory {directory!r}")
    return text
