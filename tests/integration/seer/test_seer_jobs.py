"""Jobs end to end, their results beside DuckDB's: all operations, all shapes of graphs, sources and sinks."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from programs import ASK

pytestmark = pytest.mark.usefixtures("cleaner_finishes")

HEAD = (
    ASK
    + """
import os, sys
import duckdb, numpy as np, pandas as pd, pyarrow as pa, pyarrow.compute as pc, pyarrow.csv, pyarrow.parquet as pq
import lithops_shm as shm
from seer_integration import *
from seer_integration.errors import SeerError

HERE = sys.argv[1]

def made(name, table, rows_a_file=None):
    os.makedirs(f"{HERE}/{name}")
    step = rows_a_file or table.num_rows
    for number, begin in enumerate(range(0, table.num_rows, step)):
        pq.write_table(table.slice(begin, step), f"{HERE}/{name}/{number:03}.parquet")
    return f"{HERE}/{name}/"

random = np.random.default_rng(7)
SALES = pa.table({
    "shop": pa.array(random.integers(0, 40, 5000), mask=random.random(5000) < 0.02),
    "product": [f"p{n}" for n in random.integers(0, 300, 5000)],
    "quantity": random.integers(1, 9, 5000),
    "price": np.round(random.random(5000) * 100, 2),
})
SHOPS = pa.table({"shop": list(range(35)), "city": [["Rome", "Oslo", None][n % 3] for n in range(35)]})
STOCK = pa.table({"product": [f"p{n}" for n in range(0, 400, 2)] * 2, "weight": [n / 2 for n in range(400)]})

def job_of(stages, dependencies=(), **settings):
    job = Job(executor=executor, show_progress=False, **settings)
    for stage, operations in stages.items():
        for operation in operations:
            job.add(stage, operation)
    for parent, child in dependencies:
        job.dependency(parent, child)
    return job

def rows(table, ordered):
    found = [tuple(None if pd.isna(value) else value for value in row.values()) for row in table.to_pylist()]
    found = [tuple(round(value, 6) if isinstance(value, float) else value for value in row) for row in found]
    return found if ordered else sorted(found, key=repr)

def same(job, sql, ordered=False):
    found = job.result(library="arrow")
    sales, shops, stock = SALES, SHOPS, STOCK
    wanted = duckdb.sql(sql).to_arrow_table()
    assert found.column_names == wanted.column_names, (found.column_names, wanted.column_names)
    assert rows(found, ordered) == rows(wanted, ordered), (rows(found, ordered)[:5], rows(wanted, ordered)[:5])
    return True

def left():
    return [key for key in executor.storage.list_keys(executor.internal_storage.bucket) if "lithops-shm" in key]
"""
)

QUERIES = (
    HEAD
    + """
def selection():
    return same(job_of({0: [Scan(sales), Filter("price > 50 AND product LIKE 'p1%'"), Select(["product", "price"])]}),
                "select product, price from sales where price > 50 and product like 'p1%'")

def computed():
    job = job_of({0: [Scan(sales), Filter(pc.field("quantity") > 5),
                      Select({"product": "product", "total": "quantity * price"})]})
    return same(job, "select product, quantity * price as total from sales where quantity > 5")

def aggregation():
    values = {"total": ("sum", "price"), "n": "count", "most": ("max", "quantity"), "mean": ("mean", "price")}
    return same(job_of({0: [Scan(sales), Aggregate(values, by="shop")]}),
                "select shop, sum(price) total, count(*) n, max(quantity) most, avg(price) mean from sales group by 1")

def of_all_rows():
    return same(job_of({0: [Scan(sales), Aggregate({"n": "count", "least": ("min", "product")})]}),
                "select count(*) n, min(product) least from sales")

def of_no_rows():
    return same(job_of({0: [Scan(sales), Filter("price > 1000"), Aggregate({"n": "count", "t": ("sum", "price")})]}),
                "select count(*) n, sum(price) t from sales where price > 1000")

