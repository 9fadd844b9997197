"""``python -m tests.independent.vector``: the table of the test vector in ``docs/head-format.md``."""

from __future__ import annotations

from sage_cli.assets import DEFAULT_MODEL
from tests.independent.head_reader import Head, head_behind
from tests.independent.test_head_reader import vector

if __name__ == "__main__":
    for position, *values in vector(Head(head_behind(DEFAULT_MODEL))):
        print(f"| {position} | " + " | ".join(f"{value:.4f}" for value in values) + " |")
