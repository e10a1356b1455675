# Two commands for a newcomer: `make demo` and `make test`. Each sets up what it needs inside this folder.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
LAB := .venv-lab
N ?= 5
REQUESTS ?= 10000
ROUNDS ?= 2
PROBLEMS ?= 10000
STUDIED ?= 20
SAMPLES ?= 2
# Where a benchmark has a default of its own: only an N that was given.
OWN_N = $(if $(filter command,$(origin N)),--problems $(N))
export SPECREASON_CACHE ?= $(CURDIR)/.cache/specreason

.PHONY: demo demo-language test test-vllm test-clients lint type docs docs-serve bench bench-core bench-load bench-speed \
  bench-concurrency bench-concurrent-answers bench-faults bench-decode bench-calls bench-auto bench-eval bench-pocket \
  study-pocket study-language lab-train lab-export lab-test lock clean setup models templates help

help:            ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

setup: $(READY)  ## the locked environment in .venv

# The lock file carries hashes: pip refuses anything else. Our own package is installed without dependencies.
$(READY): requirements.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Setting up $(VENV) (about a minute) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

models: $(READY) ## the weights that demo and tests use
	@$(BIN)/specreason models pull qwen2.5-coder-1.5b-instruct qwen2.5-coder-0.5b-instruct smollm2-135m-instruct

templates: $(READY) ## other people's chat templates and vocabularies that tests use (82 MB, 20 MB kept)
	@$(BIN)/python tests/templates/fetch.py

demo: $(READY)   ## set-up, then 30 problems on the pocket pair, schemes side by side; no download of weights
	@$(BIN)/specreason lab demo --problems 30
	@echo
	@echo 'Go on:  $(BIN)/specreason lab new-problem | $(BIN)/specreason solve --pair pocket'
	@echo '        make demo-language   (a word problem on a pair of language models; fetches 1.6 GB)'
	@echo '        $(BIN)/specreason solve --help | doctor | config --explain;  docs/quickstart.md'

demo-language: $(READY) ## one word problem on the embedded pair of language models
	@$(BIN)/specreason models pull qwen2.5-coder-1.5b-instruct qwen2.5-coder-0.5b-instruct
	@$(BIN)/specreason solve --file examples/word_problem.txt --temperature 0
	@echo
	@echo 'Go on:  $(BIN)/specreason solve "your problem"   (with SPECREASON_CACHE=$(SPECREASON_CACHE))'

test: models templates ## set-up, then lint, types, import contracts and all tests
	@$(BIN)/python -m pytest
	@$(MAKE) --no-print-directory lint type

lint: $(READY)   ## ruff and the import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --no-logo

type: $(READY)   ## strict type check
	@$(BIN)/basedpyright

docs: $(READY)   ## the documentation as a site in site/
	@$(BIN)/python docs/generate.py
	@$(BIN)/zensical build

bench: bench-core bench-load bench-eval ## all benchmarks

bench-core: models ## accuracy, cache share and overhead of the core (N= problems)
	@$(BIN)/python -m benchmarks.core --problems $(N)

bench-speed: $(READY) ## the schedules, emulated against their lower bounds and on the pocket pair (N= problems)
	@$(BIN)/python -m benchmarks.speed --problems $(N)

bench-concurrency: $(READY) ## 1 to 32 problems at once on the emulated pair (ROUNDS= for each place)
	@$(BIN)/python -m benchmarks.concurrency --rounds $(ROUNDS)

bench-decode: models ## token-level speculation underneath: seconds a token on this machine
	@$(BIN)/python -m benchmarks.decode

bench-pocket: $(READY) ## the method on the pocket pair: accuracy, speed-up, judge, regime (N= problems)
	@$(BIN)/python -m benchmarks.pocket --problems $(N)

bench-calls: $(READY) ## the base model's calls on this machine: threads, flash or plain attention
	@$(BIN)/python -m benchmarks.calls threads
	@$(BIN)/python -m benchmarks.calls attention

bench-auto: models ## what auto costs on the language pair, where speculation does not pay (N= problems)
	@$(BIN)/python -m benchmarks.auto_language --problems $(N)

bench-concurrent-answers: $(READY) ## several problems at once on llama.cpp: each as if it were alone (N= problems, else 80)
	@$(BIN)/python -m benchmarks.concurrent_answers $(OWN_N)

bench-faults: $(READY) ## problems while the model servers are killed, frozen and restarted (N= problems, else 300)
	@$(BIN)/python -m benchmarks.faults $(OWN_N)

bench-load: $(READY) ## the server under load: what it adds to each step (REQUESTS=)
	@$(BIN)/python -m benchmarks.load --requests $(REQUESTS)

bench-eval: $(READY) ## a study of many scripted problems, killed and resumed (PROBLEMS=)
	@$(BIN)/python -m benchmarks.eval --problems $(PROBLEMS)

study-pocket: $(READY) ## the studies of docs/results on the pocket pair (STUDIED=, SAMPLES=; goes on where it was)
	@PATH="$(CURDIR)/$(BIN):$$PATH" bash benchmarks/study_pocket.sh $(STUDIED) $(SAMPLES)

study-language: models ## the study of docs/results on the language pair (STUDIED= problems; hours)
	@PATH="$(CURDIR)/$(BIN):$$PATH" bash benchmarks/study_language.sh $(STUDIED)

# PyTorch has an environment of its own: only training needs it.
$(LAB)/.ready: pyproject.toml
	@test -x $(LAB)/bin/python || $(PYTHON) -m venv $(LAB)
	@$(LAB)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[lab,embedded]'
	@touch $@

lab-train: $(LAB)/.ready ## train a pair from nothing (70 minutes on 2 cores; goes on where it was stopped)
	@$(LAB)/bin/specreason lab train base

lab-export: $(LAB)/.ready ## GGUF files and hub folders of the trained pair, checked against PyTorch
	@$(LAB)/bin/specreason lab export small
	@$(LAB)/bin/specreason lab export base

lab-test: $(LAB)/.ready ## tests of what needs PyTorch
	@$(LAB)/bin/python -m pip install --quiet --disable-pip-version-check blockbuster pytest pytest-asyncio pytest-xdist hypothesis
	@$(LAB)/bin/python -m pytest tests/lab

test-vllm: $(READY) ## the whole loop against a live vLLM server (CPU build, own environment, 4 GB)
	@bash tests/vllm/run.sh

test-clients: $(READY) ## real clients against the pocket pair (own environment, 7 GB, and Node 20)
	@bash tests/clients/run.sh

lock:            ## renew requirements.lock (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --group dev --extra embedded --extra server --extra tracing --extra eval pyproject.toml -o requirements.lock

clean:           ## everything that make created, weights included
	rm -rf $(VENV) $(LAB) .venv-vllm .venv-clients tests/clients/node_modules .cache site .pytest_cache .ruff_cache .hypothesis
