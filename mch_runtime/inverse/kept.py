"""What the generation of a chain leaves for its explanation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mch_runtime.prompting import Prompt
from mch_runtime.session import Branch, FloatArray
from mch_runtime.statistics import TokenStatistics


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A chain as its generation left it in the cache. states and statistics: see ``Read``."""

    prompt: Prompt
    token_ids: Sequence[int]
    branch: Branch
    states: Sequence[FloatArray]
    statistics: Sequence[TokenStatistics]
