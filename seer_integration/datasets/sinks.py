"""Writing a dataset: parts under their final names, and one manifest that makes those count that do.

There is no rename. Each attempt of a task puts one object, whole, under a name that carries its run, task and
attempt; `commit` puts ``_SUCCESS``, whole, and last. So a reader sees the dataset as it was, or as it is; a run that is
killed at any point leaves what was committed before; and of two runs at the same time the last to commit wins, as a
whole.

What does not count is invisible, and removed by whoever commits or gives up next: parts that another manifest replaced,
attempts that were too late, and what runs left that died. A run that lives is known by its marker, ``_RUN-<job>.json``,
and is left alone.
"""

from __future__ import annotations

import contextlib
import errno
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from lithops_shm.sizes import size
from seer_integration.datasets.committed import MANIFEST, Committed, Part, committed, prefix_of
from seer_integration.datasets.index import INDEX, Block, Index, Indexed, manner_of
from seer_integration.datasets.location import Location, Stored, is_hidden
from seer_integration.datasets.places import Places
from seer_integration.datasets.runs import Run, marker, object_of, part_name, unfinished_by
from seer_integration.datasets.writers import ENDINGS, carried, check_compression, encoded, refused
from seer_integration.errors import DatasetError, PlanError
from seer_integration.operations import Scan

__all__ = ["Part", "Sink", "abandon", "check_schema", "commit", "prepare", "tidy", "write_part"]


@dataclass(frozen=True, slots=True)
class Sink:
    """What a run writes, and where; small, and picklable.

    Parameters
    ----------
    location:
        The prefix, or directory, of all objects; ``/`` is added.
    format:
        ``"parquet"``, ``"ipc"`` or ``"csv"``.
    compression:
        As in :class:`~seer_integration.operations.Write`.
    mode:
        ``"overwrite"`` or ``"error"``.
    index:
        Columns to index, or whether to index all.
    job:
        Unique id of the run: letters, digits, ``-``, ``_`` and ``.``.
    """

    location: Location
    format: str
    compression: str | None
    mode: str
    index: tuple[str, ...] | bool
    job: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "location", prefix_of(self.location))
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", self.job):
            raise ValueError(f"{self.job!r} is no id of a run: up to 64 letters, digits, '-', '_' and '.'")
        check_compression(self.format, self.compression)

    def at(self, name: str) -> Location:
        """Where an object of the dataset is."""
        return self.location.at(self.location.key + name)


def check_schema(sink: Sink, schema: pa.Schema) -> None:
    """Find out before anything runs whether such rows can be written, and come back the same.

    Raises
    ------
    PlanError
        When a column cannot be written in the format, or one to index does not exist.
    """
    found = refused(sink.format, schema)
    if found is not None:
        raise PlanError("Write", f"column {found[0]!r} cannot be written: {found[1]}")
    missing = [] if isinstance(sink.index, bool) else [name for name in sink.index if name not in schema.names]
    if missing:
        raise PlanError("Write", f"there is no column {missing[0]!r} to index; there are {', '.join(schema.names)}")


def prepare(sink: Sink, places: Places) -> None:
    """Announce a run, before any of its tasks; only its marker is written, which ends with :func:`commit` or
    :func:`abandon`.

    Raises
    ------
    DatasetError
        When nothing can be written there; with mode ``"error"`` also when something is there already.
    """
    if sink.mode == "error":
        dataset = committed(sink.location, places)
        if dataset is not None:
            reason = f"there is a dataset already, of {dataset.rows:,} rows in {len(dataset.parts):,} objects"
            raise DatasetError(str(sink.location), reason, _INSTEAD)
        others = [each for each in _names(sink, places) if not is_hidden(each) and object_of(each) is None]
        if others or places.head(sink.at(MANIFEST)) is not None:
            reason = f"there are objects of others already, such as {(others or [MANIFEST])[0]!r}"
            raise DatasetError(str(sink.location), reason, _INSTEAD)
    places.put(sink.at(marker(sink.job)), [Run.of_this_process(sink.job).dump()])


