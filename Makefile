# Needs make and Python 3.11 or newer; test-hapi also Java 17 and Maven, test-spark Java 17, test-deploy Debian.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.stamp-installed
SPARK := .venv/.stamp-spark
# Each of the many processes of a test run would compile everything again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help dev demo test test-hapi test-spark test-deploy test-long check format docs bench bench-hapi lock sbom clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "fhir-srs needs Python 3.11 or newer; set PYTHON=/path/to/it")'
	@echo "installing the locked environment into .venv ..." >&2
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

dev: $(STAMP) ## the environment from the lock file, and the commit hook
	@if [ -d .git ]; then mkdir -p .git/hooks && printf '#!/bin/sh\nexec make check\n' > .git/hooks/pre-commit && chmod +x .git/hooks/pre-commit; fi

demo: $(STAMP) ## the main job on the embedded server: sync twice, print the table
	@$(BIN)/fhir-srs demo

test: $(STAMP) ## the whole suite, without HAPI
	$(BIN)/pytest -q -n auto --dist worksteal

test-hapi: $(STAMP) ## the contracts and a whole sync on a real HAPI server (Java 17, Maven)
	$(BIN)/pytest -q -m hapi --timeout=600

$(SPARK): requirements-spark.lock $(STAMP)
	@echo "installing PySpark into .venv ..." >&2
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-spark.lock
	@touch $@

test-spark: $(SPARK) ## mapping on a local Spark (Java 17; downloads 430 MB once)
	SPARK_LOCAL_IP=127.0.0.1 $(BIN)/pytest -q -m spark --timeout=600

# Unpacked, not installed: the package would start a server.
.tools/usr/bin/promtool:
	@command -v promtool >/dev/null || { mkdir -p .tools && cd .tools && set -- apt-get -qq -o APT::Sandbox::User=root \
		&& { "$$@" download prometheus || { "$$@" update && "$$@" download prometheus; }; } \
		&& dpkg-deb -x prometheus_*.deb . && rm -r prometheus_*.deb usr/bin/prometheus usr/share; }

test-deploy: $(STAMP) .tools/usr/bin/promtool ## units and alert rules, by systemd-analyze and promtool (Debian's)
	$(BIN)/pytest -q -m deploy tests/deploy

test-long: $(STAMP) ## what takes minutes, and the properties searched at random
	$(BIN)/pytest -q -m long --timeout=3600
	FHIR_SRS_SEARCH=1 $(BIN)/pytest -q tests/properties --timeout=3600
	@if $(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-fuzz.lock; then \
		$(BIN)/python -m tests.fuzz.reader -max_total_time=$${FUZZ_SECONDS:-600} -verbosity=0; \
	else echo "atheris does not install here: no coverage-guided fuzzing of the reader" >&2; fi

check: $(STAMP) ## format, lint, types, direction of imports, docs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/render.py --check

format: $(STAMP) ## format and mend what ruff can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(STAMP) ## render what is generated in docs/ and the README
	$(BIN)/python docs/render.py

bench: $(STAMP) ## ratios, printed in one run
	$(BIN)/python -m benchmarks.run

bench-hapi: $(STAMP) ## ratios of pull, sync and write on a real HAPI server (Java 17, Maven)
	$(BIN)/python -m benchmarks.run_hapi

lock: ## resolve the dependencies again (needs uv)
	uv pip compile pyproject.toml --extra all --group dev --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --custom-compile-command "make lock" --quiet --upgrade -o requirements.lock
	sed -n 's/^requires = \["\(hatchling.*\)"\]/\1/p' pyproject.toml | uv pip compile pyproject.toml - \
		-c requirements.lock --universal --python-version 3.11 --no-annotate \
		--generate-hashes --no-emit-index-url --custom-compile-command "make lock" --quiet --upgrade -o requirements-run.lock
	echo 'pyspark>=4.0,<5' | uv pip compile - --universal --python-version 3.11 --no-annotate \
		--generate-hashes --no-emit-index-url --custom-compile-command "make lock" --quiet --upgrade \
		-o requirements-spark.lock
	echo 'atheris>=3.0,<4' | uv pip compile - --universal --python-version 3.11 --no-annotate \
		--generate-hashes --no-emit-index-url --custom-compile-command "make lock" --quiet --upgrade \
		-o requirements-fuzz.lock

sbom: ## the packages that are installed with fhir-srs as a CycloneDX bill of materials, on stdout
	@$(PYTHON) deploy/sbom.py

clean: ## remove the environment and what was built
	rm -rf .venv .tools dist build docker/hapi/target .mypy_cache .ruff_cache .pytest_cache .hypothesis