def sorted_rows():
    job = job_of({0: [Scan(sales), Exchange()], 1: [Sort(["shop", "price", "product", "quantity"])]}, [(0, 1)])
    return same(job, "select * from sales order by shop nulls last, price, product, quantity", ordered=True)

def first_rows():
    job = job_of({0: [Scan(sales), Limit(7, key=["price", "product"], descending=True)]})
    return same(job, "select * from sales order by price desc, product desc limit 7", ordered=True)

def first_of_sorted():
    job = job_of({0: [Scan(sales), Sort(["price", "product"]), Limit(5), Select(["price"])]})
    return same(job, "select price from sales order by price, product limit 5", ordered=True)

def distinct():
    return same(job_of({0: [Scan(sales), Distinct(["product", "quantity"])]}),
                "select distinct product, quantity from sales")

def joins():
    for how, sql in {
        "inner": "select s.*, city from sales s join shops h on s.shop = h.shop",
        "left": "select s.*, city from sales s left join shops h on s.shop = h.shop",
        "semi": "select s.* from sales s semi join shops h on s.shop = h.shop",
        "anti": "select s.* from sales s where not exists (select 1 from shops h where s.shop = h.shop)",
    }.items():
        for strategy in ("broadcast", "shuffle"):
            job = job_of({"s": [Scan(sales)], "h": [Scan(shops)], "j": [Join("shop", how=how, strategy=strategy)]},
                         [("s", "j"), ("h", "j")])
            assert same(job, sql), (how, strategy)
    return True

def keys_of_other_types():
    floats = pa.table({"key": pa.array([n / 2 for n in range(80)]), "half": list(range(80))})
    where = made("floats", floats)
    for shape in ({"h": [Scan(where)]}, {"h": [Scan(where), Transform(lambda frame: frame)]}):
        job = job_of({"s": [Scan(sales)], **shape, "j": [Join("shop", right_on="key", strategy="shuffle"),
                                                       Aggregate({"n": "count", "t": ("sum", "half")})]},
                     [("s", "j"), ("h", "j")])
        assert job.result().to_dict("records") == duckdb.query(
            "select count(*) n, sum(half) t from sales s join floats on s.shop = floats.key",
            connection=connection(floats=floats)).df().to_dict("records"), shape
    return True

def connection(**tables):
    found = duckdb.connect()
    for name, table in {"sales": SALES, **tables}.items():
        found.register(name, table)
    return found

def a_graph():
    # Two sources, a branch that is used twice, a self-join, a union, in one job.
    job = job_of(
        {
            "sales": [Scan(sales), Filter("quantity > 1")],
            "shops": [Scan(shops), Filter("city IS NOT NULL")],
            "joined": [Join("shop")],
            "by city": [Aggregate({"total": ("sum", "price")}, by="city")],
            "by product": [Aggregate({"total": ("sum", "price")}, by="product"),
                           Select({"city": "product", "total": "total"})],
            "both": [Union(), Sort(["city", "total"])],
        },
        [("sales", "joined"), ("shops", "joined"), ("joined", "by city"), ("joined", "by product"),
         ("by city", "both"), ("by product", "both")],
    )
    summary = job.run()
    scans = [stage.rows for stage in summary.stages if stage.bytes_read]
    assert sorted(scans) == [24, SALES.filter(pc.field("quantity") > 1).num_rows], scans
    return same(job, '''
        with joined as (select s.*, city from sales s join shops h on s.shop = h.shop
                        where quantity > 1 and city is not null)
        select * from (select city, sum(price) total from joined group by 1 union all
                       select product, sum(price) from joined group by 1) order by city, total''', ordered=True)

def with_itself():
    job = job_of({"a": [Scan(shops)], "j": [Join("city", how="semi")]}, [("a", "j"), ("a", "j")])
    twice = job_of({"a": [Scan(shops)], "u": [Union(), Aggregate({"n": "count"})]}, [("a", "u"), ("a", "u")])
    return (same(job, "select * from shops where city is not null"), int(twice.result()["n"][0]))

