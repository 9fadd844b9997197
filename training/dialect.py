"""How problems become token sequences: special tokens, prompts, chat template, the four examples.

    forward   <|user|>question<|assistant|>steps, answer<|end|>       loss on the solution
    forced    <|user|>question<|assistant|>some steps, Answer: a<|end|>      loss on the answer
    inverse   <|inverse|>steps, answer<|user|>question<|end|>         loss on the question
    question  <|user|>question<|assistant|>                           loss on the question

Inverse examples stop after any number of steps, none included, and only finished reasoning shows
its answer: inverse consistency compares the question's likelihood with and without reasoning.
Forced examples let the answer be asked for before the reasoning is done: commitment needs that.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from training.problems import ANSWER_PREFIX, Problem

END = "<|end|>"
USER = "<|user|>"
ASSISTANT = "<|assistant|>"
INVERSE = "<|inverse|>"
SYSTEM = "<|system|>"
SPECIAL_TOKENS = (END, USER, ASSISTANT, INVERSE, SYSTEM)


@dataclass(frozen=True)
class Mix:
    """Shares of the kinds of example; what is left over is ``question``."""

    forward: float = 0.50
    forced: float = 0.05
    inverse: float = 0.35


@dataclass(frozen=True)
class Example:
    """A text in two parts; only the second carries loss."""

    context: str
    target: str


def example(problem: Problem, rng: Random, mix: Mix) -> Example:
    """One training example about ``problem``, its kind drawn from ``mix``."""
    draw = rng.random()
    if draw < mix.forward:
        return Example(f"{USER}{problem.question}{ASSISTANT}", f"{problem.solution}{END}")
    draw -= mix.forward
    if draw < mix.forced:
        seen = "".join(_lines(problem)[: rng.randrange(len(problem.steps))])
        context = f"{USER}{problem.question}{ASSISTANT}{seen}{ANSWER_PREFIX}"
        return Example(context, f" {problem.answer}{END}")
    draw -= mix.forced
    if draw < mix.inverse:
        return Example(f"{INVERSE}{_partial(problem, rng)}", f"{USER}{problem.question}{END}")
    return Example(USER, f"{problem.question}{ASSISTANT}")


def _lines(problem: Problem) -> list[str]:
    return problem.reasoning.splitlines(keepends=True)


def _partial(problem: Problem, rng: Random) -> str:
    """The whole solution in half of the cases, else its first steps, from none to all of them."""
    if rng.random() < 0.5:
        return problem.solution
    lines = _lines(problem)
    return "".join(lines[: rng.randint(0, len(lines))])
