# make install: the packages, into .venv (6 GB); nothing is run.
# make run: the embedded demo from nothing to results/report/index.html.   make test: every test that needs no cluster or browser.   make lint: linters.
# make test-cluster: the tests of a cluster, on a SLURM of one machine that is installed and started for them (root, apt-get).
# make test-browser: the report and the gallery in Chromium, which is installed for them (root, apt-get).
# make test-stacks: an export read by other training stacks, Ultralytics and mmsegmentation among them (EXPORT=results/exports/trainset: this one).
# make explain FILE=results/tables/gain.csv: what made a file, and why it would be made again (CONFIG="my.yaml": overlays; DEEP=1: all of it).
# make regenerate EXPORT=results/exports/trainset INDEX=17: that pair made again, and compared (WEIGHTS=..., OUT=folder).
# make reference: docs/configuration.md from the schema and the paper's preset (a test compares them).
# make chaos: jobs and workflow are killed at random and every output compared with a clean run's (KILLS=25 SEED=0; Linux).
# make bench: ratios to other ways of doing the same work (BENCH=--quick: two minutes).
PYTHON ?= python3
BIN := .venv/bin
SOURCES := satsynth workflow_scripts tests benchmarks
CORES ?= all
KILLS ?= 25
SEED ?= 0

.PHONY: help install run test test-cluster test-browser test-stacks lint explain reference regenerate chaos bench clean-state

help:
	@sed -n '/^#/!q;s/^# //p' Makefile

install: .venv/run.lock

run: .venv/run.lock
	$(BIN)/snakemake --cores $(CORES) --resources gpu=4
	@echo "Look at results/report/index.html; tables are in results/tables, figures in results/figures."

test: .venv/run.lock .venv/test.lock
	$(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

# Where SLURM cannot be had, the tests say so and are skipped. The daemons are children of the tests and end with them, however they end.
test-cluster: .venv/run.lock .venv/test.lock
	-$(BIN)/python tests/cluster/one_machine_slurm.py install
	$(BIN)/python -m pytest tests/cluster

# Where Chromium cannot be had, the tests say so and are skipped.
test-browser: .venv/run.lock .venv/test.lock
	-$(BIN)/python tests/browser/chromium.py install
	$(BIN)/python -m pytest tests/browser

# They are installed into a folder of their own, which nothing else sees.
test-stacks: .venv/stacks.lock
	$(BIN)/python -m tests.stacks $(EXPORT)

lint: .venv/run.lock .venv/test.lock
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint

chaos: .venv/run.lock .venv/test.lock
	$(BIN)/python -m tests.chaos --kills $(KILLS) --seed $(SEED)

bench: .venv/run.lock .venv/test.lock .venv/bench.lock
	$(BIN)/python -m benchmarks $(BENCH)

explain: .venv/run.lock
	@$(BIN)/python -m workflow_scripts.explain $(FILE) $(if $(DEEP),--deep) $(if $(CONFIG),--configfile $(CONFIG))

reference: .venv/run.lock
	$(BIN)/python -m workflow_scripts.write_reference

regenerate: .venv/run.lock
	@$(BIN)/python -m workflow_scripts.regenerate $(EXPORT) $(INDEX) $(if $(WEIGHTS),--weights $(WEIGHTS)) $(if $(OUT),--out $(OUT))

clean-state: .venv/run.lock
	$(BIN)/python -m satsynth.runtime.state prune results/state

.venv/run.lock: envs/requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "satsynth needs Python 3.11 or later: make run PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r envs/requirements.txt
	touch $@

.venv/test.lock: envs/requirements-test.txt .venv/run.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r envs/requirements-test.txt
	touch $@

.venv/stacks.lock: envs/requirements-stacks.txt .venv/test.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target .venv/stacks -r envs/requirements-stacks.txt
	touch $@

.venv/bench.lock: envs/requirements-bench.txt .venv/test.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r envs/requirements-bench.txt
	touch $@
