"""The fluent form of a job, for those who think in map, combine, shuffle and reduce."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from seer_integration.cached import Cached
from seer_integration.errors import PlanError
from seer_integration.job import Job
from seer_integration.operations import Operation, Scan, Union
from seer_integration.operations.records import MapRecords, PickleRecords, Records, ReducePairs, Values, unpickled

__all__ = ["Pipeline", "merge"]


class Pipeline:
    """Records, and what is done to them; nothing runs before :meth:`result`. Each method gives a new pipeline.

    Parameters
    ----------
    source:
        A Scan, whose rows are records (of one column its values, else a dict for each row); what :meth:`Job.cache`
        gave; a text: the files, or objects, whose lines are records; or any number of Python objects.

    Examples
    --------
    >>> lines = Pipeline(["to be or not to be", "that is the question"])
    >>> words = lines.map(lambda line: [(word, 1) for word in line.split()])
    >>> counts = words.reduce(lambda word, ones: sum(ones), 2)
    >>> dict(counts.result())["be"]  # doctest: +SKIP
    2
    """

    def __init__(self, source: Scan | Cached | str | Iterable[Any]) -> None:
        operations: tuple[Operation, ...]
        if isinstance(source, Scan):
            operations = source, Records()
        elif isinstance(source, Cached):
            operations = Scan(source), Records()
        elif isinstance(source, str):
            # A line is a CSV's row of one text: nothing separates values, and nothing encloses them.
            operations = Scan(source, format="csv", types=["str"], delimiter="\x1f", quote=None), Records()
        else:
            operations = (Values(list(source)),)
        self._set(operations, ())

    def map(self, function: Callable[[Any], Any]) -> Pipeline:
        """Call a function with each record: what it yields, or returns in a list, are the new records."""
        return self._then(MapRecords(function))

    def combine(self, function: Callable[[Any, list[Any]], Any]) -> Pipeline:
        """Reduce pairs before they travel, with ``function(key, values)``, which gives one value of the same kind."""
        return self._with(combiner=function)

    def shuffle(self, partition: Callable[[list[Any], int], Any]) -> Pipeline:
        """Choose the reducer of each key: ``partition(keys, n)`` gives each of a list a number from 0 up to n."""
        return self._with(partition=partition)

    def reduce(self, function: Callable[[Any, list[Any]], Any], n: int | None = None) -> Pipeline:
        """Call ``function(key, values)`` for each key, in `n` reducers; the new records are (key, result) pairs.

        Without :meth:`combine` nothing is combined: a reduce function need not give what it takes.
        """
        found = self._then(ReducePairs(function, n, self._shuffle.get("partition"), self._shuffle.get("combiner")))
        found._shuffle = {}
        return found

    def job(self, **settings: Any) -> Job:
        """The job that this is.

        Parameters
        ----------
        settings:
            As :class:`Job` takes them.
        """
        if self._shuffle:
            waiting = " and a ".join(self._shuffle)
            raise PlanError("pipeline", f"it has a {waiting} and no reduce after that; add one")
        job = Job(**settings)
        names: dict[int, str] = {}
        last = self._add_to(job, names)
        job.add(last, PickleRecords())
        return job

    def explain(self, **settings: Any) -> str:
        """The plan; see :meth:`Job.explain`."""
        with self.job(**settings) as job:
            return job.explain()

    def result(self, **settings: Any) -> list[Any]:
        """Run it; gives all records, by reducer, as Python objects.

        Parameters
        ----------
        settings:
            As :class:`Job` takes them: ``lithops_config``, ``executor``, ``confidential``, ...
        """
        with self.job(**settings) as job:
            return unpickled(job.result(library="arrow"))

    def _set(self, operations: Sequence[Operation], parents: Sequence[Pipeline]) -> None:
        self._operations = tuple(operations)
        self._parents = tuple(parents)
        self._shuffle: dict[str, Callable[..., Any]] = {}

    def _then(self, operation: Operation) -> Pipeline:
        found = object.__new__(Pipeline)
        found._set((operation,), (self,))
        found._shuffle = self._shuffle
        return found

    def _with(self, **shuffle: Callable[..., Any]) -> Pipeline:
        found = object.__new__(Pipeline)
        found._set(self._operations, self._parents)
        found._shuffle = {**self._shuffle, **shuffle}
        return found

    def _add_to(self, job: Job, names: dict[int, str]) -> str:
        """Add its stages, each once, however many pipelines begin with them; gives the name of the last."""
        if id(self) in names:
            return names[id(self)]
        parents = [parent._add_to(job, names) for parent in self._parents]
        name = names[id(self)] = f"{len(names)}"
        for operation in self._operations:
            job.add(name, operation)
        for parent in parents:
            job.dependency(parent, name)
        return name


def merge(pipelines: Sequence[Pipeline]) -> Pipeline:
    """The records of several pipelines as those of one; the pipelines run at the same time."""
    found = object.__new__(Pipeline)
    found._set((Union(),), pipelines)
    return found
