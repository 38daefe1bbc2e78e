"""``lithops-shm doctor``: what was found, worst last, so that it is what is left on the screen."""

from __future__ import annotations

import argparse
from textwrap import wrap

from lithops_shm import __version__
from lithops_shm.cli import configuration
from lithops_shm.cli.terminal import coloured, escaped, plural, print_json, width
from lithops_shm.doctor import Finding, Severity, examine
from lithops_shm.store.layout import layout_of

__all__ = ["run"]

_COLOURS = {Severity.OK: "green", Severity.NOTE: "cyan", Severity.WARNING: "yellow", Severity.PROBLEM: "red"}
_LONGEST = max(len(severity.value) for severity in Severity)
_WIDEST = 100  # longer lines are hard to read


def run(options: argparse.Namespace) -> int:
    """Print the findings; gives 1 when there is a problem among them, else 0."""
    loaded, source = configuration.load(options.config)
    settings = configuration.store_settings(loaded, source, options.directory)
    localhost = loaded.get("localhost")
    runtime = localhost.get("runtime") if isinstance(localhost, dict) else None
    findings = examine(settings, runtime=None if runtime is None else str(runtime))
    order = list(Severity)
    worst = max((finding.severity for finding in findings), key=order.index)
    if options.json:
        print_json(
            "doctor",
            {
                "version": __version__,
                "directory": layout_of(settings).base,
                "worst": worst.value,
                "findings": [_as_json(finding) for finding in findings],
            },
        )
    else:
        for finding in sorted(findings, key=lambda finding: order.index(finding.severity)):
            _print(finding)
        counts = [(sum(finding.severity is severity for finding in findings), severity) for severity in reversed(order)]
        print()
        print(", ".join(_count(count, severity) for count, severity in counts if count))
    return 1 if worst is Severity.PROBLEM else 0


def _as_json(finding: Finding) -> dict[str, object]:
    return {
        "name": finding.name,
        "severity": finding.severity.value,
        "value": finding.value,
        "why": finding.why,
        "change": finding.change,
        "facts": finding.facts,
    }


def _print(finding: Finding) -> None:
    severity = coloured(finding.severity.value.ljust(_LONGEST), _COLOURS[finding.severity])
    print(f"{severity}  {finding.name}: {escaped(finding.value)}")
    if finding.severity is Severity.OK:
        return
    indent = " " * (_LONGEST + 2)
    for text, start in ((finding.why, indent), (finding.change, f"{indent}-> ")):
        columns = min(width() or _WIDEST, _WIDEST)
        for line in wrap(escaped(text), columns, initial_indent=start, subsequent_indent=" " * len(start),
                         break_on_hyphens=False, break_long_words=False):  # fmt: skip
            print(line)


def _count(count: int, severity: Severity) -> str:
    return f"{count} ok" if severity is Severity.OK else plural(count, severity.value)
