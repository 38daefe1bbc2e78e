"""Whatever rows and filters there are: what is skipped has no row that matches."""

import datetime
import tempfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seer_integration.datasets.location import Location
from seer_integration.datasets.places import Places
from seer_integration.datasets.sinks import Sink, commit, write_part
from seer_integration.datasets.sources import read, splits, survey
from seer_integration.expressions import bind, parse
from seer_integration.operations import Scan
from seer_integration.skipping import build, prune

# By column: its type, what is in it, and how SQL writes what it is compared with.
DAYS = [datetime.date(2020, 2, 27) + datetime.timedelta(days) for days in range(4)]
COLUMNS = {
    "i": (pa.int64(), st.integers(-3, 3), ["-2", "0", "1", "2.5", "NULL", "j", "i + j"]),
    "j": (pa.int8(), st.integers(-128, 127), ["-100", "0", "127", "i"]),
    "x": (
        pa.float64(),
        st.sampled_from([-1.5, -0.0, 0.0, 2.0, float("nan"), float("inf")]),
        ["0", "2", "-x", "f", "i"],
    ),
    "f": (pa.float32(), st.sampled_from([0.1, 0.5, float("nan")]), ["0.1", "0.5", "CAST(0.1 AS REAL)", "x"]),
    "s": (
        pa.large_string(),
        st.sampled_from(["", "a", "ab", "b", "\U0010ffff", "b" * 300]),
        ["'a'", "'b'", "'ab'", "''"],
    ),
    "d": (pa.date32(), st.sampled_from(DAYS), ["DATE '2020-02-28'", "'2020-02-29'", "TIMESTAMP '2020-02-28 12:00:00'"]),
    "m": (pa.decimal128(5, 2), st.integers(-9, 9).map(lambda each: Decimal(each) / 4), ["0.25", "1", "i"]),
    "c": (pa.bool_(), st.booleans(), ["TRUE", "FALSE"]),
}


@st.composite
def tables(draw: st.DrawFn) -> list[pa.Table]:
    """Two tables of a few row groups; in each group each column has few values, so that there is something to skip."""
    every = []
    for _ in range(2):
        groups = []
        for _ in range(draw(st.integers(1, 2))):
            size = draw(st.integers(1, 3))
            columns = {
                name: pa.array(draw(st.lists(st.none() | values, min_size=size, max_size=size)), kind)
                for name, (kind, values, _) in COLUMNS.items()
            }
            groups.append(pa.table(columns))
        every.append(pa.concat_tables(groups))
    return every


@st.composite
def conditions(draw: st.DrawFn, depth: int = 2) -> str:
    if depth and draw(st.booleans()):
        first, second = draw(conditions(depth - 1)), draw(conditions(depth - 1))
        return draw(st.sampled_from([f"({first} AND {second})", f"({first} OR {second})", f"NOT ({first})"]))
    column = draw(st.sampled_from(sorted(COLUMNS)))
    other = draw(st.sampled_from(COLUMNS[column][2]))
    forms = [f"{column} {operator} {other}" for operator in ("=", "<>", "<", "<=", ">", ">=")]
    forms += [f"{column} IS NULL", f"{column} IS NOT NULL", f"{column} IN ({other}, NULL)", f"{column} IN ({other})"]
    forms += ["s LIKE 'a%'", "s NOT LIKE '%b'", "c", "x / i > 0", "YEAR(d) = 2020", "LENGTH(s) > 1"]
    return draw(st.sampled_from(forms))


@pytest.fixture(scope="module")
def places() -> Iterator[Places]:
    with Places(lambda name: None) as opened:
        yield opened


@settings(max_examples=15)
@given(tables(), st.lists(conditions(), min_size=5, max_size=5), st.sampled_from(["footers", "index", "both", "ipc"]))
def test_pruned_and_filtered_is_filtered(places: Places, parts: list[pa.Table], texts: list[str], means: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        location = f"{directory}/data/"
        if means == "ipc":
            sink = Sink(Location(None, "", location), means, None, "overwrite", True, "one")
            commit(
                sink, [write_part(sink, task, 0, [part], None, places) for task, part in enumerate(parts)], None, places
            )
        else:
            Path(location).mkdir()
            for number, part in enumerate(parts):
                pq.write_table(part, f"{location}{number}.parquet", row_group_size=2, write_statistics=means != "index")
            if means != "footers":
                build(Scan(location), None if means == "index" else ["i", "s"], places, "shm")
        found = survey(Scan(location), places, "shm")
        every = pa.concat_tables(read(found.source, each, places)[0] for each in splits(found, 1 << 20, places=places))
        for text in texts:
            where = parse(text)
            kept = splits(found, 1 << 20, prune(found, where, places).kept, places=places)
            left = pa.concat_tables([every.slice(0, 0), *(read(found.source, each, places)[0] for each in kept)])
            expression = bind(where, found.source.schema)[0].to_arrow()
            assert repr(left.filter(expression).to_pydict()) == repr(every.filter(expression).to_pydict()), text
