"""The inverse direction: from reasoning and answer back to the question."""

from __future__ import annotations

from importlib.resources import files

from prompts.dialects import Dialect

_GAP = "[reasoning]"


def inverse_messages(dialect: Dialect, reasoning: str, question: str) -> list[dict[str, str]]:
    """The conversation in which ``question`` follows from ``reasoning``.

    A model that knows the inverse direction has a role for it; any other is asked in words and answers
    with the question.
    """
    if dialect.inverse_role:
        return [
            {"role": dialect.inverse_role, "content": reasoning},
            {"role": "user", "content": question},
        ]
    request = (files("prompts") / "templates" / "inverse.txt").read_text(encoding="utf-8").strip()
    return [
        {"role": "user", "content": request.replace(_GAP, reasoning)},
        {"role": "assistant", "content": question},
    ]
