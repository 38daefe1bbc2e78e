"""k-means: the points are read once, and stay in memory for all iterations."""

import argparse
import tempfile
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

import lithops_shm as shm
from seer_integration import Aggregate, Job, Scan, Transform

Centres = list[tuple[float, float]]


def nearest(points: pa.Table, centres: Centres) -> pa.Table:
    """The points with the number of the nearest centre, and its squared distance."""
    found = []
    for batch in points.to_batches(max_chunksize=16_384):  # blocks that stay in a CPU's cache
        x, y = batch["x"].to_numpy(), batch["y"].to_numpy()
        nearest, least = np.zeros(len(x), np.int32), np.full(len(x), np.inf)
        for number, centre in enumerate(centres):
            distance = np.square(x - centre[0])
            distance += np.square(y - centre[1])
            np.copyto(nearest, number, where=distance < least)
            np.minimum(least, distance, out=least)
        found.append(batch.append_column("centre", pa.array(nearest)).append_column("distance", pa.array(least)))
    return pa.Table.from_batches(found)


def clustered(
    executor: shm.FunctionExecutor, points: Any, centres: Centres, iterations: int, **scan: Any
) -> tuple[Centres, list[float]]:
    """The centres after some iterations, and the sum of squared distances before each."""
    distances = []
    for _ in range(iterations):
        job = Job(executor=executor, show_progress=False)
        job.add(0, Scan, file=points, **scan)
        job.add(0, Transform, action=nearest, library="arrow", arguments={"centres": centres})
        values = {"x": ("mean", "x"), "y": ("mean", "y"), "all": ("sum", "distance")}
        job.add(0, Aggregate, values=values, by="centre")
        means = job.result().sort_values("centre")
        centres = [tuple(centre) for centre in means[["x", "y"]].to_numpy()]
        distances.append(means["all"].sum())
    return centres, distances


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--iterations", type=int, default=10)
    options = parser.parse_args()
    random = np.random.default_rng(1)
    middles = random.random((5, 2)) * 10
    made = middles[random.integers(0, 5, options.points)] + random.normal(size=(options.points, 2)) / 2
    with tempfile.NamedTemporaryFile(suffix=".csv") as file, shm.FunctionExecutor(log_level=None) as executor:
        pd.DataFrame(made, columns=["x", "y"]).to_csv(file.name, index=False)
        job = Job(executor=executor)
        job.add("points", Scan, file=file.name, header=True)
        centres, distances = clustered(
            executor, job.cache("points"), [tuple(made[n]) for n in range(5)], options.iterations
        )
    print(" ".join(f"{distance:,.0f}" for distance in distances))
    print("\n".join(f"({x:.2f}, {y:.2f})" for x, y in sorted(centres)))
