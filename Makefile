.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
PEERS := .venv-peers/installed

help: ## This list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(INSTALLED): pyproject.toml workers/training/statistics.c
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[worker,dev]'
	touch $@

$(PEERS): pyproject.toml benchmarks/peers.txt
	@echo 'Installing the peers into .venv-peers: minutes, once, and no part of what is measured.'
	@test -x .venv-peers/bin/python || $(PYTHON) -m venv .venv-peers
	@.venv-peers/bin/pip install --quiet --disable-pip-version-check --editable '.[worker,dev]' \
		--requirement benchmarks/peers.txt
	@touch $@

install: $(INSTALLED) ## A virtual environment with everything
demo: $(INSTALLED) ## Through HTTP: a network that learns, one that does not, why, and its repair
	@$(BIN)/python examples/demo.py
textbook: $(INSTALLED) ## Every claim of the textbook, its diagnoses and repairs, through the API; writes docs/textbook.md
	@$(BIN)/python examples/textbook.py
serve: $(INSTALLED) ## API and worker in the foreground, until Ctrl-C
	@$(BIN)/python -m service
test: $(INSTALLED) ## All tests but the long ones; needs neither GPU nor Docker
	$(BIN)/python -m pytest -n 2 --dist loadgroup
test-system: $(INSTALLED) ## All tests of the running service and of its contract, the long ones included: half an hour
	$(BIN)/python -m pytest tests/system tests/contract -m 'long or not long' -n 2 --dist loadgroup
chaos: $(INSTALLED) ## A thousand faults at random on each back end, seeded; prints what was lost (nothing)
	@$(BIN)/python -m tests.system.chaos --seed 1 --faults 1000
schemathesis: $(INSTALLED) ## The whole contract fuzzed for ten minutes, as two owners who must not see each other
	@$(BIN)/python -m tests.contract.fuzz --seconds 600
fuzz: $(INSTALLED) ## Ten thousand wrong definitions: each answered, the API's memory flat; some minutes
	@$(BIN)/python -m pytest tests/system/test_fuzz.py -m long -s
check: $(INSTALLED) ## Lint, format, types, the walls between the rooms, migrations
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m migrations.check
	@$(MAKE) --no-print-directory audit
pictures: $(INSTALLED) ## Screenshots of every page of the dashboard, from a running service, into docs/pictures
	@$(BIN)/python -m examples.pictures
audit: $(INSTALLED) ## Known holes in what is installed; says so, and passes, where there is no network
	@$(BIN)/python -m tests.audit
reference: $(INSTALLED) ## Write docs/definitions.md and the commands of docs/cli.md anew, from the code
	@$(BIN)/python -m models.definitions.reference
	@$(BIN)/python -m cli.reference
bench: $(PEERS) ## Everything against its peers; writes docs/benchmarks.md and .json anew
	@.venv-peers/bin/python -m benchmarks
bench-quick: $(PEERS) ## The same with fewer samples, in under 3 minutes; writes nothing
	@.venv-peers/bin/python -m benchmarks --quick
zoo: $(INSTALLED) ## How well sick jobs are diagnosed and repaired: an hour or two, goes on where it stopped; writes docs/diagnosis.md
	@$(BIN)/python -m benchmarks.diagnosis --write
soak-queue: $(INSTALLED) ## 10 000 jobs of two keys on four workers: none lost, in order, fair; writes docs/reliability-queue.md
	@$(BIN)/python -m benchmarks.soak_queue --write

.PHONY: pictures help install demo textbook serve test test-system chaos fuzz schemathesis audit check reference bench bench-quick zoo soak-queue
