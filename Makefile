# The project's commands. They need nothing but Python 3.11 or later and a package index.

PYTHON ?= python3
UV_VERSION := 0.13.9
BIN := .venv/bin
PACKAGES := router distill policies

LOCK_HEADER := \
	'\# Everything that `make` installs, with the hashes of every file on the public index.' \
	'\# Made from pyproject.toml by `make lock`; do not edit.' \
	'\# torch is in requirements-train.txt, pinned by version only: its builds for CPU and CUDA' \
	'\# share a version and not a hash, and the reader chooses between them.'

.PHONY: demo test test-long train-env conformance vllm lint audit bench lock clean

# `make demo ARGS="--headless --out FILE"` ends by itself; `tutelage demo --help` has the rest.
demo: .venv/stamp
	$(BIN)/tutelage demo $(ARGS)

# One process more than there are cores, since many tests wait for a server.
WORKERS = $(shell $(BIN)/python -c 'import os; print((os.cpu_count() or 1) + 1)')
test: .venv/stamp
	$(BIN)/pytest -n $(WORKERS) --dist loadfile -m "not long and not train" tests \
		--cov --cov-report=term $(ARGS)

test-long: .venv/stamp
	sh tests/setup-long.sh
	$(BIN)/python -m benchmarks.vllm
	$(BIN)/pytest -m "long and not train" tests $(ARGS)
	OMP_NUM_THREADS=1 "$$(sh tests/setup-train.sh)/bin/python" -m pytest -m train tests/train $(ARGS)
	"$$(sh tests/setup-train.sh)/bin/python" -m tests.supply --offline

# torch and what goes with it, outside the clone; prints the environment's folder.
train-env:
	@sh tests/setup-train.sh

# OpenAI's own tests of its client and compatcanary's probes, against the gateway.
conformance: .venv/stamp
	sh tests/conformance/setup.sh
	$(BIN)/python -m tests.conformance

# Minutes the first time, then nothing: see benchmarks/vllm/environment.py.
vllm: .venv/stamp
	$(BIN)/python -m benchmarks.vllm

lint: .venv/stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(PACKAGES)
	$(BIN)/lint-imports

# Pins, hashes and licences of all that is installed, and known vulnerabilities where the package
# index tells of them. `make audit ARGS=--list` names every licence, `ARGS=--offline` asks nobody.
audit: .venv/stamp
	$(BIN)/python -m tests.supply $(ARGS)

# One measurement alone: `make bench BENCHMARKS=benchmarks.gateway.overhead ARGS="--pairs 500"`.
BENCHMARKS ?= benchmarks.gateway.overhead benchmarks.gateway.footprint \
	benchmarks.gateway.streams benchmarks.gateway.memory \
	benchmarks.gateway.ledger benchmarks.gateway.budget benchmarks.gateway.journal benchmarks.replay.seeds \
	benchmarks.replay.repetition benchmarks.promise.budget benchmarks.promise.frontier \
	benchmarks.promise.simulation benchmarks.promise.pooling benchmarks.frontier.sidebyside \
	benchmarks.frontier.rungs benchmarks.promise.held \
	benchmarks.appraise.against_live \
	benchmarks.learning.targeted benchmarks.learning.preserved benchmarks.learning.claim

bench: .venv/stamp
	set -e; for module in $(BENCHMARKS); do $(BIN)/python -m $$module $(ARGS); done

# The environment is built anew whenever what it is made of changes.
.venv/stamp: requirements.lock pyproject.toml
	rm -rf .venv
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --require-hashes -r requirements.lock
	$(BIN)/pip install --no-deps --no-build-isolation -e .
	touch $@

# Resolves pyproject.toml against the public index alone, whatever index this machine has set.
# Pins that still fit are kept: `make lock ARGS=--upgrade` moves all, `ARGS="-P NAME"` one.
# requirements-serve.lock is what a server needs and nothing of development, for deploy/Dockerfile:
# constrained by the other, so that what is deployed is what was tested.
COMPILE := .cache/lock/bin/uv pip compile pyproject.toml --no-config --universal \
	--python-version 3.11 --fork-strategy fewest --no-strip-extras --generate-hashes --no-header --quiet
lock:
	test -x .cache/lock/bin/uv || $(PYTHON) -m venv .cache/lock
	.cache/lock/bin/pip install --quiet uv==$(UV_VERSION)
	$(COMPILE) --extra dev --output-file requirements.lock $(ARGS)
	$(COMPILE) --extra postgres --extra redis --extra otel --constraints requirements.lock \
		--output-file requirements-serve.lock
	{ printf '%s\n' $(LOCK_HEADER); grep -v '^#' requirements.lock; } > requirements.lock.new
	mv requirements.lock.new requirements.lock
	{ echo '# What a server needs, from requirements.lock by `make lock`; do not edit.'; \
		grep -v '^#' requirements-serve.lock; } > requirements-serve.lock.new
	mv requirements-serve.lock.new requirements-serve.lock

clean:
	rm -rf .venv .cache .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache \
		.ruff_cache build dist
	find $(PACKAGES) tests -type d -name __pycache__ -prune -exec rm -rf {} +
