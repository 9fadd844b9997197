"""What a task family produces and how a written chain is judged.

A family writes a :class:`Problem` with its exact solution and can judge any chain of steps for it.
The words ``valid``, ``sound`` and ``answer`` mean what the head's channels mean:

* a step is *valid* if it follows from the facts and the chain's own earlier values, with the right
  operands and the right arithmetic (a right step that was not needed is valid);
* a chain is *sound* up to a step if every step so far is valid;
* its *answer* is right if the last line names the true answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal, Protocol

ANSWER_PREFIX = "Answer:"

Split = Literal["train", "validation", "test"]
Level = Literal["easy", "standard", "hard"]
Kind = Literal["answerable", "unanswerable", "contradictory"]

# What the right answer is where the facts do not give one.
UNKNOWN = "unknown"
CONTRADICTION = "contradiction"
UNFOUNDED = "does not follow from the steps"


@dataclass(frozen=True)
class SolutionStep:
    """One line of an exact solution.

    facts: indices into ``Problem.facts`` that the step uses.
    steps: indices of earlier steps whose values it uses.
    """

    text: str
    facts: tuple[int, ...]
    steps: tuple[int, ...]


@dataclass(frozen=True)
class Problem:
    """A question in words with its exact solution.

    facts: the question's sentences but the last. key: the names and numbers, which decide the split.
    """

    family: str
    level: Level
    kind: Kind
    key: str
    question: str
    facts: tuple[str, ...]
    steps: tuple[SolutionStep, ...]
    answer: str
    content: object
    """What the family needs to judge a chain; opaque to everybody else."""

    @property
    def reasoning(self) -> str:
        """The steps, one numbered line each, every line closed by a newline."""
        return "".join(f"Step {k}: {step.text}\n" for k, step in enumerate(self.steps, 1))

    @property
    def solution(self) -> str:
        """The steps and the answer line, as the model should write them."""
        return f"{self.reasoning}{ANSWER_PREFIX} {self.answer}"


@dataclass(frozen=True)
class StepLabel:
    """The judgement of one line of a chain; ``reason`` is empty if the line is valid."""

    valid: bool
    sound: bool
    reason: str
    is_answer: bool


@dataclass(frozen=True)
class ChainLabels:
    """The judgement of a whole chain, a label for every line of it."""

    steps: tuple[StepLabel, ...]
    answer: bool


class Family(Protocol):
    """A kind of problem: writes them and judges chains."""

    name: str

    def problem(self, rng: Random, *, level: Level, steps: int, kind: Kind, unseen_wording: bool) -> Problem:
        """A random problem whose exact solution has ``steps`` steps.

        The solution of an unanswerable or contradictory problem ends with the step where that shows;
        the step counts. unseen_wording: every sentence in the wording that training never sees.
        """
        ...

    def judge(self, problem: Problem, lines: Sequence[str]) -> ChainLabels:
        """Label every line of a chain, the answer line included."""
        ...


def split_of(problem: Problem) -> Split:
    """The split that owns a problem's names and numbers: 90 / 5 / 5 percent, by their hash."""
    bucket = int.from_bytes(hashlib.sha256(problem.key.encode()).digest()[:4], "little") % 100
    return "train" if bucket < 90 else "validation" if bucket < 95 else "test"


def judge_lines(
    lines: Sequence[str], *, answer: str, step: Callable[[str], str], follows: Callable[[str], bool]
) -> ChainLabels:
    """Labels for every line of a chain, the answer line included.

    step: why a line is not valid, "" if it is, called in order; follows: whether an answer follows from
    the lines before it.
    """
    has_answer = bool(lines) and lines[-1].startswith(ANSWER_PREFIX)
    reasons = [step(line) for line in (lines[:-1] if has_answer else lines)]
    said = lines[-1].removeprefix(ANSWER_PREFIX).strip() if has_answer else None
    if said is not None:
        reasons.append("" if follows(said) else UNFOUNDED)
    labels: list[StepLabel] = []
    for index, reason in enumerate(reasons):
        sound = not any(reasons[: index + 1])
        is_answer = has_answer and index == len(reasons) - 1
        labels.append(StepLabel(valid=not reason, sound=sound, reason=reason, is_answer=is_answer))
    return ChainLabels(steps=tuple(labels), answer=said == answer)
