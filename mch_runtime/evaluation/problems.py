"""A problem with its right answer, and what it is called when it is stored."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from mch_runtime.errors import DataError

Kind = Literal["number", "math", "choice", "text"]
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A question with its right answer.

    id: as its file names it, else its place there. question: as it is asked, options included. answer: in
    the form of :func:`mch_runtime.evaluation.equality.canonical`. options: their texts, in the order of their letters.
    group: what it is reported under, such as a level or a subject. depth: the steps of its solution, where known.
    """

    id: str
    question: str
    kind: Kind
    answer: str
    options: tuple[str, ...] = ()
    group: str = ""
    depth: int | None = None

    @property
    def sha256(self) -> str:
        """Of question and answer: the same for the same problem in another run."""
        return hashlib.sha256(f"{self.question}\0{self.answer}".encode("utf-8", "surrogatepass")).hexdigest()

    def to_wire(self) -> dict[str, Any]:
        """Plain dicts, lists, numbers and strings."""
        return asdict(self) | {"options": list(self.options)}

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Problem:
        """Raises DataError if it is not one."""
        try:
            return cls(**{**wire, "options": tuple(wire["options"])})
        except (TypeError, KeyError) as error:
            raise DataError(f"the stored problem is incomplete: {error}") from error


def lettered(question: str, options: tuple[str, ...]) -> str:
    """The question with its options below it, a letter in front of each."""
    lines = [f"{letter}) {option}" for letter, option in zip(LETTERS, options, strict=False)]
    return "\n".join([question.rstrip(), *lines])
