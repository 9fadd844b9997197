"""An engine that says what it is told to, for tests of everything around it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from mch_runtime.answering import Answered, Question
from mch_runtime.errors import SageError, UsageError
from mch_runtime.observer import Observer, Part, SilentObserver
from mch_runtime.options import AskOptions, EngineOptions
from mch_runtime.session import Interrupt
from mch_runtime.trace import Choice, Cost, ModelInfo, Sampling, Seconds, Step, Trace, Vote

Piece = tuple[str, Part]

PICO = ModelInfo(
    name="sage-pico",
    file="/models/sage-pico.gguf",
    quantization="Q8_0",
    fingerprint="f" * 64,
    head="sage-pico-mch",
)
QUESTION = "Tom has 12 apples. Ann has 3 more than Tom. How many do they have together?"


def pieces(*lines: str, part: Part = "reasoning") -> list[list[Piece]]:
    """The token texts of each step: words, each with the space in front of it; blank lines go in front."""
    steps = []
    blank: list[Piece] = []
    for line in lines:
        if not line:
            blank.append(("\n", part))
            continue
        words = line.split(" ")
        steps.append([*blank, (words[0], part), *((f" {word}", part) for word in words[1:]), ("\n", part)])
        blank = []
    return steps


def pico_answer(answer: str = "27") -> list[Piece]:
    return [("Answer:", "reasoning"), (f" {answer}", "answer")]


def confident(valid: float, sound: float | None = None, answer: float | None = None) -> dict[str, float]:
    return {
        "valid": valid,
        "sound": valid if sound is None else sound,
        "answer": valid if answer is None else answer,
    }


@dataclass
class Script:
    """steps: the token texts of each step. confidences: of each step, None without a calibrated head."""

    steps: Sequence[Sequence[Piece]] = field(
        default_factory=lambda: [
            *pieces("Step 1: Ann has 12 + 3 = 15 apples.", "Step 2: Together they have 12 + 15 = 27 apples."),
            pico_answer(),
        ]
    )
    confidences: Sequence[dict[str, float] | None] = (
        confident(0.994),
        confident(0.74),
        confident(0.981, answer=0.968),
    )
    confidence: float | None = 0.968
    familiar: bool | None = None
    model: ModelInfo = PICO
    notices: tuple[str, ...] = ()
    delay: float = 0.0
    load_error: SageError | None = None
    ask_error: SageError | None = None
    prompt_tokens: int = 48
    stubborn: bool = False
    votes: tuple[Vote, ...] = ()
    choice: Choice | None = None
    ics: float | None = None


class FakeEngine:
    """Tells its script to the observer; ``asked`` holds what it was asked."""

    def __init__(self, script: Script, options: EngineOptions, interrupt: Interrupt | None) -> None:
        self.options = options
        self.asked: list[tuple[str, AskOptions]] = []
        self.model = script.model if options.use_head else replace(script.model, head=None)
        self.notices = script.notices
        self._script = script
        self._interrupt = interrupt or Interrupt()

    def ask(self, question: str, options: AskOptions, *, observer: Observer) -> Trace:
        self.asked.append((question, options))
        if self._script.ask_error:
            raise self._script.ask_error
        observer.prefill(0, self._script.prompt_tokens)
        observer.prefill(self._script.prompt_tokens, self._script.prompt_tokens)
        told: list[Piece] = []
        steps: list[Step] = []
        reason = "stop"
        for script, confidence in zip(self._script.steps, self._script.confidences, strict=True):
            start = len(told)
            for piece in script:
                stop = self._interrupt.requested and not self._script.stubborn
                if stop or (options.max_tokens and len(told) >= options.max_tokens):
                    reason = "interrupted" if stop else "length"
                    break
                if self._script.delay:
                    time.sleep(self._script.delay)
                observer.text(*piece)
                told.append(piece)
            if len(told) > start:
                steps.append(self._step(told[start:], start, confidence if reason == "stop" else None))
                observer.step(steps[-1])
            if reason != "stop":
                break
        return self._trace(question, options, told, tuple(steps), reason)

    def _step(self, told: Sequence[Piece], start: int, confidence: dict[str, float] | None) -> Step:
        return Step(
            text="".join(text for text, _ in told).strip(),
            tokens=(start, start + len(told)),
            logprob_mean=-0.12,
            logprob_min=-0.9,
            entropy_mean=0.2,
            confidence=confidence if self.model.head else None,
        )

    def _trace(
        self, question: str, options: AskOptions, told: Sequence[Piece], steps: tuple[Step, ...], reason: str
    ) -> Trace:
        answer = "".join(text for text, part in told if part == "answer").strip()
        known = self.model.head is not None and reason == "stop" and self._script.familiar is not False
        several = options.effort.mode != "fast"
        return Trace(
            question=question,
            answer=answer or None,
            answer_text=answer,
            text="".join(text for text, _ in told),
            mode=options.effort.mode,
            model=self.model,
            confidence=self._script.confidence if known else None,
            confidence_basis="fast" if known and self._script.confidence is not None else None,
            confidence_raw=self._script.confidence if self.model.head else None,
            steps=steps,
            cost=Cost(
                prompt_tokens=self._script.prompt_tokens,
                generated_tokens=len(told),
                scored_tokens=0,
                seconds=Seconds(load=0.08, prefill=0.01, decode=0.06, head=0.002),
                tokens_per_second=812.4,
            ),
            seed=options.sampling.seed or 7,
            sampling=Sampling(
                temperature=options.sampling.temperature,
                top_k=options.sampling.top_k,
                top_p=options.sampling.top_p,
                min_p=options.sampling.min_p,
            ),
            finish_reason=reason,  # type: ignore[arg-type]
            token_ids=tuple(range(len(told))),
            created="2026-01-02T03:04:05.000+00:00",
            sage_version="0",
            familiar=self._script.familiar,
            ics=self._script.ics if options.effort.wants_ics else None,
            votes=self._script.votes if several else (),
            choice=self._script.choice if several else None,
        )

    def answers(self, questions: Iterable[Question]) -> Iterator[Answered]:
        """Questions that are "?" cannot be answered."""
        for place, question in enumerate(questions):
            if question.text == "?":
                error = UsageError("the question is too short")
                yield Answered(place=place, trace=None, error=error)
            else:
                trace = self.ask(question.text, question.options, observer=SilentObserver())
                yield Answered(place=place, trace=trace)


class FakeOpener:
    """What ``main`` opens engines with; ``engines`` holds those it opened."""

    def __init__(self, script: Script | None = None) -> None:
        self.script = script or Script()
        self.engines: list[FakeEngine] = []
        self.closed = 0

    def __call__(self, options: EngineOptions, *, interrupt: Interrupt | None = None) -> _Open:
        if self.script.load_error:
            raise self.script.load_error
        engine = FakeEngine(self.script, options, interrupt)
        self.engines.append(engine)
        return _Open(self, engine)


class _Open:
    def __init__(self, opener: FakeOpener, engine: FakeEngine) -> None:
        self._opener = opener
        self._engine = engine

    def __enter__(self) -> FakeEngine:
        return self._engine

    def __exit__(self, *_: object) -> None:
        self._opener.closed += 1
