"""What a task family produces and how a written chain is judged.

A family writes a :class:`Problem` with its exact solution and can judge any chain of steps for it.
The words ``valid``, ``sound`` and ``answer`` mean what the head's channels mean:

* a step is *valid* if it follows from the facts and the chain's own earlier values, with the right
  operands and the right arithmetic (a right step that was not needed is valid);
* a step is *withdrawn* by the line "Wait, step 2 is wrong." right after it, which is valid if it was not;
* a chain is *sound* up to a line if every line so far that is not withdrawn by then is valid;
* its *answer* is right if the last line names the true answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from training.families.judging import ChainJudge

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
    """The judgement of one line of a chain; ``reason`` is empty if the line is valid.

    withdrawn: the line right after it takes it back.
    """

    valid: bool
    sound: bool
    reason: str
    is_answer: bool
    withdrawn: bool = False


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

    def reader(self, problem: Problem) -> ChainJudge[Any]:
        """A judge of one chain, to be read line by line."""
        ...

    def judge(self, problem: Problem, lines: Sequence[str]) -> ChainLabels:
        """Label every line of a chain, the answer line included."""
        return self.reader(problem).judge(lines)


def split_of(problem: Problem) -> Split:
    """The split that owns a problem's names and numbers: 90 / 5 / 5 percent, by their hash."""
    bucket = int.from_bytes(hashlib.sha256(problem.key.encode()).digest()[:4], "little") % 100
    return "train" if bucket < 90 else "validation" if bucket < 95 else "test"
