# make demo      install into .venv and judge the example pictures
# make test      all tests, offline
# make check     ruff, mypy --strict, the order of the rooms
# make cpu-run   the whole way once on the CPU: train some steps, then judge with what came of it
#                (DATA=folder of labelled pictures, STEPS=number)
# make gpu-benchmark  rates of sida-7b with random weights, whole and quantised, and the comparison
#                with a composition of transformers; needs a CUDA device of 24 GB
# make docs      write docs/cli.md and docs/recipe.md anew
#
# Another environment: make test BIN=path/to/env/bin/ (with the slash at its end; then nothing is installed)

PYTHON ?= python3
VENV := .venv
BIN ?= $(VENV)/bin/
PIP := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
TORCH := $(shell sed -n 's/^torch==/torch==/p' constraints.txt)
DATA ?= examples
STEPS ?= 20
EXAMPLES := examples/real examples/full_synthetic examples/tampered

ifeq ($(BIN),$(VENV)/bin/)
RUNS := $(VENV)/runs.stamp
TESTS := $(VENV)/tests.stamp
endif

.PHONY: demo test check cpu-run gpu-benchmark docs clean

demo: $(RUNS)
	@$(BIN)sida detect $(EXAMPLES) --explain \
		--masks out/demo/masks --overlays out/demo/overlays --json out/demo/verdicts.jsonl
	@echo
	@echo "Masks, overlays and verdicts.jsonl are in out/demo."

test: $(TESTS)
	OMP_NUM_THREADS=1 $(BIN)python -m pytest -q -n 2 --dist loadfile

check: $(TESTS)
	$(BIN)ruff check .
	$(BIN)ruff format --check .
	$(BIN)mypy
	$(BIN)lint-imports

cpu-run: $(TESTS)
	rm -rf out/cpu-run
	$(BIN)sida train tiny data=$(DATA) validation=$(DATA) max_steps=$(STEPS) --out out/cpu-run
	$(BIN)sida detect $(DATA)/real $(DATA)/full_synthetic $(DATA)/tampered --explain \
		--model out/cpu-run/model --json out/cpu-run/verdicts.jsonl \
		--masks out/cpu-run/masks --overlays out/cpu-run/overlays

gpu-benchmark: $(TESTS)
	$(BIN)python -c 'import torch, sys; sys.exit(0 if torch.cuda.is_available() else "no CUDA device")'
	mkdir -p out/gpu
	$(BIN)sida benchmark --random-weights sida-7b --device cuda --json out/gpu/sida-7b.json
	$(BIN)python -m pip install --quiet -c constraints.txt torchao
	for kind in int8 int4 fp8; do $(BIN)sida benchmark --random-weights sida-7b --device cuda \
		--quantize $$kind --json out/gpu/sida-7b-$$kind.json || exit 1; done
	$(BIN)python benchmarks/inference.py sida-7b --device cuda --rounds 10 \
		> out/gpu/by-hand.json

docs: $(TESTS)
	$(BIN)python docs/generate.py

clean:
	rm -rf $(VENV) out

# torch goes first: everything else then takes the one that is there.
$(VENV)/runs.stamp: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ $(PYTHON) --version; echo "sida needs Python 3.11 or later: make demo PYTHON=python3.12"; exit 1; }
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing sida into $(VENV) ..."
	@$(PIP) $(TORCH)
	@$(PIP) -e .
	@touch $@

$(VENV)/tests.stamp: $(VENV)/runs.stamp
	@echo "Installing what the tests need into $(VENV) ..."
	@$(PIP) -e '.[dev]'
	@touch $@
