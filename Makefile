# Two commands on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install -q --disable-pip-version-check -c constraints.txt
export DO_NOT_TRACK := 1
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS := 90

BASE_IMAGE ?=
IMAGES ?=
ACCELERATOR ?= cpu
SERVE ?=
ONLY ?=
DVC ?=

.PHONY: demo test test-platform install lint bench images serve clean help

help:  ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

demo: $(VENV)/.tf  ## main job on the embedded twin city, from nothing to a report
	$(BIN)/stagegate subsidence

test: $(VENV)/.test  ## the whole suite; parts whose engine is absent say so
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m "not platform"

test-platform: $(VENV)/.test  ## the long tests: a served platform with containers, kills, a browser; needs `make images`
	$(BIN)/python -m pytest -m platform $(ONLY)

install: $(VENV)/.test  ## only the environment, all extras

lint: $(VENV)/.test  ## style and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

bench: $(VENV)/.test  ## races against peers, printed as ratios; DVC=ELSEWHERE/bin/dvc adds a peer
	$(BIN)/python -m benchmarks.warm_rerun
	$(BIN)/python -m benchmarks.step_overhead
	$(BIN)/python -m benchmarks.cached_hit
	$(BIN)/python -m benchmarks.flow_import
	$(BIN)/python -m benchmarks.store $(if $(DVC),--dvc $(DVC))
	$(BIN)/python -m benchmarks.training

images: $(VENV)/.test  ## container images; options in containers/README.md
	$(if $(BASE_IMAGE),,containers/base.sh)
	$(BIN)/python -m tasks.orchestration.serving.images $(IMAGES) --accelerator $(ACCELERATOR) \
		$(if $(BASE_IMAGE),--base-image $(BASE_IMAGE))

serve: $(VENV)/.test  ## database, server, pools, workers, reports; Ctrl-C ends it. SERVE="--port 4300" (see docs/operations.md)
	infra/prepare.sh $(SERVE)
	@exec $(BIN)/stagegate serve $(SERVE)

clean:
	rm -rf $(VENV)

$(VENV)/.made:
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.tf: $(VENV)/.made pyproject.toml constraints.txt
	$(PIP) -e '.[tf]'
	touch $@

$(VENV)/.test: $(VENV)/.made pyproject.toml constraints.txt
	$(PIP) -e '.[tf,torch,geo,test,serve]'
	touch $@ $(VENV)/.tf
