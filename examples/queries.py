"""The three queries of the Big Data Benchmark, as jobs: selection, aggregation, join.

Its tables are made at random: rankings of pages, and visits to them (https://amplab.cs.berkeley.edu/benchmark/).
"""

import argparse
import os
import tempfile
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

import lithops_shm as shm
from seer_integration import Aggregate, Filter, Job, Join, Limit, Scan, Select


def selection(executor: shm.FunctionExecutor, rankings: str, **scan: Any) -> Job:
    """Pages of a high rank."""
    job = Job(executor=executor)
    job.add("pages", Scan, file=rankings, **scan)
    job.add("pages", Filter, action="pageRank > 1000")
    job.add("pages", Select, columns=["pageURL", "pageRank"])
    return job


def aggregation(executor: shm.FunctionExecutor, visits: str, **scan: Any) -> Job:
    """Revenue by the first eight characters of the address it came from."""
    job = Job(executor=executor)
    job.add("visits", Scan, file=visits, **scan)
    job.add("visits", Select, columns={"source": "SUBSTR(sourceIP, 1, 8)", "adRevenue": "adRevenue"})
    job.add("visits", Aggregate, values={"revenue": ("sum", "adRevenue")}, by="source")
    return job


def join(executor: shm.FunctionExecutor, rankings: str, visits: str, **scan: Any) -> Job:
    """The address with most revenue in some years, and the mean rank of the pages it visited."""
    job = Job(executor=executor)
    job.add("visits", Scan, file=visits, **scan)
    job.add("visits", Filter, action="visitDate BETWEEN DATE '1980-01-01' AND DATE '1990-01-01'")
    job.add("rankings", Scan, file=rankings, **scan)
    job.add("both", Join, on="destURL", right_on="pageURL")
    job.add("both", Aggregate, values={"revenue": ("sum", "adRevenue"), "rank": ("mean", "pageRank")}, by="sourceIP")
    job.add("both", Limit, rows=1, key="revenue", descending=True)
    job.dependency("visits", "both")
    job.dependency("rankings", "both")
    return job


def make_tables(directory: str, visits: int) -> tuple[str, str]:
    """Files of both tables; gives their patterns."""
    random = np.random.default_rng(1)
    pages = max(1, visits // 10)
    urls = [f"page-{number:07}.example/{'x' * (number % 40)}" for number in range(pages)]
    ranks = (random.pareto(1.2, pages) * 100).astype(np.int32)
    days = random.integers(0, 20_000, visits).astype("datetime64[D]")
    addresses = [".".join(map(str, parts)) for parts in random.integers(0, 256, (max(1, visits // 20), 4))]
    tables = {
        "rankings": pa.table({"pageURL": urls, "pageRank": ranks, "avgDuration": random.integers(1, 100, pages)}),
        "visits": pa.table(
            {
                "sourceIP": pa.array(addresses).take(pa.array(random.integers(0, len(addresses), visits))),
                "destURL": pa.array(urls).take(pa.array(random.integers(0, pages, visits))),
                "visitDate": days,
                "adRevenue": random.random(visits),
                "countryCode": pa.array(["ESP", "ITA", "NOR"]).take(pa.array(random.integers(0, 3, visits))),
            }
        ),
    }
    for name, table in tables.items():
        os.makedirs(f"{directory}/{name}")
        step = -(-table.num_rows // 8)
        for number in range(8):
            pa.parquet.write_table(table.slice(number * step, step), f"{directory}/{name}/{number}.parquet")
    return f"{directory}/rankings/", f"{directory}/visits/"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visits", type=int, default=200_000)
    parser.add_argument("--explain", action="store_true", help="show the plans as well")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, shm.FunctionExecutor(log_level=None) as executor:
        rankings, visits = make_tables(directory, options.visits)
        for name, job in {
            "selection": selection(executor, rankings),
            "aggregation": aggregation(executor, visits),
            "join": join(executor, rankings, visits),
        }.items():
            if options.explain:
                print(job.explain())
            summary, result = job.run(), job.result()
            print(f"{name}: {len(result):,} rows in {summary.seconds:.2f} s\n{result.head(3).to_string(index=False)}\n")
