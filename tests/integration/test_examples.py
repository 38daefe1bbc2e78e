"""The examples run, are short, and are right."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHORT = ("pandas_job", "monte_carlo", "word_count")


def run(name: str, environment: dict[str, str], *arguments: object) -> str:
    command = [sys.executable, str(ROOT / "examples" / f"{name}.py"), *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", SHORT)
def test_they_fit_on_a_screen_and_explain_themselves(name: str, environment: dict[str, str]) -> None:
    assert len((ROOT / "examples" / f"{name}.py").read_text().splitlines()) < 40
    assert "usage:" in run(name, environment, "--help")


def test_pandas(environment: dict[str, str]) -> None:
    """It compares the sum of all parts with the whole by itself."""
    table = [line.split() for line in run("pandas_job", environment, "--trips", 200_000).splitlines() if line.strip()]
    means = [float(row[-1]) for row in table[2:]]
    assert len(means) == 5
    assert means == sorted(means, reverse=True)


def test_monte_carlo(environment: dict[str, str]) -> None:
    price = re.search(r"80,000 paths: ([\d.]+) USD", run("monte_carlo", environment, "--calls", 4, "--paths", 20_000))
    assert price is not None
    assert 2.3 < float(price[1]) < 2.6  # by a million paths of another program: 2.456


def test_word_count(environment: dict[str, str], tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / f"{number}.txt").write_text("one line with some Words, and words\n" * 50_000)
    found = run("word_count", environment, tmp_path / "0.txt", tmp_path / "1.txt", "--top", 2)
    assert [line.split() for line in found.splitlines() if line.strip()] == [["200000", "words"], ["100000", "one"]]


def test_page_rank(environment: dict[str, str]) -> None:
    """All ranks together are 1, whatever the graph; popular pages come first."""
    lines = run("pagerank", environment, "--pages", 200, "--iterations", 2).splitlines()
    assert lines[-1] == "sum of all ranks: 1.000000"
    assert lines[1].split()[0] == "0"


def test_k_means(environment: dict[str, str]) -> None:
    """Distances to the nearest centre never grow."""
    first = run("kmeans", environment, "--points", 2_000, "--iterations", 3).splitlines()[0]
    distances = [int(each.replace(",", "")) for each in first.split()]
    assert len(distances) == 3
    assert distances == sorted(distances, reverse=True)


def test_queries(environment: dict[str, str]) -> None:
    """That results are right is a benchmark's to check, beside DuckDB's; here, that there are some."""
    found = run("queries", environment, "--visits", 4_000, "--explain")
    counts = [int(count) for count in re.findall(r"^\w+: (\d+) rows", found, re.MULTILINE)]
    assert len(counts) == 3
    assert min(counts) == counts[2] == 1
    assert 'only rows where "pageRank" > 1000' in found
