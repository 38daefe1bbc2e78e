"""PageRank of a graph of links, which is read once and stays in memory for all iterations."""

import argparse
import tempfile
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

import lithops_shm as shm
from seer_integration import Aggregate, Distinct, Job, Join, Scan, Select, Union

DAMPING = 0.85


def ranked(executor: shm.FunctionExecutor, file: str, pages: int, iterations: int) -> Any:
    """The rank of each page: a Seer job for the links, and one for each iteration."""
    job = Job(executor=executor)
    job.add("links", Scan, file=file, names=["page", "target"])
    job.add("links out", Aggregate, values={"out": "count"}, by="page")
    job.add("weighted", Join, on="page")  # (page, target, out)
    job.add("sources", Select, columns=["page"])
    job.add("targets", Select, columns={"page": "target"})
    job.add("pages", Union)
    job.add("pages", Distinct)
    pairs = [("links", "links out"), ("links", "weighted"), ("links out", "weighted")]
    pairs += [("links", "sources"), ("links", "targets"), ("sources", "pages"), ("targets", "pages")]
    for parent, child in pairs:
        job.dependency(parent, child)
    links, every = job.cache("weighted"), job.cache("pages")
    ranks = every
    for number in range(iterations):
        step = Job(executor=executor, show_progress=False)
        step.add("links", Scan, file=links)
        step.add("ranks", Scan, file=ranks)
        if number == 0:
            step.add("ranks", Select, columns={"page": "page", "rank": f"{1 / pages}"})
        step.add("given", Join, on="page")
        step.add("given", Select, columns={"page": "target", "part": "rank / out"})
        step.add("given", Aggregate, values={"parts": ("sum", "part")}, by="page")
        step.add("every", Scan, file=every)
        step.add("new", Join, on="page", how="left", strategy="broadcast")
        rank = f"{(1 - DAMPING) / pages} + {DAMPING} * COALESCE(parts, 0.0)"
        step.add("new", Select, columns={"page": "page", "rank": rank})
        for parent, child in [("links", "given"), ("ranks", "given"), ("every", "new"), ("given", "new")]:
            step.dependency(parent, child)
        ranks = step.cache("new")
    return ranks.result()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=20_000)
    parser.add_argument("--iterations", type=int, default=10)
    options = parser.parse_args()
    random = np.random.default_rng(1)
    sources = np.repeat(np.arange(options.pages), 8)
    targets = (options.pages * random.random(sources.size) ** 3).astype(int)  # some are much more popular than others
    with tempfile.NamedTemporaryFile(suffix=".csv") as file, shm.FunctionExecutor(log_level=None) as executor:
        pa.csv.write_csv(pa.table([sources, targets], ["0", "1"]), file.name, pa.csv.WriteOptions(include_header=False))
        ranks = ranked(executor, file.name, options.pages, options.iterations)
    print(ranks.nlargest(5, "rank").to_string(index=False))
    print(f"sum of all ranks: {ranks['rank'].sum():.6f}")
