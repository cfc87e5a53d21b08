# The most important ones are `make demo` and `make test`. Both install what they need (.ci/setup).
.DEFAULT_GOAL := help
.PHONY: help setup demo stack test check docs site bench audit images release lock clean
DEMO ?=
STACK ?=

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## Serve a simulated fleet on http://127.0.0.1:10622 (DEMO="--instances 500 --seed 2")
	@.ci/setup run
	@.venv/bin/python -m exporter demo $(DEMO)

stack: setup ## Run the demo with Prometheus, the rules, Alertmanager and a webhook (STACK="--instances 500")
	@.venv/bin/python deploy/stack/stack.py $(STACK)

setup: ## Install all development dependencies
	@.ci/setup dev

check: setup ## Run the fast checks: lint, types, generated files
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/python docs/generate.py --check
	.venv/bin/python -m grafana --check

test: check ## Run all tests, with a real Prometheus, against the built wheel, and with the newest dependencies
	.ci/test
	.ci/test-newest

docs: setup ## Regenerate all generated files
	.venv/bin/python deploy/prometheus/generate.py
	.venv/bin/python -m grafana
	.venv/bin/python docs/generate.py
	deploy/kubernetes/generate

site: ## Build the documentation site in build/site/html
	@.ci/setup site
	.venv-site/bin/python docs/stage.py build/site/pages
	NO_MKDOCS_2_WARNING=1 .venv-site/bin/mkdocs build --quiet

bench: setup ## Measure speed and memory (bench/README.md)
	.venv/bin/python -m bench

audit: setup ## Check the licences and known vulnerabilities of all pinned packages
	.ci/audit

images: setup ## Test the image and the Compose stack with a Docker engine (as root on Debian, starts one if needed)
	deploy/test-images

release: setup ## Build wheel, sdist, chart, SBOM, image and checksums into dist/
	.ci/release

lock: setup ## Update the pinned dependencies
	.ci/lock

clean: ## Remove everything that these commands have created
	rm -rf .venv .venv-vendor .venv-publishing .venv-newest .venv-site .cache build dist .coverage .mypy_cache .pytest_cache .ruff_cache .hypothesis
