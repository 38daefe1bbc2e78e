"""Average trip by hour and district, of a frame that is stored once and mapped by every call.

python examples/pandas_job.py --trips 5000000
"""

import argparse

import numpy as np
import pandas as pd

import lithops_shm as shm


def make_trips(count: int) -> pd.DataFrame:
    random = np.random.default_rng(1)
    hour, district = random.integers(0, 24, count), random.integers(0, 60, count)
    return pd.DataFrame({"hour": hour, "district": district, "minutes": random.exponential(12.0, count)})


def sum_up(trips: pd.DataFrame, hours: range) -> pd.DataFrame:
    """Of a few hours: the frame is a view of shared memory, whichever process this is."""
    chosen = trips[trips["hour"].isin(hours)]
    return chosen.groupby(["hour", "district"])["minutes"].agg(["count", "mean"])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--trips", type=int, default=2_000_000, help="rows to make up (default: %(default)s)")
    trips = make_trips(parser.parse_args().trips)
    executor = shm.FunctionExecutor(log_level=None)
    futures = executor.map(sum_up, [(trips, range(start, start + 3)) for start in range(0, 24, 3)])
    summary = pd.concat(executor.get_result(futures))
    assert summary["count"].sum() == len(trips)
    print(summary.sort_values("mean", ascending=False).head(5).round(2))


if __name__ == "__main__":
    main()
