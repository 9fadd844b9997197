# Everything runs from .venv, made on first use from the lock; nothing else is touched.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# The two packages that are not in the lock; needed by training/ and by the parity tests only.
TORCH := torch==2.13.0
TRANSFORMERS := transformers==5.23.0
QUESTION := Ben has 4 apples. Anna has three times as many apples as Ben. Tom has 5 more apples than Anna. How many apples does Tom have?

.PHONY: demo test lint bench bench-training cli man chats clean

demo: $(VENV)/installed
	@$(BIN)/sage "$(QUESTION)"

test: $(VENV)/tested
	$(BIN)/python -m pytest

lint: $(VENV)/developed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

bench: $(VENV)/tested
	$(BIN)/python -m benchmarks.speed
	$(BIN)/python -m benchmarks.pico_accuracy
	$(BIN)/python -m benchmarks.head_quality

# What needs the files of a training, which are not in the repository.
bench-training: $(VENV)/tested
	$(BIN)/python -m benchmarks.decontamination build/pico/corpus-*.npz --tokenizer build/pico/tokenizer.json
	$(BIN)/python -m benchmarks.quantization --base build/pico/base-f32.gguf

# The pages that are printed from the commands; tests keep them as they are.
cli: $(VENV)/developed
	$(BIN)/python -m sage_cli.reference > docs/cli.md.new
	mv docs/cli.md.new docs/cli.md

# The conversations on README.md and docs/chat.md.
chats: $(VENV)/developed
	$(BIN)/python -m tests.shown_chats

man: $(VENV)/developed
	$(BIN)/python -m sage_cli.manpages docs/man

clean:
	rm -rf $(VENV) build dist

# The environment of a user: the runtime lock and sage itself.
$(VENV)/installed: requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	@touch $@

# What developers add to it.
$(VENV)/developed: $(VENV)/installed requirements-dev.lock
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.lock
	@touch $@

# torch is named alone: asked for together with others, pip may choose a build of several gigabytes.
$(VENV)/tested: $(VENV)/developed
	$(BIN)/python -m pip install --quiet "$(TORCH)"
	$(BIN)/python -m pip install --quiet "$(TRANSFORMERS)"
	@touch $@
