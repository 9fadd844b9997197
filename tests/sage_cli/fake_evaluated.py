"""An engine that adds two numbers, and errs as its seed has it, for tests of evaluations.

As a program, ``sage`` over it; FAKE_DELAY is how many seconds a question takes.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from random import Random

from mch_runtime.answering import Answered, Question
from mch_runtime.errors import UsageError
from mch_runtime.options import EngineOptions
from mch_runtime.session import Interrupt
from mch_runtime.strategies.selection import Scored
from mch_runtime.trace import Trace
from sage_cli.app import main
from tests.fake_session import FakeSession
from tests.sage_cli.fake_engine import FakeEngine, FakeOpener, Script, _Open

TOO_LONG = "too long"  # in a question: it is refused
_SUM = re.compile(r"(\d+) \+ (\d+)")


class FakeCalculator(FakeEngine):
    """``texts`` holds what it was asked, in every mode."""

    delay = 0.0

    def __init__(self, script: Script, options: EngineOptions, interrupt: Interrupt | None) -> None:
        super().__init__(script, options, interrupt)
        self.session = FakeSession({})
        self.texts: list[str] = []

    def answers(self, questions: Iterable[Question]) -> Iterator[Answered]:
        for place, question in enumerate(questions):
            self.texts.append(question.text)
            if TOO_LONG in question.text:
                error = UsageError(
                    "the question has 5,000 tokens, the context holds 4,096", hint="shorten it"
                )
                yield Answered(place=place, trace=None, error=error)
                continue
            time.sleep(self.delay)
            yield self._worked(place, question)

    def _worked(self, place: int, question: Question) -> Answered:
        effort = question.options.effort
        rng = Random(f"{question.options.sampling.seed}/{question.text}")
        chains = tuple(
            self._chain(question.text, rng) for _ in range(1 if effort.mode == "fast" else effort.votes)
        )
        trace = self.ask(question.text, replace(question.options, max_tokens=None), observer=_Silent())
        said = chains[0].answer or ""
        return Answered(
            place=place, trace=self._told(trace, said, effort.mode, chains[0].head), chains=chains
        )

    def _told(self, trace: Trace, said: str, mode: str, head: float | None) -> Trace:
        known = head if mode == "fast" else None
        return replace(trace, answer=said, answer_text=said, mode=mode, confidence=known)  # type: ignore[arg-type]

    def _chain(self, text: str, rng: Random) -> Scored:
        found = _SUM.search(text)
        right = rng.random() < 0.6
        value = sum(map(int, found.groups())) if found else 0
        good = min(1.0, max(0.0, rng.gauss(0.8 if right else 0.3, 0.15)))
        has_head = self.model.head is not None
        return Scored(
            answer=str(value if right else value + 1),
            text="Step 1: it is so.\nAnswer",
            logprob_sum=-3 + good,
            tokens=20,
            head=0.02 + 0.96 * good if has_head else None,
            head_logit=4 * good - 2 if has_head else None,
            ics=0.4 * good,
            ics_min=good - 1,
            bottom_window=5 + good,
        )


class _Silent:
    def prefill(self, done: int, total: int) -> None: ...

    def text(self, text: str, part: object) -> None: ...

    def step(self, step: object) -> None: ...


class CalculatorOpener(FakeOpener):
    """Opens fake calculators."""

    def __init__(self, script: Script | None = None, *, delay: float = 0.0) -> None:
        super().__init__(script)
        self._kind = type("Calculator", (FakeCalculator,), {"delay": delay})

    def __call__(self, options: EngineOptions, *, interrupt: Interrupt | None = None) -> _Open:
        engine = self._kind(self.script, options, interrupt)
        self.engines.append(engine)
        return _Open(self, engine)


if __name__ == "__main__":
    delay = float(os.environ.get("FAKE_DELAY") or 0)
    sys.exit(main(engine=CalculatorOpener(delay=delay)))  # type: ignore[arg-type]
