"""``lithops-shm gc``: take back what dead sessions left."""

from __future__ import annotations

import argparse
import sys

from lithops_shm.cli import configuration
from lithops_shm.cli.ls import segment_as_json, session_as_json
from lithops_shm.cli.terminal import escaped, plural, print_json
from lithops_shm.sizes import size
from lithops_shm.store import Reclaimed, SessionReport, inspect, reclaim
from lithops_shm.store.layout import KEPT

__all__ = ["run"]


def run(options: argparse.Namespace) -> int:
    """Reclaim, or say what that would do; always 0."""
    settings = configuration.store_settings(*configuration.load(options.config), options.directory)
    before = inspect(settings)
    kept = [segment for segment in before.segments if options.kept and segment.session == KEPT]
    if not options.json and kept:
        print(f"{plural(len(kept), 'kept object')}:")
        for segment in kept:
            print(f"  {escaped(segment.bucket)}/{escaped(segment.key)}  {size(segment.size)}")
        # Named before they go: when nobody can read the names, nothing is removed.
        sys.stdout.flush()
    reclaimed = reclaim(settings, dry_run=options.dry_run, kept=options.kept)
    known = {session.id: session for session in before.sessions}
    if options.json:
        print_json(
            "gc",
            {
                "directory": before.directory,
                "spill_directory": before.spill_directory,
                "dry_run": options.dry_run,
                "sessions": [
                    session_as_json(known[name]) if name in known else {"id": name} for name in reclaimed.sessions
                ],
                "segments": reclaimed.segments,
                "memory_bytes": reclaimed.memory_bytes,
                "spilled_bytes": reclaimed.spilled_bytes,
                "kept_segments": [segment_as_json(segment) for segment in kept],
            },
        )
    else:
        _print(reclaimed, known, dry_run=options.dry_run)
    return 0


def _print(reclaimed: Reclaimed, known: dict[str, SessionReport], *, dry_run: bool) -> None:
    if not reclaimed.sessions and not reclaimed.memory_bytes and not reclaimed.spilled_bytes:
        print("nothing to reclaim")
        return
    for name in reclaimed.sessions:
        session = known.get(name)
        if session is None:
            print(f"  {name}")
            continue
        owner = "" if session.owner is None else f", pid {session.owner.pid}: {escaped(session.owner.command)}"
        print(f"  {name}: {plural(session.segments, 'segment')}, {size(session.memory_bytes)} of memory, "
              f"{size(session.spilled_bytes)} on disk{owner}")  # fmt: skip
    print(
        f"{'would remove' if dry_run else 'removed'} {plural(len(reclaimed.sessions), 'session')} with "
        f"{plural(reclaimed.segments, 'segment')}: {size(reclaimed.memory_bytes)} of memory, "
        f"{size(reclaimed.spilled_bytes)} on disk"
    )
