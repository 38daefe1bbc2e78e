"""The arguments of ``lithops-shm``, and the ends it can come to.

Exit codes: 0 for success, 1 when ``doctor`` finds a problem or a contestant of ``bench`` failed, 2 for an error that is
explained on stderr (in one sentence; in one for each place, when a job can run nowhere), 130 after Ctrl-C, 143 when
``calibrate`` or ``bench`` was terminated, and 141 when the reader of the output has gone.
"""

from __future__ import annotations

import argparse
import errno
import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from lithops_shm import __version__
from lithops_shm.cli.terminal import escaped
from lithops_shm.errors import NoPlaceError, ShmError

__all__ = ["main"]

_FAILED = 2
_INTERRUPTED = 130  # 128 + SIGINT, as shells report it
_NO_READER = 141  # 128 + SIGPIPE


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
        if isinstance(stream, io.TextIOWrapper):  # a key may hold what the terminal's encoding does not
            stream.reconfigure(errors="backslashreplace")
    options = _parser().parse_args(arguments)
    options.words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        # Each command imports what it needs, so that --help and mistakes cost next to nothing.
        code = int(import_module(f"lithops_shm.cli.{options.command}").run(options))
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()
        return _NO_READER
    except KeyboardInterrupt:
        return _INTERRUPTED
    except (ShmError, OSError) as error:
        if getattr(error, "errno", None) == errno.ENOSPC and not isinstance(error, ShmError):
            _discard_output()
        lines = str(error).splitlines() if isinstance(error, NoPlaceError) else [_sentence(error)]
        print("lithops-shm: " + "\n".join(map(escaped, lines)), file=sys.stderr)
        return _FAILED
    return code


