"""The way in, and the only place where the parts are put together."""

from __future__ import annotations

import secrets
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property, partial
from importlib.metadata import PackageNotFoundError, version
from time import perf_counter
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING

from mch_runtime.answers import AnswerSplitter, normalise
from mch_runtime.attention import AttentionSource
from mch_runtime.chain import Chain
from mch_runtime.errors import DataError, Interrupted, UsageError
from mch_runtime.explanation import Explanation
from mch_runtime.familiarity import QuestionReader
from mch_runtime.head.spec import Head
from mch_runtime.head.witness import HeadWitness
from mch_runtime.held import Held, Start
from mch_runtime.llama.context import open_session
from mch_runtime.llama.model import open_model
from mch_runtime.llama.taps import LlamaAttention
from mch_runtime.loading import choose_dialect, fit_head, model_info, special_texts
from mch_runtime.observer import ExplainObserver, Observer, SilentObserver
from mch_runtime.options import AskOptions, EngineOptions, ExplainOptions, Landmarks, Message, SamplingOptions
from mch_runtime.prefix import shared
from mch_runtime.prompting import Frame, Prompt, make_prompt
from mch_runtime.session import Branch, Interrupt, Session
from mch_runtime.strategies.fast import go_on, write_fast
from mch_runtime.trace import Cost, Mode, ModelInfo, Sampling, Seconds, Step, Trace
from prompts.dialects import Dialect
from prompts.sandbox import TemplateRefusedError

if TYPE_CHECKING:
    from mch_runtime.answering import Answered, Bench, Question
    from mch_runtime.inverse.subject import Written
    from mch_runtime.strategies.selection import Scored
    from mch_runtime.strategies.work import Task

_PROMPTS = 16  # that are remembered


