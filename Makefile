# The two that matter: `make demo` and `make test`. Both install what they need (.ci/setup).
.DEFAULT_GOAL := help
.PHONY: help setup demo test check docs bench lock clean
DEMO ?=

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## Serve a simulated fleet on http://127.0.0.1:10622 (DEMO="--instances 500 --seed 2")
	@.ci/setup run
	@.venv/bin/python -m exporter demo $(DEMO)

setup: ## Install all that development needs
	@.ci/setup dev

check: setup ## The fast part: lint, types, generated files
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/python docs/generate.py --check

test: check ## All tests, with a real Prometheus and against the built wheel
	.ci/test

docs: setup ## Generate what is generated
	.venv/bin/python docs/generate.py

bench: setup ## Measure speed and memory (bench/README.md)
	.venv/bin/python -m bench

lock: setup ## Pin dependencies anew
	.ci/lock

clean: ## Remove what all this has made
	rm -rf .venv .venv-vendor .cache build dist .coverage .mypy_cache .pytest_cache .ruff_cache .hypothesis
