"""Queries by shuffles, against DuckDB; and terasort, against what was generated."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks/shuffle"))

import datasets

from lithops_shm.bench.terasort import check_sorted, generate

pytestmark = pytest.mark.usefixtures("cleaner_finishes")

PAGES, VISITS = 8_000, 60_000

QUERIES = """
import datetime, itertools, sys
import pandas as pd, pyarrow as pa, pyarrow.compute as pc, pyarrow.parquet as pq
import lithops_shm as shm
from lithops_shm import Shuffle

MAPPERS = 4
SINCE, UNTIL = datetime.date(1980, 1, 1), datetime.date(2000, 4, 1)

def part_of(name, number, columns):
    table = pq.read_table(f"{name}.parquet", columns=columns)
    share = -(-table.num_rows // MAPPERS)
    return table.slice(number * share, share)

# SELECT SUBSTR(sourceIP, 1, 8), SUM(adRevenue) ... GROUP BY ALL

def prefixes(number):
    visits = part_of("visits", number, ["sourceIP", "adRevenue"])
    return pa.table({"prefix": pc.utf8_slice_codeunits(visits["sourceIP"], 0, 8), "revenue": visits["adRevenue"]})

def summed(table):
    return table.group_by("prefix").aggregate([("revenue", "sum")]).rename_columns(["prefix", "revenue"])

def prefixes_of_pandas(number):
    return prefixes(number).to_pandas()

def summed_by_pandas(frame):
    return frame.groupby("prefix", as_index=False)["revenue"].sum()

# SELECT sourceIP, AVG(pageRank), SUM(adRevenue) FROM rankings JOIN visits ON pageURL = destURL WHERE visitDate ...

def both(name, number):
    # One schema for the rows of both tables; the other's columns are null.
    if name == "rankings":
        table = part_of(name, number, ["pageURL", "pageRank"])
        nothing = pa.nulls(table.num_rows)
        return pa.table({"url": table["pageURL"], "rank": table["pageRank"], "ip": nothing, "revenue": nothing})
    table = part_of(name, number, ["destURL", "sourceIP", "adRevenue", "visitDate"])
    table = table.filter(pc.and_(pc.greater_equal(table["visitDate"], SINCE), pc.less_equal(table["visitDate"], UNTIL)))
    nothing = pa.nulls(table.num_rows)
    return pa.table({"url": table["destURL"], "rank": nothing, "ip": table["sourceIP"], "revenue": table["adRevenue"]})

def joined(table):
    pages = table.filter(pc.is_valid(table["rank"])).select(["url", "rank"])
    visits = table.filter(pc.is_null(table["rank"])).select(["url", "ip", "revenue"])
    return visits.join(pages, "url", join_type="inner").select(["ip", "rank", "revenue"])

def handed_on(table):
    return table

def by_address(table):
    return table.group_by("ip").aggregate([("rank", "mean"), ("revenue", "sum")]).select(
        ["ip", "rank_mean", "revenue_sum"])

# SELECT countryCode, visitDate, adRevenue ... ORDER BY ALL, and the same with LIMIT

ORDER = ["countryCode", "visitDate", "adRevenue"]

def ordered(number):
    return part_of("visits", number, ORDER)

def best(table):
    return table.sort_by([("adRevenue", "descending"), ("sourceIP", "ascending")]).slice(0, 50)

def best_of_mapper(number):
    table = best(part_of("visits", number, ["adRevenue", "sourceIP"]))
    return table.append_column("all", pa.array([0] * table.num_rows))

# SELECT searchWord, COUNT(*) ... GROUP BY ALL, of Python's objects

def words(number):
    for word in part_of("visits", number, ["searchWord"])["searchWord"].to_pylist():
        yield word, 1

def counted(word, ones):
    return sum(ones)

def write(name, tables):
    tables = [pa.Table.from_pandas(each) if isinstance(each, pd.DataFrame) else each for each in tables]
    pq.write_table(pa.concat_tables(tables), f"{name}.result")

if __name__ == "__main__":
    executor = shm.FunctionExecutor(log_level=None)

    def run(mapper, data, reducer, shuffle):
        return executor.get_result(executor.map_reduce(mapper, data, reducer, shuffle=shuffle))

    everybody = range(MAPPERS)
    write("groups by hash", run(prefixes, everybody, summed, Shuffle(by="prefix", partitions=3)))
    write("groups combined", run(prefixes, everybody, summed, Shuffle(by="prefix", combiner=summed)))
    by_range = Shuffle(by="prefix", kind="range", partitions=3)
    write("groups by range", run(prefixes_of_pandas, everybody, summed_by_pandas, by_range))
    sides = list(itertools.product(("rankings", "visits"), everybody))
    for kind in ("hash", "range"):
        pairs = run(both, sides, joined, Shuffle(by="url", kind=kind, partitions=3))
        write(f"join by {kind}", run(handed_on, pairs, by_address, Shuffle(by="ip", partitions=2)))
    write("order", run(ordered, everybody, handed_on, Shuffle(by=ORDER, kind="range", sort=True, partitions=5)))
    write("top", run(best_of_mapper, everybody, best, Shuffle(by="all", partitions=1)))
    found = run(words, everybody, counted, Shuffle(combiner=counted, partitions=3))
    write("words", [pa.table(dict(zip(("word", "count"), zip(*itertools.chain(*found)))))])
"""

GROUPS = "SELECT SUBSTR(sourceIP, 1, 8) AS prefix, SUM(adRevenue) AS revenue FROM visits GROUP BY ALL"
JOIN = """SELECT sourceIP AS ip, AVG(pageRank) AS rank_mean, SUM(adRevenue) AS revenue_sum
          FROM rankings JOIN visits ON pageURL = destURL
          WHERE visitDate BETWEEN DATE '1980-01-01' AND DATE '2000-04-01' GROUP BY sourceIP"""
ANSWERS = {
    "groups by hash": GROUPS,
    "groups combined": GROUPS,
    "groups by range": GROUPS,
    "join by hash": JOIN,
    "join by range": JOIN,
    "order": "SELECT countryCode, visitDate, adRevenue FROM visits",
    "top": "SELECT adRevenue, sourceIP, 0 AS everything FROM visits ORDER BY adRevenue DESC, sourceIP LIMIT 50",
    "words": "SELECT searchWord AS word, COUNT(*) AS count FROM visits GROUP BY searchWord",
}


@pytest.fixture
def database() -> Iterator[Any]:
    with duckdb.connect(config={"threads": 2}) as connection:
        yield connection


def test_queries_give_what_duckdb_gives(run: Callable[..., str], database: Any, tmp_path: Path) -> None:
    pages = datasets.rankings(PAGES)
    for name, table in (("rankings", pages), ("visits", datasets.user_visits(VISITS, pages))):
        pq.write_table(table, tmp_path / f"{name}.parquet")
        database.execute(f"CREATE VIEW {name} AS SELECT * FROM '{tmp_path / name}.parquet'")
    run(QUERIES)
    for name, query in ANSWERS.items():
        found = pq.read_table(tmp_path / f"{name}.result")
        expected = database.sql(query).to_arrow_table()
        assert found.num_rows == expected.num_rows > 0, name
        mine, theirs = (
            each.sort_by([(column, "ascending") for column in each.column_names]) for each in (found, expected)
        )
        for mine_of, theirs_of in zip(mine.columns, theirs.columns, strict=True):
            if pa.types.is_floating(theirs_of.type):  # sums depend on the order in which they are added up
                np.testing.assert_allclose(mine_of.to_numpy(), theirs_of.to_numpy(), rtol=1e-12, err_msg=name)
            else:
                assert mine_of.cast(theirs_of.type).equals(theirs_of), name
        if name == "order":
            assert found.equals(found.sort_by([(column, "ascending") for column in found.column_names]))
        if name == "top":
            assert found["adRevenue"].to_pylist() == expected["adRevenue"].to_pylist()


TERASORT = """
import json, sys
import pyarrow as pa, pyarrow.csv, pyarrow.parquet as pq
import lithops_shm as shm

ROW, MAPPERS = 100, 6

def lines(number, path, rows):
    share = -(-rows // MAPPERS)
    with open(path, "rb") as file:
        file.seek(number * share * ROW)
        data = file.read(min(share, rows - number * share) * ROW)
    options = pa.csv.ReadOptions(column_names=["key", "value"])
    for batch in pa.csv.open_csv(pa.BufferReader(data), read_options=options):
        yield batch

def kept(table, id):
    pq.write_table(table, f"sorted-{id}.parquet")
    return table.num_rows, table.schema.names

def kept_in_batches(batches, id):
    tables = list(batches)
    return kept(pa.concat_tables(tables), id + 100)

if __name__ == "__main__":
    path, rows = sys.argv[1], int(sys.argv[2])
    executor = shm.FunctionExecutor(log_level=None)
    answers = []
    for partitions, deliver, reducer in ((5, None, kept), (None, "batches", kept_in_batches)):
        shuffle = shm.Shuffle(by="key", kind="range", sort=True, partitions=partitions, deliver=deliver)
        job = executor.map_reduce(lines, range(MAPPERS), reducer, extra_args=(path, rows), shuffle=shuffle)
        job.get_result()
        answers.append([job.summary.partitions, job.summary.rows, job.summary.skew])
    print(json.dumps(answers))
"""


def test_terasort_of_twenty_megabytes(run: Callable[..., str], tmp_path: Path) -> None:
    rows = 200_000
    checksum = generate(tmp_path / "lines.csv", rows)
    assert rows == 200_000
    first, second = json.loads(run(TERASORT, str(tmp_path / "lines.csv"), str(rows)).splitlines()[-1])
    for begin, (partitions, found, skew) in ((0, first), (100, second)):
        assert found == rows
        assert skew < 1.25
        tables = [pq.read_table(tmp_path / f"sorted-{begin + number}.parquet") for number in range(partitions)]
        check_sorted(tables, rows, checksum)