def write_part(
    sink: Sink,
    task: int,
    attempt: int,
    tables: Iterable[pa.Table],
    schema: pa.Schema | None,
    places: Places,
) -> Part:
    """Write one object, of no rows too; nothing of it is there until all of it is.

    Its bytes, which for uncompressed IPC are the tables' own, are in memory until then.

    Parameters
    ----------
    task, attempt:
        Of the task, both from 0; an attempt writes once.
    schema:
        What all tables are cast to; ``None``: that of the first.

    Raises
    ------
    DatasetError
        When it cannot be written, as for lack of space, or a table has other columns.
    """
    where = sink.at(part_name(task, attempt, sink.job, ENDINGS[sink.format]))
    try:
        found = encoded(sink.format, tables, schema, compression=sink.compression, columns=sink.index)
    except pa.ArrowException as error:
        todo = "give all parts the same columns, of types and values the format has; Parquet has most"
        reason = f"the rows of task {task} cannot be written as {sink.format}: {error}"
        raise DatasetError(str(where), reason, todo) from error
    try:
        nbytes = places.put(where, found.pieces)
    except DatasetError as error:
        if getattr(error.__cause__, "errno", None) not in (errno.ENOSPC, errno.EDQUOT):
            raise
        reason = f"{error.args[1]}: a part of {size(sum(map(len, found.pieces)))} was to be written"
        raise DatasetError(str(where), reason, error.args[2]) from error
    statistics = tuple(found.statistics) if sink.index else None
    return Part(where.key, found.rows, nbytes, task, attempt, found.schema, statistics)


def commit(sink: Sink, parts: Sequence[Part], schema: pa.Schema | None, places: Places) -> Committed:
    """Make parts the dataset, in place of what was there, and remove what does not count.

    Readers that began before have the old manifest. What they still have to read of its parts is gone when they ask
    for it, which they are told as an error; files and segments that they have mapped stay theirs.

    Parameters
    ----------
    parts:
        One of each task; the tasks give the order of rows.
    schema:
        Of all rows; ``None``: what the parts have in common. A column that is all null agrees with any.

    Raises
    ------
    DatasetError
        When a part is gone, the parts have different columns, or the manifest cannot be put; with mode ``"error"`` also
        when another run committed meanwhile. Then nothing is committed: call :func:`abandon`. A storage that fails so
        late that it did put the manifest is found out there.
    ValueError
        When two parts are of one task.
    """
    ordered = sorted(parts, key=lambda part: part.task)
    if len({part.task for part in ordered}) < len(ordered):
        raise ValueError(f"two parts of one task: {[part.key for part in ordered]}")
    listed = {each.key: each for each in places.find(sink.location, hidden=True)}
    counted = tuple(replace(part, version=_existing(sink, part, listed, places).version) for part in ordered)
    schema = _common(sink, counted) if schema is None else carried(schema)
    dataset = Committed(sink.location, sink.job, sink.format, schema, counted)
    index = _index_of(dataset)
    if index is not None:
        places.put(sink.at(INDEX), [index.dump(sink.location.key)])
    manifest = [dataset.dump()]
    if sink.mode == "overwrite":
        places.put(sink.at(MANIFEST), manifest)
    elif not places.put_if_absent(sink.at(MANIFEST), manifest):
        raise DatasetError(str(sink.location), "another run committed a dataset while this one ran", _INSTEAD)
    # From here on it is committed, whatever happens: what cannot be removed is invisible, and the next run's to remove.
    with contextlib.suppress(DatasetError):
        if index is None and sink.at(INDEX).key in listed:
            places.delete([sink.at(INDEX)])
        tidy(sink.location, places, over=sink.job)
    return dataset


def abandon(sink: Sink, places: Places) -> None:
    """Give a run up: its parts and its marker go, what was committed before stays. Its tasks must have ended.

    If the run did commit, though its client was told otherwise, its dataset stays.

    Raises
    ------
    DatasetError
        When objects cannot be removed.
    """
    tidy(sink.location, places, over=sink.job)


