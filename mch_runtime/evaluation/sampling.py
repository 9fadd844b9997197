"""One problem asked in every way that a report compares, the chains of its votes drawn once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol, cast

from mch_runtime.answering import Answered as AnsweredQuestion
from mch_runtime.answering import Question
from mch_runtime.effort import Effort, SelectionSettings
from mch_runtime.errors import Interrupted
from mch_runtime.evaluation.extraction import extract, spoken_confidence
from mch_runtime.evaluation.problems import Problem
from mch_runtime.evaluation.samples import Answered, Chains, Sample, Setup
from mch_runtime.evaluation.tasks import Task
from mch_runtime.options import AskOptions, SamplingOptions
from mch_runtime.prompting import plain_tokens
from mch_runtime.session import Session
from mch_runtime.strategies.selection import Scored
from mch_runtime.trace import Mode, Seconds, Step, Trace

NEVER = 2.0  # a certainty that no vote reaches: all chains are drawn


class Answering(Protocol):
    """The part of ``mch_runtime.engine.Engine`` that an evaluation uses."""

    @property
    def session(self) -> Session: ...

    def answers(self, questions: Iterable[Question]) -> Iterator[AnsweredQuestion]:
        """Every question's answer, with the chains that it was chosen from."""
        ...


def sample(
    engine: Answering, task: Task, problem: Problem, setup: Setup, settings: SelectionSettings
) -> Sample:
    """Ask ``problem`` in the modes of ``setup``, one after the other, so that each has the machine to itself.

    Raises UsageError where it does not fit the context, and Interrupted.
    """
    text = task.prompt(problem)
    seed = problem_seed(setup.seed, problem)
    settings = replace(settings, temperature=setup.temperature)
    modes = {}
    chains = None
    for mode in setup.modes:
        if mode == "fast":
            trace, _ = _ask(engine, text, AskOptions(max_tokens=setup.max_tokens))
            modes[mode] = _answered(trace, problem)
            continue
        options = AskOptions(
            max_tokens=setup.max_tokens,
            sampling=SamplingOptions(seed=seed),  # the first chain of think and auto is fast's
            effort=_effort(mode, setup.votes, settings),
        )
        trace, scored = _ask(engine, text, options)
        if mode == "vote":
            chains = _chains(engine, text, problem, trace, scored)
        else:
            modes[mode] = _answered(trace, problem)
    return Sample(problem=problem, modes=modes, chains=chains)


def _effort(mode: str, votes: int, settings: SelectionSettings) -> Effort:
    if mode == "vote":  # all chains, whatever they say, with all that any rule asks for
        drawn = replace(settings, stop_at=NEVER)
        return Effort(mode="vote", votes=votes, rule="both", settings=drawn, ics=True, windows=True)
    return Effort(mode=cast(Mode, mode), votes=votes, settings=settings)


def _ask(engine: Answering, text: str, options: AskOptions) -> tuple[Trace, Sequence[Scored]]:
    answered = next(iter(engine.answers([Question(text=text, options=options)])))
    if answered.trace is None:
        raise answered.error or Interrupted()
    return answered.trace, answered.chains


def unanswered(problem: Problem, setup: Setup) -> Sample:
    """A problem that the model cannot be asked: without an answer in every mode."""
    nothing = Answered(
        answer=None,
        confidence=None,
        logprob_mean=-1e6,
        spoken=None,
        steps=0,
        valid=None,
        prompt_tokens=0,
        generated_tokens=0,
        scored_tokens=0,
        seconds=0.0,
    )
    chains = Chains(
        scored=tuple(Scored(answer=None, text="", logprob_sum=0.0, tokens=0) for _ in range(setup.votes)),
        spoken=(None,) * setup.votes,
        confidence=None,
        prompt_tokens=0,
        question_tokens=None,
        scored_tokens=0,
        seconds=0.0,
        scoring_seconds=0.0,
    )
    modes = dict.fromkeys((mode for mode in setup.modes if mode != "vote"), nothing)
    return Sample(problem=problem, modes=modes, chains=chains if "vote" in setup.modes else None)


def problem_seed(seed: int, problem: Problem) -> int:
    """The seed of a problem's chains: the same wherever it stands among the others."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{problem.sha256}".encode()).digest()[:4], "little")


def _chains(engine: Answering, text: str, problem: Problem, trace: Trace, scored: Sequence[Scored]) -> Chains:
    canonical = [replace(chain, answer=_answer(chain.answer, problem)) for chain in scored]
    known = any(chain.ics is not None for chain in scored)
    seconds = trace.cost.seconds
    return Chains(
        scored=tuple(canonical),
        spoken=tuple(spoken_confidence(chain.text) for chain in scored),
        confidence=trace.confidence,
        prompt_tokens=trace.cost.prompt_tokens,
        question_tokens=len(plain_tokens(engine.session.vocabulary, text)) if known else None,
        scored_tokens=trace.cost.scored_tokens,
        seconds=_spent(seconds) - (seconds.inverse or 0.0),
        scoring_seconds=seconds.inverse or 0.0,
    )


def _answered(trace: Trace, problem: Problem) -> Answered:
    return Answered(
        answer=_answer(trace.answer_text or trace.answer, problem),
        confidence=trace.confidence,
        logprob_mean=_logprob_mean(trace.steps),
        spoken=spoken_confidence(trace.text),
        steps=len(trace.steps),
        valid=_valid(trace.steps),
        prompt_tokens=trace.cost.prompt_tokens,
        generated_tokens=trace.cost.generated_tokens,
        scored_tokens=trace.cost.scored_tokens,
        seconds=_spent(trace.cost.seconds),
        escalations=len(trace.escalations),
    )


def _answer(text: str | None, problem: Problem) -> str | None:
    return extract(text, problem.kind, problem.options) if text else None


def _logprob_mean(steps: Sequence[Step]) -> float:
    """Of all tokens; very low for a chain without text."""
    lengths = [step.tokens[1] - step.tokens[0] for step in steps]
    total = sum(step.logprob_mean * length for step, length in zip(steps, lengths, strict=True))
    return total / sum(lengths) if steps else -1e6


def _valid(steps: Sequence[Step]) -> tuple[float, ...] | None:
    found = [step.confidence["valid"] for step in steps if step.confidence and "valid" in step.confidence]
    return tuple(found) if steps and len(found) == len(steps) else None


def _spent(seconds: Seconds) -> float:
    """All but the loading; the head's seconds are part of the decoding."""
    return seconds.prefill + seconds.decode + (seconds.inverse or 0.0)
