"""Where the index of a source is: beside its data."""

from __future__ import annotations

from collections.abc import Collection

import pyarrow as pa

from seer_integration.datasets.committed import prefix_of
from seer_integration.datasets.index import INDEX, Index
from seer_integration.datasets.location import Location, fixed_part, is_pattern
from seer_integration.datasets.places import Places
from seer_integration.datasets.sources import Survey
from seer_integration.errors import DatasetError

__all__ = ["directory_of", "index_location", "read_index"]


def directory_of(survey: Survey) -> Location:
    """The prefix of a source; of one object, or a pattern, the one it is in. All sources in it share one index."""
    location = survey.source.location
    if any(each.key == location.key for each in survey.objects):
        key = location.key
    elif is_pattern(location.key):
        key = fixed_part(location.key)
    else:
        return prefix_of(location)
    directory, slash, _ = key.rpartition("/")
    return location.at(directory + slash)


def index_location(survey: Survey) -> Location:
    """Of its index."""
    directory = directory_of(survey)
    return directory.at(directory.key + INDEX)


def read_index(survey: Survey, places: Places, columns: Collection[str], at: Location | None = None) -> Index | None:
    """What the index says of some columns; ``None`` when there is none, or it cannot be read or is damaged.

    Parameters
    ----------
    at:
        Where it is, if not beside the data.
    """
    wanted = pa.schema([survey.source.schema.field(name) for name in columns])
    where = at or index_location(survey)
    try:
        if places.head(where) is None:
            return None
        return Index.load(places.read(where).to_pybytes(), directory_of(survey).key, wanted)
    except DatasetError:  # it is only for speed
        return None