class Engine:
    """One model, ready to answer. Made by :meth:`open`, closed by its ``with``.

    notices: sentences about the model and its head that a user should see once.
    """

    def __init__(
        self,
        session: Session,
        *,
        model: ModelInfo,
        dialect: Dialect,
        head: Head | None = None,
        head_fits: bool = True,
        notices: tuple[str, ...] = (),
        special_texts: Mapping[str, str] = MappingProxyType({}),
        attention: AttentionSource | None = None,
        load_seconds: float = 0.0,
    ) -> None:
        self.session = session
        self.model = model
        self.head = head
        self.notices = notices
        self._dialect = dialect
        self._head_fits = head_fits
        self._special_texts = special_texts
        self._attention = attention
        self._load_seconds = load_seconds
        self._resources = ExitStack()
        self._held = Held(session)
        self._prompts: dict[tuple[object, ...], Prompt] = {}

    @classmethod
    def open(cls, options: EngineOptions, *, interrupt: Interrupt | None = None) -> Engine:
        """Load a model and the head that belongs to it. Raises errors of ``mch_runtime.errors``.

        ``interrupt`` ends the loading, which then raises Interrupted, and later the decoding.
        """
        began = perf_counter()
        interrupt = interrupt or Interrupt()
        with ExitStack() as stack:
            model = stack.enter_context(
                open_model(
                    options.model,
                    gpu_layers=options.gpu_layers,
                    repack=not options.deterministic,
                    interrupt=interrupt,
                )
            )
            session = stack.enter_context(open_session(model, options, interrupt))
            found = fit_head(model, session, options)
            dialect, notices = choose_dialect(model)
            engine = cls(
                session,
                model=model_info(model, found),
                dialect=dialect,
                head=found.head,
                head_fits=found.fits,
                notices=(*found.notices, *notices),
                special_texts=special_texts(model),
                attention=LlamaAttention(model, options, interrupt),
                load_seconds=perf_counter() - began,
            )
            engine._resources = stack.pop_all()
        return engine

    def ask(self, question: str, options: AskOptions, *, observer: Observer | None = None) -> Trace:
        """Answer one question; an interrupt keeps what was written and says so in the trace.

        Raises UsageError if the question is empty or does not fit the context.
        """
        observer = observer or SilentObserver()
        if not options.effort.is_plain:
            return self._deliberated(question, options, observer)
        prompt = self._prompt(question, options)
        if options.landmarks is None:
            self._check_size(prompt)
        else:
            options = replace(options, landmarks=self._landmarks(options.landmarks, options.system))
        seed = options.sampling.seed if options.sampling.seed is not None else secrets.randbits(31)
        question_reader = self._question_reader(prompt, options)
        trusted = partial(self._trusted, options, question_reader)
        witness = HeadWitness(self.head, calibrated=trusted) if self.head else None
        listener = _Listener(observer, AnswerSplitter(self._dialect, opened=prompt.opens_reasoning))
        start: Start | None = None
        room = self.session.n_ctx - len(prompt.token_ids)
        if not options.begin:
            start = self._held.begin(prompt, options, question=question_reader, on_prefill=observer.prefill)
            room += start.read - start.branch.length
        with ExitStack() as stack, self.session.sampler(options.sampling, seed=seed) as sampler:
            chain = Chain(
                self.session.vocabulary,
                sampler,
                max_tokens=min(options.max_tokens or room, room),
                witness=witness,
                delimiter=self.head.spec.step_delimiter if self.head else "\n",
                keep_states=options.keep,
                on_text=listener.text,
                on_step=listener.step,
            )
            if start is None:
                start = self._held.replay(prompt, options, chain)
                run = go_on(self.session, start.branch, chain)
            else:
                run = write_fast(
                    self.session,
                    stack,
                    prompt.token_ids,
                    chain,
                    question=question_reader,
                    begun=(start.branch, start.read),
                    on_prefill=observer.prefill,
                )
        self._hold(prompt, options, chain, run.branch)
        listener.flush()
        seconds = Seconds(
            load=self._load_seconds,
            prefill=run.prefill,
            decode=run.decode,
            head=witness.seconds if witness else None,
        )
        written = max(0, len(chain.token_ids) - len(options.begin))
        raw = witness.answer_confidence("fast") if witness else None
        known = raw is not None and chain.finish_reason == "stop" and self._has_basis("fast") and trusted()
        assert chain.finish_reason is not None
        return Trace(
            question=question,
            answer=normalise(listener.answer),
            answer_text=listener.answer.strip(),
            text=chain.text,
            mode="fast",
            model=self.model,
            confidence=raw if known else None,
            confidence_basis="fast" if known else None,
            confidence_raw=raw,
            steps=tuple(chain.steps),
            cost=Cost(
                prompt_tokens=len(prompt.token_ids),
                generated_tokens=len(chain.token_ids),
                scored_tokens=0,
                seconds=seconds,
                tokens_per_second=written / seconds.decode if seconds.decode > 0 else 0.0,
                cached_tokens=start.cached,
            ),
            seed=seed,
            sampling=_sampling(options.sampling),
            finish_reason=chain.finish_reason,
            token_ids=tuple(chain.token_ids),
            created=_now(),
            sage_version=_version(),
            familiar=self._familiar(question_reader),
        )

    def _deliberated(self, question: str, options: AskOptions, observer: Observer) -> Trace:
        """In any mode. Which chain is shown is known at the end, so the observer is told all of it then."""
        from mch_runtime.answering import Question, answer_all

        self._held.release()
        bench = replace(self._bench(), task=partial(self._task, observer=observer))
        with closing(answer_all(bench, [Question(text=question, options=options)])) as found:
            answered = next(found)
        if answered.trace is None:
            raise answered.error or Interrupted()
        listener = _Listener(
            observer, AnswerSplitter(self._dialect, opened=self._prompt(question, options).opens_reasoning)
        )
        listener.replay(answered.trace)
        return answered.trace

    def sample(self, question: str, options: AskOptions) -> tuple[Trace, tuple[Scored, ...]]:
        """The answer and all chains that it was chosen from, in the order of their seeds.

        Raises Interrupted, since a part of them is no sample.
        """
        from mch_runtime.answering import Question

        with closing(self.answers([Question(text=question, options=options)])) as found:
            answered = next(found)
        if answered.trace is None or answered.trace.finish_reason == "interrupted":
            raise answered.error or Interrupted()
        return answered.trace, answered.chains

    def answers(self, questions: Iterable[Question]) -> Generator[Answered, None, None]:
        """Every question's answer, in their order; different questions are answered side by side.

        They are taken as there is room for them. One that cannot be answered comes with its error and does not stop
        the others; an interrupt is raised behind those that were under way, which come with what they have.
        """
        from mch_runtime.answering import answer_all

        self._held.release()
        yield from answer_all(self._bench(), questions)

    def _bench(self) -> Bench:
        from mch_runtime.answering import Bench
        from mch_runtime.strategies.batching import SPARE_BRANCHES

        return Bench(
            session=self.session,
            model=self.model,
            load_seconds=self._load_seconds,
            most=max(1, self.session.free_branches - SPARE_BRANCHES - 1),
            task=self._task,
            familiar=lambda task: self._familiar(task.reader),
            stamp=lambda: (_now(), _version()),
        )

    def _task(self, question: Question, *, observer: Observer | None = None) -> Task:
        """A question made ready. Raises UsageError if it is empty or does not fit the context."""
        from mch_runtime.strategies.desk import Case
        from mch_runtime.strategies.work import Task

        observer = observer or SilentObserver()
        options = question.options
        if options.begin or options.landmarks:
            raise UsageError(
                f"mode {options.effort.mode} begins every answer anew, in the whole context",
                hint="use mode fast here",
            )
        prompt = self._prompt(question.text, options)
        self._check_size(prompt)
        reader = self._question_reader(prompt, options)
        seed = options.sampling.seed if options.sampling.seed is not None else secrets.randbits(31)
        case = Case(
            question=question.text,
            prompt=prompt,
            options=options,
            seed=seed,
            dialect=self._dialect,
            head=self.head if self._head_fits else None,
            frame=self._frame if options.effort.wants_ics else None,
            trusted=partial(self._trusted, options, reader),
            drawn=observer.drawn,
        )
        return Task(case=case, reader=reader, on_prefill=observer.prefill)

    def explain(
        self, chain: Trace | Written, options: ExplainOptions, *, observer: ExplainObserver | None = None
    ) -> Explanation:
        """Take a chain apart: one of this model's by its trace, any other scored by teacher forcing.

        An answer that was kept is not read again. Raises UsageError if there is no chain, or it does not fit the
        context, and Interrupted.
        """
        from mch_runtime.inverse.explain import Setting, explain
        from mch_runtime.inverse.subject import is_own

        prompt = self._prompt(chain.question, options)
        self._check_size(prompt)
        own = isinstance(chain, Trace) and is_own(self.session.vocabulary, chain, self.model.fingerprint)
        trace = chain if own and isinstance(chain, Trace) else self._foreign(chain, prompt)
        reader = None if own else self._question_reader(prompt, options)
        familiar = own and trace.familiar is not False
        setting = Setting(
            session=self.session,
            dialect=self._dialect,
            head=self.head,
            frame=self._frame,
            attention=self._attention,
            calibrated=lambda: familiar and self._calibrated(options),
            observer=observer or SilentObserver(),
        )
        kept = self._held.for_explaining(trace.token_ids, options)
        explanation = explain(setting, trace, options, prompt=prompt, own=own, kept=kept, question=reader)
        if own:
            return explanation
        return replace(explanation, trace=replace(explanation.trace, familiar=self._familiar(reader)))

    def _foreign(self, chain: Trace | Written, prompt: Prompt) -> Trace:
        """The trace of a chain that this model has not written, before anything is measured."""
        from mch_runtime.inverse.subject import Written, foreign_trace

        if isinstance(chain, Trace):
            chain = Written(question=chain.question, text=chain.text, answer=chain.answer)
        return foreign_trace(
            self.session.vocabulary,
            self._dialect,
            chain,
            model=self.model,
            prompt_tokens=len(prompt.token_ids),
            load_seconds=self._load_seconds,
            created=_now(),
            sage_version=_version(),
        )

    @cached_property
    def _frame(self) -> Frame | None:
        """The inverse prompt; None if the model's template cannot show it."""
        from mch_runtime.inverse.consistency import inverse_frame

        try:
            return inverse_frame(self.session.vocabulary, self._dialect, **self._special_texts)
        except TemplateRefusedError:
            return None

    def close(self) -> None:
        """Free context, model and file, in this order."""
        self._held.release()
        self._resources.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _prompt(self, question: str, options: AskOptions | ExplainOptions) -> Prompt:
        """The prompt; the last few are remembered, since a foreign template is rendered in a process of its own."""
        if not question.strip():
            raise UsageError("the question is empty", hint='try: sage "Ann has 3 apples. ..."')
        key = (options.system, options.past, question)
        if key not in self._prompts:
            while len(self._prompts) >= _PROMPTS:
                del self._prompts[next(iter(self._prompts))]
            self._prompts[key] = self._made_prompt(*key)
        return self._prompts[key]

    def _made_prompt(self, system: str, past: Sequence[Message], question: str) -> Prompt:
        messages = [Message(role="system", content=system)] if system else []
        messages += [*past, Message(role="user", content=question)]
        try:
            return make_prompt(
                self.session.vocabulary,
                self._dialect,
                [{"role": message.role, "content": message.content} for message in messages],
                written={
                    place: message.token_ids for place, message in enumerate(messages) if message.token_ids
                },
                **self._special_texts,
            )
        except TemplateRefusedError as error:
            hint = "its template may not take a system prompt: leave it out" if system else ""
            raise DataError(f"{self.model.file}: {error}", hint=hint) from error

    def _check_size(self, prompt: Prompt) -> None:
        if len(prompt.token_ids) >= self.session.n_ctx:
            raise UsageError(
                f"the question has {len(prompt.token_ids):,} tokens, the context holds {self.session.n_ctx:,}",
                hint="shorten it, or raise --ctx-size",
            )

    def _landmarks(self, landmarks: Landmarks, system: str) -> Landmarks:
        """With the system prompt's tokens to stay: those that any two prompts under it share."""
        if landmarks.head is not None:
            return landmarks
        one, other = (self._prompt(question, AskOptions(system=system)).token_ids for question in "ab")
        return replace(landmarks, head=shared(one, other))

    @property
    def n_ctx(self) -> int:
        """How many tokens a conversation may have."""
        return self.session.n_ctx

    @property
    def dialect(self) -> str:
        """How the model is spoken to: the name of a shipped template, or ``custom``."""
        return self._dialect.name

    @property
    def template(self) -> str:
        """The chat template that questions are put in."""
        return self._dialect.template

    def size(self, question: str, options: AskOptions) -> int:
        """How many tokens the prompt of a question has, whether or not they fit. Nothing is decoded."""
        return len(self._prompt(question, options).token_ids)

    def message(self, trace: Trace) -> Message:
        """What the model is shown later of an answer of its own.

        Its reasoning is left out where the template marks it as such, as the authors of such templates do.
        """
        if self._dialect.opens and trace.text.strip() != trace.answer_text:
            return Message(role="assistant", content=trace.answer_text)
        token_ids = trace.token_ids
        if token_ids and self.session.vocabulary.is_end(token_ids[-1]):
            token_ids = token_ids[:-1]
        return Message(role="assistant", content=trace.text, token_ids=token_ids)

    def _hold(self, prompt: Prompt, options: AskOptions, chain: Chain, branch: Branch | None) -> None:
        """Keep the question and its answer in the cache, if that is wanted."""
        self._held.settle([*prompt.token_ids, *chain.token_ids])
        if not options.keep:
            self._held.release()
        elif branch is not None and chain.finish_reason is not None:
            self._held.keep(prompt, chain, branch, options)

    def _calibrated(self, options: AskOptions | ExplainOptions) -> bool:
        """Whether the head's confidences mean what they say: right base, right prompt, nothing said before."""
        if self.head is None or not self._head_fits or options.system or options.past:
            return False
        return self.head.spec.template in {"", self._dialect.sha256}

    def _has_basis(self, mode: Mode) -> bool:
        """Whether the head says what its numbers mean for answers found in this way."""
        return self.head is not None and mode in self.head.spec.calibration

    def _question_reader(self, prompt: Prompt, options: AskOptions | ExplainOptions) -> QuestionReader | None:
        """Only where the threshold holds: under another prompt, or on another base, it says nothing."""
        if self.head is None or self.head.spec.familiarity is None or not self._calibrated(options):
            return None
        if isinstance(options, AskOptions):
            return self._held.reader(prompt)
        return QuestionReader(prompt.token_ids, prompt.question or (0, 0))

    def _familiar(self, reader: QuestionReader | None) -> bool | None:
        """Whether the question is worded as those the head was fitted on; None where that is not known."""
        if reader is None or not reader.complete or self.head is None or self.head.spec.familiarity is None:
            return None
        rule = self.head.spec.familiarity
        return reader.lowest(rule.window) >= rule.threshold

    def _trusted(self, options: AskOptions, reader: QuestionReader | None) -> bool:
        """Calibrated, and asked in familiar words if the head has a measure of that."""
        return self._calibrated(options) and (reader is None or bool(self._familiar(reader)))


