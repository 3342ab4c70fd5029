.DEFAULT_GOAL := help
.PHONY: help setup demo test lint lock peers reference clean
BIN := .venv/bin

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## make .venv with everything locked, and fetch Apache Kafka (PYTHON=… chooses the Python)
	@PYTHON='$(PYTHON)' sh tools/setup.sh

demo: setup ## the whole story on this machine, in a few minutes, leaving nothing behind
	@$(BIN)/standfast demo

test: setup ## run the tests, three files at a time (ARGS=… goes to pytest; the slow ones: ARGS='-m slow -n 0')
	@$(BIN)/python -m pytest -m "not slow" -n 3 --dist loadfile --no-loadscope-reorder --durations=40 $(ARGS)

lint: setup ## check style and types
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/mypy tools && $(BIN)/lint-imports

reference: setup ## write docs/settings.md, docs/metrics.md, docs/cli.md and docs/topics.md anew from the code
	@$(BIN)/python tools/reference.py

lock: setup ## lock the Python packages anew after a change to pyproject.toml (UPGRADE=1: the newest versions)
	@$(BIN)/python -m uv pip compile --python-version 3.11 --universal --generate-hashes --group dev -q \
		--no-emit-index-url --no-emit-find-links --no-header pyproject.toml -o requirements.lock $(if $(UPGRADE),--upgrade)

peers: setup ## install what `standfast bench --against` measures beside us (a later `make setup` may remove it)
	@$(BIN)/python -m uv pip install --group peers -c requirements.lock

clean: ## remove .venv and what the tools left behind; the state of the system stays
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
