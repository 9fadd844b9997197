"""A step that a chain takes back: the line "Wait, step 2 is wrong." right after step 2."""

from __future__ import annotations

import re

WITHDRAWAL = "Wait, step {number} is wrong."

# The numbers stay text: a model may write more digits than an int is read from.
_WITHDRAWAL = re.compile(r"Wait, step (\d+) is wrong\.")
_STEP = re.compile(r"Step (\d+):")


def is_withdrawal(line: str) -> bool:
    """Whether the line says of some step that it is wrong."""
    return _WITHDRAWAL.fullmatch(line) is not None


def withdraws(line: str, before: str) -> bool:
    """Whether the line takes back the one right before it."""
    said, step = _WITHDRAWAL.fullmatch(line), _STEP.match(before)
    return said is not None and step is not None and said[1] == step[1]