class _Listener:
    """Passes text on in its parts, and a step once all of its text has been told."""

    def __init__(self, observer: Observer, splitter: AnswerSplitter) -> None:
        self.answer = ""
        self._observer = observer
        self._splitter = splitter

    def text(self, text: str) -> None:
        for piece, part in self._splitter.feed(text):
            self._tell(piece, part)

    def step(self, step: Step) -> None:
        self._observer.step(step)

    def flush(self) -> None:
        for piece, part in self._splitter.flush():
            self._tell(piece, part)

    def replay(self, trace: Trace) -> None:
        """Tell what has been written before."""
        rest = trace.text
        for step in trace.steps:
            before, found, rest = rest.partition(step.text)
            line_break = rest[: len(rest) - len(rest.removeprefix("\n"))]
            self.text(before + found + line_break)
            self.step(step)
            rest = rest.removeprefix(line_break)
        self.text(rest)
        self.flush()

    def _tell(self, piece: str, part: str) -> None:
        if part == "answer":
            self.answer += piece
            self._observer.text(piece, "answer")
        else:
            self._observer.text(piece, "reasoning")


def _sampling(options: SamplingOptions) -> Sampling:
    return Sampling(
        temperature=options.temperature, top_k=options.top_k, top_p=options.top_p, min_p=options.min_p
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _version() -> str:
    try:
        return version("sage-cli")
    except PackageNotFoundError:
        return "unknown"
