"""``lithops-shm ls``: the segments of all sessions, or the sessions."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any

from lithops_shm.cli import configuration
from lithops_shm.cli.terminal import age, iso_time, plural, print_json, table
from lithops_shm.sizes import size
from lithops_shm.store import SegmentInfo, SessionReport, StoreReport, inspect

__all__ = ["run", "segment_as_json", "session_as_json"]

_KEPT = "kept"


def run(options: argparse.Namespace) -> int:
    """Print what is stored; always 0."""
    report = inspect(configuration.store_settings(*configuration.load(options.config), options.directory))
    segments = _sorted(
        [
            segment
            for segment in report.segments
            if segment.key.startswith(options.prefix) and options.bucket in (None, segment.bucket)
        ],
        options.sort,
    )
    if options.json:
        print_json("ls", _as_json(report, segments))
    elif options.sessions:
        _print_sessions(report.sessions)
        _print_totals(report, report.segments)
    else:
        _print_segments(segments, {session.id: session for session in report.sessions})
        _print_totals(report, segments)
    return 0


def _sorted(segments: list[SegmentInfo], order: str) -> list[SegmentInfo]:
    if order == "size":
        return sorted(segments, key=lambda segment: -segment.size)
    if order == "age":
        return sorted(segments, key=lambda segment: segment.modified_ns)
    return sorted(segments, key=lambda segment: (segment.bucket, segment.key))


def _print_segments(segments: Sequence[SegmentInfo], sessions: dict[str, SessionReport]) -> None:
    now = time.time()
    rows = [
        [
            size(segment.size),
            age(now - segment.modified_ns / 1e9),
            segment.session,
            _owner(sessions.get(segment.session)),
            "disk" if segment.spilled else "memory",
            segment.bucket,
            segment.key,
        ]
        for segment in segments
    ]
    if rows:
        header = ["SIZE", "AGE", "SESSION", "OWNER", "WHERE", "BUCKET", "KEY"]
        table(header, rows, right="SIZE AGE", shrink=["KEY", "BUCKET"])


def _print_sessions(sessions: Sequence[SessionReport]) -> None:
    now = time.time()
    rows = [
        [
            session.id,
            _owner(session),
            "-" if session.owner is None else age(now - session.owner.started),
            f"{session.segments:,}",
            size(session.memory_bytes),
            size(session.spilled_bytes),
            "-" if session.owner is None else session.owner.command,
        ]
        for session in sessions
    ]
    if rows:
        header = ["SESSION", "OWNER", "AGE", "SEGMENTS", "MEMORY", "DISK", "COMMAND"]
        table(header, rows, right="AGE SEGMENTS MEMORY DISK", shrink=["COMMAND"])


def _owner(session: SessionReport | None) -> str:
    """The process that owns a session, and whether it lives."""
    if session is None:
        return "gone"
    if session.owner is None:
        return _KEPT if session.id == _KEPT else "dead"
    return f"{session.owner.pid}" if session.alive else f"{session.owner.pid} dead"


def _print_totals(report: StoreReport, segments: Sequence[SegmentInfo]) -> None:
    in_memory = sum(segment.size for segment in segments if not segment.spilled)
    on_disk = sum(segment.size for segment in segments if segment.spilled)
    dead = sum(not session.alive for session in report.sessions)
    text = f"{plural(len(segments), 'segment')}: {size(in_memory)} in memory, {size(on_disk)} on disk; "
    text += f"{plural(len(report.sessions), 'session')} taking {size(report.memory_bytes)} of memory"
    if dead:
        text += f"; {dead} dead, `lithops-shm gc` removes what they left"
    print(text)


def _as_json(report: StoreReport, segments: Sequence[SegmentInfo]) -> dict[str, Any]:
    return {
        "directory": report.directory,
        "spill_directory": report.spill_directory,
        "segments": [segment_as_json(segment) for segment in segments],
        "sessions": [session_as_json(session) for session in report.sessions],
        "totals": {
            "segments": len(segments),
            "size": sum(segment.size for segment in segments),
            "sessions": len(report.sessions),
            "dead_sessions": sum(not session.alive for session in report.sessions),
            "memory_bytes": report.memory_bytes,
            "spilled_bytes": report.spilled_bytes,
        },
    }


def segment_as_json(segment: SegmentInfo) -> dict[str, Any]:
    """A segment as JSON shows it."""
    return {
        "bucket": segment.bucket,
        "key": segment.key,
        "size": segment.size,
        "modified": iso_time(segment.modified_ns / 1e9),
        "session": segment.session,
        "spilled": segment.spilled,
    }


def session_as_json(session: SessionReport) -> dict[str, Any]:
    """A session as JSON shows it; what is only known of owned ones is null for the kept one."""
    owner = session.owner
    return {
        "id": session.id,
        "kept": session.id == _KEPT,
        "alive": session.alive,
        "pid": None if owner is None else owner.pid,
        "started": None if owner is None else iso_time(owner.started),
        "command": None if owner is None else owner.command,
        "segments": session.segments,
        "memory_bytes": session.memory_bytes,
        "spilled_bytes": session.spilled_bytes,
    }
