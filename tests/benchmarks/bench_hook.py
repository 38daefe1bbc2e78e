"""What the import hook adds to the start of every interpreter, measured from outside.

python tests/benchmarks/bench_hook.py --repeat 200

Virtual environments without packages are made; one has `lithops_shm.pth` and the package, with its bytecode, as a
wheel install has. `python -c pass` runs in it and in one without in turn, the order changing every time, so that a
machine that slows down slows both. The difference includes every module the line in the .pth file pulls in, which
timing the line inside a running interpreter does not: most are loaded by then. Beside it, what a .pth file costs whose
line does nothing.
"""

from __future__ import annotations

import argparse
import compileall
import os
import platform
import shutil
import statistics
import subprocess
import tempfile
import time
import venv
from dataclasses import dataclass
from pathlib import Path

import lithops_shm

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class HookCost:
    """Start-up times in milliseconds, and the modules the hook loaded.

    Parameters
    ----------
    without, with_hook:
        Medians of `python -c pass`.
    added:
        Median of the differences of neighbouring runs, with its quartiles `low` and `high`.
    empty:
        Median of what a .pth file adds whose line is ``import sys``.
    noise:
        Median difference of two environments that are both without it, from the same number of runs.
    modules:
        What a start with the hook loads and a start without does not.
    """

    without: float
    with_hook: float
    added: float
    low: float
    high: float
    empty: float
    noise: float
    modules: tuple[str, ...]


def bench_hook(repeat: int = 200) -> HookCost:
    """Measure the hook over `repeat` alternated pairs of interpreter starts."""
    with tempfile.TemporaryDirectory(prefix="bench-hook-") as place:
        plain, hooked = _environment(Path(place, "plain")), _environment(Path(place, "hooked"), hook=True)
        empty, other = _environment(Path(place, "empty")), _environment(Path(place, "other"))
        _site(empty).joinpath("empty.pth").write_text("import sys\n")
        modules = tuple(sorted(_modules(hooked) - _modules(plain)))
        for python in (plain, hooked, empty, other):
            for _ in range(10):
                _start(python)
        pairs = _alternate(plain, hooked, repeat)
        does_nothing = [second - first for first, second in _alternate(plain, empty, repeat)]
        noise = [second - first for first, second in _alternate(plain, other, repeat)]
        differences = [second - first for first, second in pairs]
        low, median, high = statistics.quantiles(differences, n=4)
        return HookCost(
            without=statistics.median(first for first, _ in pairs),
            with_hook=statistics.median(second for _, second in pairs),
            added=median,
            low=low,
            high=high,
            empty=statistics.median(does_nothing),
            noise=statistics.median(noise),
            modules=modules,
        )


def _environment(path: Path, *, hook: bool = False) -> Path:
    """A virtual environment without pip; its interpreter."""
    venv.create(path, with_pip=False)
    python = path / "bin" / "python"
    if hook:
        site = _site(python)
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(Path(lithops_shm.__file__).parent, site / "lithops_shm", ignore=ignore)
        shutil.copy(ROOT / "lithops_shm.pth", site)
        compileall.compile_dir(site / "lithops_shm", quiet=1)
    return python


def _site(python: Path) -> Path:
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    return Path(subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip())


def _environ() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}


def _modules(python: Path) -> set[str]:
    command = [str(python), "-c", "import sys; print(*sys.modules)"]
    return set(subprocess.run(command, check=True, capture_output=True, text=True, env=_environ()).stdout.split())


def _start(python: Path) -> float:
    started = time.perf_counter()
    subprocess.run([str(python), "-c", "pass"], check=True, env=_environ())
    return (time.perf_counter() - started) * 1e3


def _alternate(first: Path, second: Path, repeat: int) -> list[tuple[float, float]]:
    pairs = []
    for number in range(repeat):
        if number % 2:
            late = _start(second)
            pairs.append((_start(first), late))
        else:
            early = _start(first)
            pairs.append((early, _start(second)))
    return pairs


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeat", type=int, default=200, help="pairs of interpreter starts (default: %(default)s)")
    cost = bench_hook(parser.parse_args().repeat)
    print(f"Python {platform.python_version()}: {cost.without:.2f} ms without, {cost.with_hook:.2f} ms with the hook")
    print(f"added by the hook: {cost.added:.3f} ms, quartiles [{cost.low:.3f}, {cost.high:.3f}]")
    print(f"added by a .pth file that does nothing: {cost.empty:.3f} ms")
    print(f"the same measurement of two environments without it: {cost.noise:.3f} ms")
    print(f"modules it loads: {', '.join(cost.modules) or 'none'}")


if __name__ == "__main__":
    main()