def _discard_output() -> None:
    """Let what could not be written go: Python flushes stdout once more when it exits, and would complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and not isinstance(error, ShmError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror
    return str(error)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lithops-shm",
        description="Look at, and look after, the shared-memory segments of Lithops on this machine; and see, before a "
        "job runs, where it would.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"lithops-shm {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    _command(
        commands,
        "doctor",
        "say what this machine offers, and what to change",
        "Look at memory, limits, safety and software. Changes nothing. Exits with 1 when there is a problem.",
    )
    ls = _command(
        commands,
        "ls",
        "list segments, their owners and their sizes",
        "List the segments of all your sessions, or the sessions themselves. Changes nothing.",
    )
    ls.add_argument("--sessions", action="store_true", help="one line per session instead of per segment")
    ls.add_argument("--bucket", help="only segments of this bucket")
    ls.add_argument("--prefix", default="", help="only segments whose keys start with this")
    ls.add_argument(
        "--sort",
        choices=("name", "size", "age"),
        default="name",
        help="by bucket and key, largest first, or oldest first (default: %(default)s)",
    )
    gc = _command(
        commands,
        "gc",
        "remove what dead sessions left",
        "Remove the segments of sessions whose process has ended. Data of live sessions is never touched.",
    )
    gc.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    gc.add_argument("--kept", action="store_true", help="name and remove objects with `lifetime: kept` as well")
    _select(commands)
    _calibrate(commands)
    _layer(commands)
    _bench(commands)
    return parser


def _select(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    select = _command(
        commands,
        "select",
        "say where a job would run, and why",
        "Decide between this machine and the remote backend of the configuration, and explain it. Runs nothing.",
    )
    job = select.add_argument_group("the job")
    job.add_argument(
        "--input",
        action="append",
        metavar="URI",
        help="what it reads, such as s3://bucket/prefix or /data/*.csv, asked for its size; any number of times",
    )
    job.add_argument("--size", metavar="SIZE", help="the size of its input, such as '5 GB', in place of asking for it")
    job.add_argument("--functions", type=int, metavar="N", help="calls of the first stage (default: chosen)")
    job.add_argument("--partitions", type=int, metavar="N", help="calls of the second (default: as many)")
    job.add_argument(
        "--intermediate-ratio",
        type=float,
        metavar="X",
        help="bytes exchanged for each byte of input: 1 for a sort, which is the default, 0 for a plain map",
    )
    job.add_argument("--compute", type=float, metavar="S_PER_GB", help="seconds a core works on 10^9 bytes of input")
    job.add_argument("--confidential", action="store_true", help="the data must not leave this machine")
    job.add_argument("--deadline", type=float, metavar="SECONDS", help="most it may take")
    job.add_argument("--budget", type=float, metavar="USD", help="most it may cost")
    select.add_argument("--policy", metavar="NAME", help="what chooses, in place of the configuration's")
    select.add_argument("--pin", choices=("local", "remote"), help="only this machine, or only elsewhere")
    select.add_argument("--history", action="store_true", help="show earlier runs, predicted and actual")


def _calibrate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    calibrate = _command(
        commands,
        "calibrate",
        "measure what decisions are made from",
        "Run small jobs on this machine, or use a storage and functions elsewhere, and write down how fast they are. "
        "Takes less than two minutes; a storage and functions that cost money cost a few cents.",
    )
    calibrate.add_argument("--storage", metavar="NAME", help="measure this storage of Lithops, such as aws_s3")
    calibrate.add_argument("--backend", metavar="NAME", help="and functions on this backend that use the storage")
    calibrate.add_argument("--quick", action="store_true", help="in seconds and roughly: to see that it works")
    calibrate.add_argument(
        "--output", metavar="FILE", help="where to write (default: where decisions look, see the configuration)"
    )


def _layer(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    layer = _command(
        commands,
        "layer",
        "build what functions on AWS Lambda need",
        "Build the layer that Lithops' functions on AWS Lambda need for this package. Fetches packages with pip.",
    )
    layer.add_argument("--output", metavar="FILE.zip", help="where to write it")
    layer.add_argument("--python", metavar="3.12", help="of the functions (default: this one)")
    layer.add_argument("--architecture", choices=("x86_64", "arm64"), default="x86_64")
    layer.add_argument("--platform", action="append", default=[], metavar="TAG", help="wheels to take; may be repeated")
    layer.add_argument(
        "--add", action="append", default=[], metavar="REQUIREMENT", help="a package more; may be repeated"
    )
    layer.add_argument("--unpinned", action="store_true", help="newest versions that fit, not those installed here")
    layer.add_argument("--publish", action="store_true", help="publish it where Lithops looks for its layer")


def _bench(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    bench = commands.add_parser(
        "bench",
        help="measure tables, calls, shuffles and decisions on this machine",
        description="Measure on this machine, beside what else is installed, verified, without a network; write "
        "results.json, report.md and charts into a directory. Exits with 1 when a contestant failed.",
        allow_abbrev=False,
    )
    parts = bench.add_subparsers(dest="part", metavar="PART", required=True)
    for name, summary in (
        ("io", "frames written and read by codec, dtype and place: time and memory"),
        ("tasks", "calls that do nothing"),
        ("shuffle", "terasort"),
        ("selector", "jobs run here and elsewhere, and what believing the selector costs"),
        ("all", "all of these"),
    ):
        part = parts.add_parser(name, help=summary, description=f"Measure {summary}.", allow_abbrev=False)
        add = part.add_argument
        of = {"all": "the data of io and shuffle", "tasks": "what each call gets and gives back"}.get(name, "the data")
        such = "1KB or 1KB,1MB" if name == "tasks" else "100MB or 100MB,1GB"
        default = "nothing" if name == "tasks" else "each part's"
        add("--size", metavar="SIZE,...", help=f"bytes of {of}, such as {such} (default: {default})")
        if name != "tasks":
            add("--rows", type=int, metavar="N", help="rows of the data, in place of its size")
        if name in ("io", "all"):
            add(
                "--dtype",
                metavar="NAME,...",
                help="object, string[python], string[pyarrow], numpy, arrow (default: all)",
            )
        if name in ("tasks", "all"):
            add("--calls", metavar="N,...", help="of one map (default: 32,1000)")
        if name in ("shuffle", "all"):
            add("--workers", metavar="N,...", help="that each contestant may use (default: one a CPU)")
        if name in ("selector", "all"):
            add("--jobs", type=int, metavar="N", help="only so many of its jobs (default: all, half an hour)")
            add("--quick", action="store_true", help="decide from default rates, uncalibrated: to see that it works")
        add("--repeat", type=int, metavar="N", help="runs that count, after one that does not (default: each part's)")
        add("--only", metavar="NAME,...", help="contestants; for io, codecs and places (default: all)")
        add("--output", metavar="DIR", help="where to write (default: lithops-shm-bench-DATE-TIME)")
        add("--json", action="store_true", help="print JSON: the files, and who was skipped")
    compare = parts.add_parser(
        "compare",
        help="two runs beside each other",
        description="Medians of two runs, their ratio, and whether their ranges overlap, so that it may be noise.",
        allow_abbrev=False,
    )
    compare.add_argument("first", metavar="A", help="directory of a run, or its results.json")
    compare.add_argument("second", metavar="B", help="of another")
    compare.add_argument("--json", action="store_true", help="print JSON")


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, summary: str, description: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=summary, description=description, allow_abbrev=False)
    parser.add_argument("--json", action="store_true", help="print JSON: sizes in bytes, times in UTC")
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="Lithops configuration with the section `shm:` (default: where Lithops looks for its own)",
    )
    parser.add_argument("--directory", help="base directory of the store, whatever the configuration says")
    return parser
