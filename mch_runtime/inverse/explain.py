"""A chain taken apart: every measurement of this package in the order that reads the least."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property, partial
from time import perf_counter

from mch_runtime.attention import AttentionSource
from mch_runtime.errors import ResourceError, UsageError
from mch_runtime.explanation import Consistency, Decision, Explanation, Faithfulness, Premise
from mch_runtime.familiarity import QuestionReader
from mch_runtime.head.spec import Head
from mch_runtime.inverse.commitment import Commitment, ask_commitment
from mch_runtime.inverse.consistency import Reasoning, asking_consistency
from mch_runtime.inverse.decisions import Survey, find_decisions
from mch_runtime.inverse.faithfulness import measure_faithfulness
from mch_runtime.inverse.kept import Kept
from mch_runtime.inverse.meter import MeteredSession
from mch_runtime.inverse.premises import find_premises
from mch_runtime.inverse.reading import (
    DELIMITER,
    Read,
    kept_read,
    read_chain,
    step_tokens,
    text_ends,
)
from mch_runtime.inverse.scoring import Inquiry, answer
from mch_runtime.inverse.segment import Segment, final_answer, segments, sentences
from mch_runtime.inverse.verdicts import judge_steps
from mch_runtime.observer import ExplainObserver
from mch_runtime.options import ExplainOptions
from mch_runtime.prompting import Frame, Prompt, plain_tokens
from mch_runtime.session import Session
from mch_runtime.statistics import measured_step
from mch_runtime.trace import Step, Trace
from prompts.dialects import Dialect

FORCED_TOKENS = 16  # room for the forced answer's prefix and end


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The model that explains.

    frame: its inverse prompt, None if its template cannot show one. attention: None where it cannot be had. calibrated:
    whether the head's channels may be given as confidences.
    """

    session: Session
    dialect: Dialect
    head: Head | None
    frame: Frame | None
    attention: AttentionSource | None
    calibrated: Callable[[], bool]
    observer: ExplainObserver


def explain(
    setting: Setting,
    trace: Trace,
    options: ExplainOptions,
    *,
    prompt: Prompt,
    own: bool,
    kept: Kept | None = None,
    question: QuestionReader | None = None,
) -> Explanation:
    """Take the trace's chain apart, scored by the setting's model, whoever wrote it.

    prompt: the question's. kept: the chain as its generation left it, where that is still in the cache. question: reads along in the
    prompt. Raises UsageError if the chain does not fit the context with its question, before anything is
    decoded, and Interrupted.
    """
    began = perf_counter()
    meter = MeteredSession(setting.session)
    attention = meter.metered(setting.attention) if setting.attention and options.attention else None
    work = _Work(replace(setting, session=meter, attention=attention), trace, options, prompt)
    work.check_size()
    consistency = None if kept is not None or work.has_room else work.scores(None)[0]
    setting.observer.measuring("steps")
    with work.read(question) if kept is None else work.recall(kept) as read:
        found, commitment = work.scores(read, consistency=consistency is None)
        consistency = consistency or found
        premises = work.premises(read)
        faithfulness = work.faithfulness(read, premises)
        decisions = work.decisions(read, commitment)
    explained = replace(
        trace,
        steps=work.steps(read, commitment, premises),
        confidence_raw=trace.confidence_raw if own else read.confidence_raw,
        ics=consistency.ics if consistency else None,
        cost=replace(
            trace.cost,
            scored_tokens=meter.tokens,
            seconds=replace(trace.cost.seconds, inverse=perf_counter() - began),
        ),
    )
    return Explanation(
        trace=explained,
        own=own,
        sentences=work.sentences,
        usefulness=_spread(read, commitment.usefulness if commitment else ()),
        consistency=consistency,
        decisions=decisions,
        premises=premises,
        faithfulness=faithfulness,
    )