def tidy(location: Location, places: Places, *, over: str | None = None) -> int:
    """Remove what runs left that have ended or died, and does not count; gives how many objects.

    Nothing is touched but what runs wrote: their parts and markers, known by their names. A run whose process is on
    another machine is taken for alive until it is a week old.

    Parameters
    ----------
    over:
        A run that has ended, though its process lives.

    Raises
    ------
    DatasetError
        When the place cannot be read, or objects not be removed.
    """
    prefix = prefix_of(location)
    cut = len(prefix.key)
    # The order matters. A run puts its marker, then its parts, then its manifest, and then takes its marker away: so
    # who has parts here, and no marker later, has ended; and if it did by committing, that is seen after this.
    before = [each.key[cut:] for each in places.find(prefix, hidden=True)]
    later = [each.key[cut:] for each in places.find(prefix, hidden=True)]
    markers = {job: name for name, job in _objects_of_runs(later, "marker")}
    alive: set[str] = set()
    dead: set[int] = set()
    for job, name in markers.items():
        run = _run(prefix.at(prefix.key + name), places) if job != over else None
        if run is not None and not run.is_over(time.time()):
            alive.add(job)
        elif run is not None and run.is_here:
            dead.add(run.process)
    dataset = committed(prefix, places)
    counts = {part.key[cut:] for part in dataset.parts} if dataset is not None else set()
    doomed = [name for name, job in _objects_of_runs(before, "part") if job not in alive and name not in counts]
    doomed += [name for name in before if unfinished_by(name) in dead]
    ended = [name for job, name in markers.items() if job not in alive]
    # Markers go last: who is killed in between leaves a run that is known to be over.
    for names in (doomed, ended):
        places.delete([prefix.at(prefix.key + name) for name in names])
    return len(doomed) + len(ended)


_INSTEAD = "write elsewhere, or with mode='overwrite'"


def _names(sink: Sink, places: Places) -> list[str]:
    cut = len(sink.location.key)
    return [each.key[cut:] for each in places.find(sink.location, hidden=True)]


def _objects_of_runs(names: Iterable[str], kind: str) -> list[tuple[str, str]]:
    """Those of one kind, each with the job whose it is."""
    found = ((name, object_of(name)) for name in names)
    return [(name, each[1]) for name, each in found if each is not None and each[0] == kind]


def _run(where: Location, places: Places) -> Run | None:
    """The run of a marker; ``None`` when it has just ended."""
    try:
        return Run.load(places.read(where).to_pybytes())
    except DatasetError:
        if places.head(where) is None:
            return None
        raise


def _existing(sink: Sink, part: Part, listed: dict[str, Stored], places: Places) -> Stored:
    where = sink.location.at(part.key)
    found = listed.get(part.key) or places.head(where)  # a listing may lag behind
    if found is None or found.nbytes != part.nbytes:
        reason = "it is gone" if found is None else f"it has {found.nbytes:,} bytes, and {part.nbytes:,} were written"
        raise DatasetError(str(where), f"{reason}, before it was committed", "see who else writes there; run it again")
    return found


def _common(sink: Sink, parts: Sequence[Part]) -> pa.Schema:
    """The schema of all parts. Those without columns, of tasks that had no rows, agree with all."""
    found = pa.schema([])
    first: Part | None = None
    for part in parts:
        if not part.schema.names and not part.rows:
            continue
        if first is None:
            first, found = part, part.schema
            continue
        try:
            if sorted(part.schema.names) != sorted(found.names):
                raise pa.ArrowInvalid(f"the columns {', '.join(part.schema.names)}, and {', '.join(found.names)}")
            found = pa.unify_schemas([found, part.schema])
        except pa.ArrowException as error:
            reason = f"parts of tasks {first.task} and {part.task} do not go together: {error}"
            raise DatasetError(str(sink.location), reason, "give all parts the same columns and types") from error
    return found


def _index_of(dataset: Committed) -> Index | None:
    if all(part.statistics is None for part in dataset.parts):
        return None
    grouped = dataset.format != "csv"
    manner = manner_of(Scan(MANIFEST, **dataset.read_as), dataset.format)
    objects = {}
    for part in dataset.parts:
        blocks = tuple(
            Block(number if grouped else None, rows, columns)
            for number, (rows, columns) in enumerate(part.statistics or ())
        )
        objects[part.key] = Indexed(Stored(part.key, part.nbytes, part.version), manner, blocks)
    return Index(dataset.schema, objects)
