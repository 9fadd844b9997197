"""What a head is fitted on: questions with their answers, and chains with labelled steps where there are any.

``docs/head-fit.md`` describes the file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mch_runtime.errors import DataError, SageError
from mch_runtime.evaluation.formats import FORMATS
from mch_runtime.evaluation.problems import Problem
from mch_runtime.evaluation.source import read_rows

Part = Literal["fit", "calibrate", "test"]

FEWEST = 200  # questions; with fewer no part says anything
MOST_STEPS = 1000  # of one labelled chain
_SHARES: tuple[tuple[Part, float], ...] = (("test", 0.15), ("calibrate", 0.30), ("fit", 1.0))


@dataclass(frozen=True)
class LabelledStep:
    """A step of a chain that somebody has looked at. valid: None where nobody knows."""

    text: str
    valid: bool | None


@dataclass(frozen=True, kw_only=True)
class Query:
    """A question with its answer. chains: labelled ones, () where the model is to write them itself."""

    problem: Problem
    chains: tuple[tuple[LabelledStep, ...], ...] = ()

    @property
    def part(self) -> Part:
        """What the question is for. It depends on the question alone, so that more of them change nothing."""
        place = int(self.problem.sha256[:8], 16) / 2**32
        return next(part for part, up_to in _SHARES if place < up_to)


def read_queries(path: Path, *, form: str | None = None) -> list[Query]:
    """The questions of a file, each once. form: a key of ``FORMATS``, None: as the records themselves look.

    Raises DataError, which names the line, for a record that cannot be used, and if there are too few of them.
    """
    found: dict[str, Query] = {}
    for place, record in read_rows(path):
        try:
            problem = FORMATS[form or _looks_like(record)].read(record, 0)
            query = Query(problem=problem, chains=_chains(record.get("chains")))
        except SageError as error:
            raise DataError(f"{place}: {error.message}", hint=error.hint) from error
        before = found.get(problem.sha256)
        if before is not None:
            query = Query(problem=problem, chains=(*before.chains, *query.chains))
        found[problem.sha256] = query
    if len(found) < FEWEST:
        raise DataError(
            f"{path} holds {len(found):,} different questions, and at least {FEWEST} are needed",
            hint="a thousand and more make a better head",
        )
    return list(found.values())


def _looks_like(record: Mapping[str, Any]) -> str:
    if "options" in record or "choices" in record:
        return "choice"
    answer = record.get("answer")
    return "gsm8k" if isinstance(answer, str) and "####" in answer else "free"


def _chains(value: object) -> tuple[tuple[LabelledStep, ...], ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise DataError('"chains" is not a list', hint="see docs/head-fit.md for the format")
    return tuple(_chain(chain, f"chain {number}") for number, chain in enumerate(value, start=1))


def _chain(value: object, where: str) -> tuple[LabelledStep, ...]:
    steps = value.get("steps") if isinstance(value, Mapping) else None
    if not isinstance(steps, Sequence) or isinstance(steps, str) or not 1 <= len(steps) <= MOST_STEPS:
        raise DataError(
            f'{where} has no "steps", or not 1 to {MOST_STEPS} of them',
            hint="see docs/head-fit.md for the format",
        )
    return tuple(_step(step, f"{where}, step {number}") for number, step in enumerate(steps, start=1))


def _step(value: object, where: str) -> LabelledStep:
    text = value.get("text") if isinstance(value, Mapping) else None
    valid = value.get("valid") if isinstance(value, Mapping) else None
    if not isinstance(text, str) or not text.strip() or "\n" in text.strip():
        raise DataError(f'{where} has no "text" of one line', hint="write each step as one line")
    if valid is not None and not isinstance(valid, bool):
        raise DataError(f'{where}: "valid" is {valid!r}', hint="true, false, or null where it is not known")
    return LabelledStep(text.strip(), valid)
