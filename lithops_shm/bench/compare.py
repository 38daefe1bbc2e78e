"""Two runs beside each other."""

from __future__ import annotations

from dataclasses import dataclass

from lithops_shm.bench.results import Measurement, Results

__all__ = ["Difference", "compare", "differing", "unmatched"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One measurement of both runs."""

    first: Measurement
    second: Measurement

    @property
    def ratio(self) -> float | None:
        """The median of the second over that of the first; ``None`` when that is 0."""
        return self.second.median / self.first.median if self.first.median else None

    @property
    def overlap(self) -> bool | None:
        """Whether the ranges of the samples meet: then a ratio may be noise. ``None``: one has but one sample."""
        first, second = self.first.samples, self.second.samples
        if min(len(first), len(second)) < 2:
            return None
        return min(first) <= max(second) and min(second) <= max(first)


def compare(first: Results, second: Results) -> list[Difference]:
    """What both have measured, in the order of the first."""
    others = {each.key: each for each in second.measurements}
    return [Difference(each, others[each.key]) for each in first.measurements if each.key in others]


def unmatched(first: Results, second: Results) -> list[Measurement]:
    """What the first has measured and the second has not."""
    others = {each.key for each in second.measurements}
    return [each for each in first.measurements if each.key not in others]


def differing(first: Results, second: Results) -> list[str]:
    """What else is different between the runs, in words: the machine, and versions."""
    found = []
    for of, one, other in (("host", first.host, second.host), ("version of", first.versions, second.versions)):
        names = [name for name in dict.fromkeys([*one, *other]) if name != "load_before"]
        changed = [name for name in names if one.get(name) != other.get(name)]
        found += [f"{of} {name}: {one.get(name, 'none')}, {other.get(name, 'none')}" for name in changed]
    return found
