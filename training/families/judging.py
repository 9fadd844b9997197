"""How a chain is judged line by line, whatever the family: numbered steps, withdrawals, the answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Generic, TypeVar

from mch_runtime.withdrawal import is_withdrawal, withdraws
from training.families.writing import EQUATION, body
from training.problems import ANSWER_PREFIX, UNFOUNDED, ChainLabels, StepLabel

# What a number that is not said may be taken to be.
GUESSES = (2, 3, 5, 8, 10)

NOT_A_STEP = "not a step"
NOT_WRONG = "the step is right"
NOT_WITHDRAWN = "takes back no step"

Stated = TypeVar("Stated")


class ChainJudge(ABC, Generic[Stated]):
    """Reads one chain, keeping what the chain itself has stated.

    stated: its own values or rows, in a collection that ``copy`` copies; result: what its closing step
    says the answer is, None before it.
    """

    def __init__(self, answer: str, stated: Stated) -> None:
        self.answer = answer
        self.stated = stated
        self.result: str | None = None

    @abstractmethod
    def step(self, said: str) -> str:
        """Why a step that says this is not valid, "" if it is. What it states is kept either way."""

    @abstractmethod
    def follows(self, said: str) -> bool:
        """Whether an answer follows from the steps read so far."""

    def read(self, line: str) -> str:
        """Why a numbered line is not valid, "" if it is."""
        said = body(line)
        return NOT_A_STEP if said is None else self.step(said)

    def consider(self, said: str) -> str:
        """As :meth:`step`, but nothing that is said is kept."""
        before = self._state()
        reason = self.step(said)
        self._restore(before)
        return reason

    def judge(self, lines: Sequence[str]) -> ChainLabels:
        """Labels for every line, the answer line included.

        A withdrawn step leaves no trace: what it stated is forgotten, and it no longer counts against
        ``sound``. Taking back a step that was valid, or none, is a mistake.
        """
        reasons: list[str] = []
        sound: list[bool] = []
        withdrawn: set[int] = set()
        before = self._state()
        for index, line in enumerate(lines):
            if is_withdrawal(line):
                is_apt = index > 0 and withdraws(line, lines[index - 1])
                reasons.append(NOT_WITHDRAWN if not is_apt else "" if reasons[-1] else NOT_WRONG)
                if is_apt:
                    withdrawn.add(index - 1)
                    self._restore(before)
            elif index == len(lines) - 1 and line.startswith(ANSWER_PREFIX):
                reasons.append("" if self.follows(_answer(line)) else UNFOUNDED)
            else:
                before = self._state()
                reasons.append(self.read(line))
            sound.append(not any(reason for k, reason in enumerate(reasons) if k not in withdrawn))
        last = lines[-1] if lines else ""
        has_answer = last.startswith(ANSWER_PREFIX)
        labels = tuple(
            StepLabel(
                valid=not reason,
                sound=sound[k],
                reason=reason,
                is_answer=has_answer and k == len(lines) - 1,
                withdrawn=k in withdrawn,
            )
            for k, reason in enumerate(reasons)
        )
        return ChainLabels(steps=labels, answer=has_answer and _answer(last) == self.answer)

    def _state(self) -> tuple[Stated, str | None]:
        return copy(self.stated), self.result

    def _restore(self, state: tuple[Stated, str | None]) -> None:
        self.stated, self.result = copy(state[0]), state[1]


@dataclass(frozen=True)
class Claim:
    """What an equation may say: its words and sign, and the operands that the words fix.

    a, b: None where the operand is looked up among what is told or what the chain has worked out.
    """

    words: str
    sign: str
    a: int | None = None
    b: int | None = None


class EquationJudge(ChainJudge[Stated]):
    """Reads chains whose steps are equations, but for the one that says why there is no answer."""

    def step(self, said: str) -> str:
        parsed = EQUATION.fullmatch(said)
        if parsed is None:
            return self.excuse(said)
        a, b, c = int(parsed["a"]), int(parsed["b"]), int(parsed["c"])
        return self.equation(parsed["words"], parsed["sign"], a, b, c)

    @abstractmethod
    def equation(self, words: str, sign: str, a: int, b: int, c: int) -> str:
        """Why a step that works something out is not valid, "" if it is."""

    @abstractmethod
    def excuse(self, said: str) -> str:
        """Why a step that says that there is no answer is not valid, "" if it is."""

    @abstractmethod
    def claims(self) -> Iterable[Claim]:
        """The equations that restate the facts, and the one that closes the matter."""

    @abstractmethod
    def excuses(self) -> Iterable[str]:
        """What a step may say, rightly or wrongly, for the facts to give no answer."""


def _answer(line: str) -> str:
    return line.removeprefix(ANSWER_PREFIX).strip()
