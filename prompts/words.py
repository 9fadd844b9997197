"""The request for a model's own words about an answer, with the evidence inserted."""

from __future__ import annotations

import re
from importlib.resources import files


def own_words_request(*, question: str, reasoning: str, evidence: str) -> str:
    """What a model is asked; the three texts are inserted as they are, and only once each."""
    given = {"[question]": question, "[reasoning]": reasoning, "[evidence]": evidence}
    request = (files("prompts") / "templates" / "own-words.txt").read_text(encoding="utf-8").strip()
    return re.sub("|".join(map(re.escape, given)), lambda found: given[found[0]], request)
