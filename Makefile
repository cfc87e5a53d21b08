# The two that matter: `make demo` and `make test`. Both install what they need (.ci/setup).
.DEFAULT_GOAL := help
.PHONY: help setup demo stack test check docs site bench audit images release lock clean
DEMO ?=
STACK ?=

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## Serve a simulated fleet on http://127.0.0.1:10622 (DEMO="--instances 500 --seed 2")
	@.ci/setup run
	@.venv/bin/python -m exporter demo $(DEMO)

stack: setup ## The demo with Prometheus, the rules, Alertmanager and a webhook (STACK="--instances 500")
	@.venv/bin/python deploy/stack/stack.py $(STACK)

setup: ## Install all that development needs
	@.ci/setup dev

check: setup ## The fast part: lint, types, generated files
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/python docs/generate.py --check
	.venv/bin/python -m grafana --check

test: check ## All tests, with a real Prometheus, against the built wheel, and with the newest dependencies
	.ci/test
	.ci/test-newest

docs: setup ## Generate what is generated
	.venv/bin/python deploy/prometheus/generate.py
	.venv/bin/python -m grafana
	.venv/bin/python docs/generate.py
	deploy/kubernetes/generate

site: ## Build the documentation as a site in build/site/html
	@.ci/setup site
	.venv-site/bin/python docs/stage.py build/site/pages
	NO_MKDOCS_2_WARNING=1 .venv-site/bin/mkdocs build --quiet

bench: setup ## Measure speed and memory (bench/README.md)
	.venv/bin/python -m bench

audit: setup ## Licences and known vulnerabilities of all that is locked
	.ci/audit

images: setup ## Test image and compose stack with a Docker engine (started here where none is, as root on Debian)
	deploy/test-images

release: setup ## Build wheel, sdist, chart, SBOM, image and checksums into dist/
	.ci/release

lock: setup ## Pin dependencies anew
	.ci/lock

clean: ## Remove what all this has made
	rm -rf .venv .venv-vendor .venv-publishing .venv-newest .venv-site .cache build dist .coverage .mypy_cache .pytest_cache .ruff_cache .hypothesis
