"""How problems become token sequences: special tokens, prompts, chat template, the six examples.

    forward   <|user|>question<|assistant|>steps, answer<|end|>       loss on the solution
    forced    <|user|>question<|assistant|>some steps, Answer: a<|end|>      loss on the answer
    inverse   <|inverse|>steps, answer<|user|>question<|end|>         loss on the question
    question  <|user|>question<|assistant|>                           loss on the question
    check     <|user|>question<|assistant|>some steps, right or wrong<|user|>Is the last step right?<|assistant|>
              yes<|end|>                                              loss on the verdict
    reflection   <|user|>question<|assistant|>some steps, a wrong one, "Wait, step 2 is wrong.",
              the right steps from there on, answer<|end|>            loss on all behind the wrong step

Inverse examples stop after any number of steps, none included, and only finished reasoning shows
its answer: inverse consistency compares the question's likelihood with and without reasoning.
Forced examples let the answer be asked for before the reasoning is done: commitment needs that.
A check is of a right step in one case of four, and of a mistake in three. A reflection never teaches the mistake.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from mch_runtime.withdrawal import WITHDRAWAL
from training.families.gists import gists
from training.mistakes import hard_negatives
from training.problems import ANSWER_PREFIX, Problem

END = "<|end|>"
USER = "<|user|>"
ASSISTANT = "<|assistant|>"
INVERSE = "<|inverse|>"
SYSTEM = "<|system|>"
CHECK = "Is the last step right?"
RECALL = "What is told?"
SPECIAL_TOKENS = (END, USER, ASSISTANT, INVERSE, SYSTEM)


@dataclass(frozen=True)
class Mix:
    """Shares of the kinds of example; what is left over is ``question``. Raises ValueError above 1."""

    forward: float = 0.50
    forced: float = 0.05
    inverse: float = 0.35
    check: float = 0.0
    reflection: float = 0.0
    recall: float = 0.0

    def __post_init__(self) -> None:
        total = self.forward + self.forced + self.inverse + self.check + self.reflection + self.recall
        if total > 1 + 1e-9:
            raise ValueError(f"the shares of the examples add up to {total:.3f}, which is more than 1")


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
    draw -= mix.inverse
    if draw < mix.check:
        return check(problem, rng)
    draw -= mix.check
    if draw < mix.reflection:
        return reflection(problem, rng)
    draw -= mix.reflection
    if draw < mix.recall:
        return recall(problem, rng)
    return Example(USER, f"{problem.question}{ASSISTANT}")


def check(problem: Problem, rng: Random) -> Example:
    """Whether the last of some steps is right: yes in one case of four."""
    lines = _lines(problem)
    index = rng.randrange(len(lines))
    mistakes = hard_negatives(problem, index, rng) if rng.random() < 0.75 else ()
    shown = f"{rng.choice(mistakes).line}\n" if mistakes else lines[index]
    context = f"{USER}{problem.question}{ASSISTANT}{''.join(lines[:index])}{shown}"
    return Example(f"{context}{USER}{CHECK}{ASSISTANT}", f"{'no' if mistakes else 'yes'}{END}")


def recall(problem: Problem, rng: Random) -> Example:
    """What the question tells, sentence by sentence, in another order."""
    told = gists(problem)
    context = f"{USER}{problem.question}{USER}{RECALL}{ASSISTANT}"
    return Example(context, f"{' '.join(rng.sample(told, len(told)))}{END}")


def reflection(problem: Problem, rng: Random) -> Example:
    """A mistake after some right steps, taken back, and the right steps from there on.

    Without the mistake, nor the words that take it back, where no mistake is known.
    """
    lines = _lines(problem)
    index = rng.randrange(len(lines))
    context = f"{USER}{problem.question}{ASSISTANT}{''.join(lines[:index])}"
    rest = f"{''.join(lines[index:])}{ANSWER_PREFIX} {problem.answer}{END}"
    mistakes = hard_negatives(problem, index, rng)
    if not mistakes:
        return Example(context, rest)
    wait = WITHDRAWAL.format(number=index + 1)
    return Example(f"{context}{rng.choice(mistakes).line}\n", f"{wait}\n{rest}")


def _lines(problem: Problem) -> list[str]:
    return problem.reasoning.splitlines(keepends=True)


def _partial(problem: Problem, rng: Random) -> str:
    """The whole solution in half of the cases, else its first steps, from none to all of them."""
    if rng.random() < 0.5:
        return problem.solution
    lines = _lines(problem)
    return "".join(lines[: rng.randint(0, len(lines))])
