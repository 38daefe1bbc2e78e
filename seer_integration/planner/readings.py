"""How the sources of a job are read: what is there, what of it is needed, and in how many pieces."""

from __future__ import annotations

from seer_integration.datasets.places import Places
from seer_integration.datasets.sources import Split, Survey, splits
from seer_integration.expressions import Expression
from seer_integration.planner.logical import Columns, Node
from seer_integration.planner.plan import Reading
from seer_integration.skipping import prune

__all__ = ["reading_of", "split"]

# A task reads no less, if there is more than one: starting it takes as long as parsing some megabytes. And no more: two
# of them are parsed at once, and hold two to three times as much, in the memory of any machine.
_LEAST_BYTES = 8 << 20
_MOST_BYTES = 128 << 20
_TASKS_A_SLOT = 4


def reading_of(scan: Node, survey: Survey, where: Expression | None, needed: Columns, places: Places) -> Reading:
    """The reading of a source, of which the columns `needed` are used, of rows that are `where`.

    Raises
    ------
    DatasetError
        When an index or a footer is there and cannot be read.
    """
    assert scan.schema is not None
    columns = [name for name in scan.schema.names if needed is None or name in needed]
    columns = columns or scan.schema.names[:1]  # rows that are only counted need one to be counted by
    wanted = None if columns == survey.source.schema.names else tuple(columns)
    kept: dict[str, object] | None = None
    nbytes, note = survey.nbytes, ""
    if where is not None and survey.source.scan.index:
        pruned = prune(survey, where, places)
        if pruned.means:
            kept, nbytes, note = dict(pruned.kept), pruned.bytes_after, str(pruned)
    return Reading(survey, wanted, where, kept, nbytes, note)


def split(reading: Reading, slots: int, places: Places) -> list[Split]:
    """A piece for each task: a few for each slot, of bounded size; one of nothing where there is nothing to read."""
    target = min(max(reading.nbytes // (slots * _TASKS_A_SLOT), _LEAST_BYTES), _MOST_BYTES)
    found = splits(reading.survey, target, reading.kept, places=places)
    return found or [Split(())]
