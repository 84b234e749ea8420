# "make" or "make help" lists what there is. All of it happens in .venv; nothing is installed outside this folder.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-fast bench bench-scale docs lint chart image format lock clean

PYTHON ?= python3
version := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
IMAGE ?= poddnat:$(version)
bin := .venv/bin
workers := -n 2 --dist loadfile
pip := $(bin)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/runtime ## Show what pods would get, without cluster or cloud
	@$(bin)/poddnat simulate \
	  -f metacontroller/examples/deployment.yaml -f metacontroller/examples/statefulset.yaml \
	  -f metacontroller/examples/game-servers.yaml -f metacontroller/examples/fixed.yaml \
	  --values metacontroller/examples/values.yaml

test: .venv/dev ## Run all tests, some of them with helm on a real API server (built with Go at the first time)
	@tests/controlplane/build >/dev/null
	@tests/chart/build >/dev/null
	$(bin)/pytest $(workers)

test-fast: .venv/dev ## Run the tests that need no API server
	$(bin)/pytest $(workers) -m "not controlplane"

bench: .venv/dev ## Measure how fast pods get their ports
	$(bin)/python -m tests.bench

bench-scale: .venv/dev ## Measure a thousand pods on a real API server, created and deleted
	$(bin)/python -m tests.bench.scale

sphinx := $(bin)/sphinx-build -q -n -W --keep-going -c docs/site

docs: .venv/docs ## Build a site from docs/, in build/site; a dead link is an error
	@rm -rf build/site && mkdir -p build/site && cp docs/site/index.html build/site/
	$(sphinx) docs/en build/site/en
	$(sphinx) -D language=zh_CN docs/zh build/site/zh

lint: .venv/dev ## Check style, types, import layers, shell scripts, and the Dockerfile
	$(bin)/ruff check
	$(bin)/ruff format --check
	$(bin)/mypy
	$(bin)/lint-imports
	$(bin)/shellcheck .ci/run tests/controlplane/build tests/chart/build tests/image/build tests/image/base
	$(bin)/hadolint Dockerfile

# Brings the Helm chart up to date with the manifests and the schema, and writes its golden render.
chart: .venv/dev
	$(bin)/python -m tests.chart.sources

# make image IMAGE=registry.example.com/poddnat:0.1.0 BASE_IMAGE=mirror.example.com/python:3.11-slim \
#   PIP_INDEX_URL=https://mirrors.aliyun.com/pypi/simple/
image: ## Build the container image, where docker, podman or buildah is
	@tests/image/build "$(IMAGE)" $(foreach name,BASE_IMAGE PIP_INDEX_URL,$(if $($(name)),--build-arg $(name)="$($(name))")) \
	  --label org.opencontainers.image.version="$(version)" \
	  --label org.opencontainers.image.revision="$$(git rev-parse HEAD 2>/dev/null)"

format: .venv/dev ## Put the code into the one format
	$(bin)/ruff check --fix
	$(bin)/ruff format

lock: .venv/dev ## Pin the dependencies anew, in requirements.txt and those of dev and docs
	$(bin)/uv pip compile -q --generate-hashes --no-header --no-annotate --python-version 3.11 \
	  pyproject.toml -o requirements.txt
	$(bin)/uv pip compile -q --generate-hashes --no-header --no-annotate --python-version 3.11 \
	  --extra dev -c requirements.txt pyproject.toml -o requirements-dev.txt
	$(bin)/uv pip compile -q --generate-hashes --no-header --no-annotate --python-version 3.11 \
	  --extra docs -c requirements-dev.txt pyproject.toml -o requirements-docs.txt

clean: ## Remove .venv and everything that was made
	rm -rf .venv build .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A virtual environment knows its own place: in a folder that was moved, it is made anew.
ifeq ($(shell test -s .venv/created && test "$$(cat .venv/created)" != "$(CURDIR)" && echo moved),moved)
.PHONY: .venv/created
endif

# The code is found where it is, through a path file, so that this needs no build tools and no second install.
.venv/created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "poddnat needs Python 3.11 or newer; this is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -m venv --clear .venv
	@printf '%s\n' "$(CURDIR)" "$(CURDIR)/lib" > "$$($(bin)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/poddnat.pth"
	@for program in 'poddnat:-m poddnat' \
	    'kubectl-poddnat:-c "from poddnat.cli import plugin; plugin()"' \
	    'kubectl_complete-poddnat:-c "from poddnat.cli import complete_plugin; complete_plugin()"'; do \
	  printf '#!/bin/sh\npython="%s/python"\n[ -x "$$python" ] || { echo "this folder was moved; run make demo in it, once" >&2; exit 1; }\nexec "$$python" %s "$$@"\n' \
	    "$(CURDIR)/$(bin)" "$${program#*:}" > "$(bin)/$${program%%:*}"; done
	@chmod +x $(bin)/poddnat $(bin)/kubectl-poddnat $(bin)/kubectl_complete-poddnat
	@echo "$(CURDIR)" > $@

.venv/runtime: requirements.txt .venv/created
	@echo "Installing what poddnat needs into .venv ..." >&2
	@$(pip) requirements.txt
	@touch $@

.venv/dev: requirements-dev.txt .venv/created
	@echo "Installing what poddnat and its tests need into .venv ..." >&2
	@$(pip) requirements-dev.txt
	@touch $@ .venv/runtime

.venv/docs: requirements-docs.txt .venv/created
	@echo "Installing what builds the site into .venv ..." >&2
	@$(pip) requirements-docs.txt
	@touch $@