class _Work:
    """One chain being explained."""

    def __init__(self, setting: Setting, trace: Trace, options: ExplainOptions, prompt: Prompt) -> None:
        self._setting, self._trace, self._options, self._prompt = setting, trace, options, prompt
        self._session = setting.session
        self._text, self._ends = text_ends(self._session.vocabulary, trace.token_ids)
        self._answer = self._answer_of(self._text) or trace.answer
        self.segments = self._cut(self._text)
        self.sentences = sentences(trace.question)

    @cached_property
    def _inverse(self) -> int:
        """How many tokens the inverse prompt needs, and its question once more."""
        if self._setting.frame is None:
            return 0
        filled = self._setting.frame.fill(self._text, self._trace.question)
        return len(filled.token_ids) + len(self._prompt.token_ids)

    def check_size(self) -> None:
        """Raises UsageError if the chain, its prompt and a forced answer, or its inverse prompt, do not fit."""
        forced = len(plain_tokens(self._session.vocabulary, self._answer or "")) + FORCED_TOKENS
        needed = len(self._prompt.token_ids) + len(self._trace.token_ids) + forced
        needed = max(needed, self._inverse)
        if needed > self._session.n_ctx:
            raise UsageError(
                f"the chain needs {needed:,} tokens with its question, the context holds {self._session.n_ctx:,}",
                hint="shorten it, or raise --ctx-size",
            )

    @property
    def has_room(self) -> bool:
        """Whether the chain fits beside its inverse prompt, so that both can be scored together."""
        return (
            self._session.free_tokens
            >= len(self._prompt.token_ids) + len(self._trace.token_ids) + self._inverse
        )

    def scores(
        self, read: Read | None, *, consistency: bool = True
    ) -> tuple[Consistency | None, Commitment | None]:
        """What is scored behind the chain and in the inverse prompt, in one batch.

        The first is None where the model's template shows no inverse prompt or none is wanted, the second where the
        chain is not read or cannot be asked for its answer.
        """
        self._setting.observer.measuring("consistency")
        with self._asking_consistency() if consistency else nullcontext() as inverse:
            asked = {"consistency": inverse, "commitment": self._asking_commitment(read)}
            inquiries = {name: inquiry for name, inquiry in asked.items() if inquiry is not None}
            found = dict(zip(inquiries, answer(self._session, list(inquiries.values())), strict=True))
        whole = found.get("consistency")
        return whole[0] if whole else None, found.get("commitment")

    def _asking_consistency(self) -> AbstractContextManager[Inquiry[list[Consistency]] | None]:
        if self._setting.frame is None:
            return nullcontext()
        prefixes = tuple(self._text[:end] for end in self._step_ends()) if self._options.monotonicity else ()
        return asking_consistency(
            self._session,
            self._setting.frame,
            question=self._trace.question,
            reasonings=[Reasoning(text=self._text, prefixes=prefixes)],
            control=self._options.control,
        )

    def _asking_commitment(self, read: Read | None) -> Inquiry[Commitment] | None:
        if read is None or self._answer is None:
            return None
        return ask_commitment(
            self._session.vocabulary, read, dialect=self._setting.dialect, answer=self._answer
        )

    def read(self, question: QuestionReader | None) -> AbstractContextManager[Read]:
        return read_chain(
            self._session,
            prompt=self._prompt,
            token_ids=self._trace.token_ids,
            segments=self.segments,
            head=self._setting.head,
            calibrated=self._setting.calibrated,
            question=question,
        )

    def recall(self, kept: Kept) -> AbstractContextManager[Read]:
        judged = {
            step.tokens[1]: step.confidence for step in self._trace.steps if step.confidence is not None
        }
        return nullcontext(
            kept_read(
                self._session.vocabulary,
                kept,
                segments=self.segments,
                head=self._setting.head,
                calibrated=self._setting.calibrated,
                judged=judged,
            )
        )

    def premises(self, read: Read) -> tuple[Premise, ...] | None:
        if not self._options.premises:
            return None
        self._setting.observer.measuring("premises")
        find = partial(
            find_premises, self._session, read, question=self._trace.question, sentences=self.sentences
        )
        try:
            return find(attention=self._setting.attention)
        except ResourceError:
            # The attention of a very long chain takes too much memory: taking premises away still tells.
            if self._setting.attention is None:
                raise
            return find(attention=None)

    def faithfulness(self, read: Read, premises: Sequence[Premise] | None) -> Faithfulness | None:
        if not self._options.faithfulness or premises is None:
            return None
        self._setting.observer.measuring("faithfulness")
        return measure_faithfulness(
            self._session,
            read,
            question=self._trace.question,
            sentences=self.sentences,
            premises=premises,
            answer=self._answer,
            answer_of=self._answer_of,
        )

    def steps(
        self, read: Read, commitment: Commitment | None, premises: Sequence[Premise] | None
    ) -> tuple[Step, ...]:
        """The steps with all that is known of each of them."""
        committed = _spread(read, commitment.logprobs[1:] if commitment else ())
        found = [
            measured_step(
                step.segment.text,
                step.tokens,
                read.statistics,
                confidence=step.confidence,
                commitment=value,
            )
            for step, value in zip(read.steps, committed, strict=True)
        ]
        judged = judge_steps(
            [step.text for step in found],
            question=[self._trace.question[start:end] for start, end in self.sentences],
            confidences=[step.confidence for step in found],
            logprob_min=[step.logprob_min for step in found],
            premises=premises,
        )
        return tuple(
            replace(step, verdict=verdict, evidence=evidence)
            for step, (verdict, evidence) in zip(found, judged, strict=True)
        )

    def decisions(self, read: Read, commitment: Commitment | None) -> tuple[Decision, ...] | None:
        if not self._options.alternatives:
            return None
        self._setting.observer.measuring("alternatives")
        survey = Survey(
            question=self._trace.question,
            answer=self._answer,
            points=self._options.points,
            alternatives=self._options.alternatives_each,
            budget=self._options.budget,
            answer_of=self._answer_of,
            segments=self._cut,
            calibrated=self._setting.calibrated(),
        )
        setting = self._setting
        return find_decisions(
            self._session, read, survey, frame=setting.frame, head=setting.head, commitment=commitment
        )

    def _step_ends(self) -> list[int]:
        """How many characters of the text each step ends with, its delimiter included; the last one all."""
        delimiter = self._setting.head.spec.step_delimiter if self._setting.head else DELIMITER
        spans = step_tokens(self.segments, self._text, self._ends, delimiter=delimiter)
        return [self._ends[end - 1] for _, end in spans[:-1]] + [len(self._text)] * bool(spans)

    def _cut(self, text: str) -> tuple[Segment, ...]:
        return segments(text, dialect=self._setting.dialect)

    def _answer_of(self, text: str) -> str | None:
        return final_answer(text, dialect=self._setting.dialect)


def _spread(read: Read, values: Sequence[float]) -> tuple[float | None, ...]:
    """A value for every step that is not the answer, None for those that are, and where there are none."""
    left = iter(values)
    return tuple(next(left, None) if step.segment.kind != "answer" else None for step in read.steps)
