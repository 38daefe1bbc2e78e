"""The price of an Asian call option by simulation: every call returns its paths' payoffs, a reducer sees all as views.

python examples/monte_carlo.py --calls 16 --paths 200000
"""

import argparse

import lithops
import numpy as np

SPOT, STRIKE, RATE, VOLATILITY, DAYS, YEAR = 100.0, 100.0, 0.03, 0.2, 60, 252  # trading days


def simulate(seed: int, paths: int) -> np.ndarray:
    """Discounted payoffs of so many paths, in USD: an array that stays where it is, in shared memory."""
    steps = np.random.default_rng(seed).standard_normal((paths, DAYS), dtype=np.float32)
    moves = (RATE - VOLATILITY**2 / 2) / YEAR + VOLATILITY / YEAR**0.5 * steps
    prices = SPOT * np.exp(np.cumsum(moves, axis=1))
    return np.asarray(np.maximum(prices.mean(axis=1) - STRIKE, 0.0) * np.exp(-RATE * DAYS / YEAR))


def estimate(results: list[np.ndarray]) -> tuple[float, float]:
    payoffs = np.concatenate(results)
    return float(payoffs.mean()), float(payoffs.std() / len(payoffs) ** 0.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls", type=int, default=16, help="how many functions (default: %(default)s)")
    parser.add_argument("--paths", type=int, default=50_000, help="paths in each (default: %(default)s)")
    options = parser.parse_args()
    executor = lithops.FunctionExecutor(storage="shm", log_level=None)
    jobs = [(seed, options.paths) for seed in range(options.calls)]
    price, error = executor.get_result(executor.map_reduce(simulate, jobs, estimate))
    print(f"{options.calls * options.paths:,} paths: {price:.4f} USD, give or take {2 * error:.4f}")


if __name__ == "__main__":
    main()