def frames():
    def doubled(frame, by):
        assert isinstance(frame, pd.DataFrame)
        return frame.assign(price=frame["price"] * by)
    def of_three(frame):
        return frame[frame["quantity"] == 3]
    def largest(frame):
        return frame.groupby("shop", dropna=False)["price"].max().reset_index()
    job = job_of({0: [Scan(sales), Transform(doubled, arguments={"by": 2}), Filter(of_three), Exchange()],
                  1: [Groupby("shop"), Reduce(largest)],
                  2: [Transform(lambda table: table, library="arrow"),
                      Aggregate({"n": "count", "t": ("sum", "price")})]},
                 [(0, 1), (1, 2)])
    return same(job, '''select count(*) n, sum(m) t from
                        (select max(price * 2) m from sales where quantity = 3 group by shop)''')

def sampled():
    job = job_of({0: [Scan(sales), Sample(0.25, seed=3)]})
    first = job.result()
    job.run()
    return bool(first.equals(job.result())) and 1000 < len(first) < 1500

def written():
    # Two sinks and a result from one scan, in every format; read again by our own Scan.
    stages = {"in": [Scan(sales, columns=["product", "price", "quantity"])]}
    for format in ("parquet", "ipc", "csv"):
        stages[format] = [Select(["product", "price"]), Write(key=f"{HERE}/out-{format}", format=format)]
    stages["all"] = [Collect()]
    job = job_of(stages, [("in", name) for name in stages if name != "in"])
    summary = job.run()
    assert len([stage for stage in summary.stages]) == 1, summary  # all in one pass
    assert len(job.result("all")) == 5000
    for format in ("parquet", "ipc", "csv"):
        back = job_of({0: [Scan(f"{HERE}/out-{format}")]})
        assert same(back, "select product, price from sales"), format
    # Into the job's own storage, and back.
    bucket = executor.internal_storage.bucket
    job_of({0: [Scan(sales), Write(bucket=bucket, key="sales-again")]}).run()
    try:
        return same(job_of({0: [Scan("sales-again/", bucket=bucket)]}), "select * from sales")
    finally:
        executor.storage.delete_objects(bucket, executor.storage.list_keys(bucket, "sales-again/"))

def cached():
    job = job_of({"s": [Scan(sales), Filter("price < 50")], "other": [Limit(1)]}, [("s", "other")])
    kept = job.cache("s")
    assert (kept.rows, kept.schema.names) == (SALES.filter(pc.field("price") < 50).num_rows, SALES.column_names)
    assert any("lithops-shm.cached" in key for key in left())
    for _ in range(2):
        assert same(job_of({0: [Scan(kept), Aggregate({"n": "count"}, by="shop")]}),
                    "select shop, count(*) n from sales where price < 50 group by shop")
    kept.release()
    assert not left()
    try:
        job_of({0: [Scan(kept)]}).run()
    except SeerError as error:
        return str(error)

def a_cache_that_fails():
    def fail(frame):
        if frame["price"].max() > 99.9:
            raise LookupError("of the function")
        return frame
    try:
        job_of({0: [Scan(sales), Transform(fail)]}).cache(0)
    except LookupError:
        return not left()

def nothing_is_left():
    return left()

if __name__ == "__main__":
    sales, shops, stock = made("sales", SALES, 1300), made("shops", SHOPS), made("stock", STOCK)
    executor = shm.FunctionExecutor(log_level=None)
    ask([selection, computed, aggregation, of_all_rows, of_no_rows, sorted_rows, first_rows, first_of_sorted, distinct,
         joins, keys_of_other_types, a_graph, with_itself, frames, sampled, written, cached, a_cache_that_fails,
         nothing_is_left])
"""
)


def test_jobs_give_what_a_database_gives(run: Callable[..., str], tmp_path: Path) -> None:
    answers = json.loads(run(QUERIES, str(tmp_path)).splitlines()[-1])
    assert answers.pop("with_itself") == [True, 70]
    assert "was released" in answers.pop("cached")
    assert answers.pop("nothing_is_left") == []
    assert answers == dict.fromkeys(answers, True)
    assert len(answers) == 16
