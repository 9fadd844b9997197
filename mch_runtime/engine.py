"""The way in, and the only place where the parts are put together."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property, partial
from importlib.metadata import PackageNotFoundError, version
from time import perf_counter
from types import MappingProxyType, TracebackType

from mch_runtime.answers import AnswerSplitter, normalise
from mch_runtime.attention import AttentionSource
from mch_runtime.chain import Chain
from mch_runtime.errors import DataError, UsageError
from mch_runtime.explanation import Explanation
from mch_runtime.familiarity import QuestionReader
from mch_runtime.head.spec import Head
from mch_runtime.head.witness import HeadWitness
from mch_runtime.inverse.consistency import inverse_frame
from mch_runtime.inverse.explain import Setting, explain
from mch_runtime.inverse.reading import Kept
from mch_runtime.inverse.subject import Written, foreign_trace, is_own
from mch_runtime.llama.context import open_session
from mch_runtime.llama.model import open_model
from mch_runtime.llama.taps import LlamaAttention
from mch_runtime.loading import choose_dialect, fit_head, model_info, special_texts
from mch_runtime.observer import ExplainObserver, Observer, SilentObserver
from mch_runtime.options import AskOptions, EngineOptions, ExplainOptions, SamplingOptions
from mch_runtime.prompting import Frame, Prompt, make_prompt
from mch_runtime.session import Interrupt, Session
from mch_runtime.strategies.fast import write_fast
from mch_runtime.trace import Cost, Mode, ModelInfo, Sampling, Seconds, Step, Trace
from prompts.dialects import Dialect
from prompts.sandbox import TemplateRefusedError


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
        self._kept: Kept | None = None
        self._kept_system = ""
        self._kept_resources = ExitStack()

    @classmethod
    def open(cls, options: EngineOptions, *, interrupt: Interrupt | None = None) -> Engine:
        """Load a model and the head that belongs to it. Raises errors of ``mch_runtime.errors``.

        ``interrupt`` ends the loading, which then raises Interrupted, and later the decoding.
        """
        began = perf_counter()
        interrupt = interrupt or Interrupt()
        with ExitStack() as stack:
            model = stack.enter_context(
                open_model(options.model, gpu_layers=options.gpu_layers, interrupt=interrupt)
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
        self._release()
        prompt = self._prompt(question, options.system)
        seed = options.sampling.seed if options.sampling.seed is not None else secrets.randbits(31)
        question_reader = self._question_reader(prompt, options.system)
        trusted = partial(self._trusted, options.system, question_reader)
        witness = HeadWitness(self.head, calibrated=trusted) if self.head else None
        listener = _Listener(observer, AnswerSplitter(self._dialect, opened=prompt.opens_reasoning))
        room = self.session.n_ctx - len(prompt.token_ids)
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
            run = write_fast(
                self.session,
                stack,
                prompt.token_ids,
                chain,
                question=question_reader,
                on_prefill=observer.prefill,
            )
            if options.keep and run.branch is not None and chain.finish_reason == "stop":
                self._kept = Kept(
                    prompt=prompt,
                    token_ids=chain.token_ids,
                    branch=run.branch,
                    states=chain.states,
                    statistics=chain.statistics,
                )
                self._kept_system = options.system
                self._kept_resources = stack.pop_all()
        listener.flush()
        seconds = Seconds(
            load=self._load_seconds,
            prefill=run.prefill,
            decode=run.decode,
            head=witness.seconds if witness else None,
        )
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
                tokens_per_second=len(chain.token_ids) / seconds.decode if seconds.decode > 0 else 0.0,
            ),
            seed=seed,
            sampling=_sampling(options.sampling),
            finish_reason=chain.finish_reason,
            token_ids=tuple(chain.token_ids),
            created=_now(),
            sage_version=_version(),
            familiar=self._familiar(question_reader),
        )

    def explain(
        self, chain: Trace | Written, options: ExplainOptions, *, observer: ExplainObserver | None = None
    ) -> Explanation:
        """Take a chain apart: one of this model's by its trace, any other scored by teacher forcing.

        An answer that was kept is not read again. Raises UsageError if there is no chain, or it does not fit the
        context, and Interrupted.
        """
        prompt = self._prompt(chain.question, options.system)
        own = isinstance(chain, Trace) and is_own(self.session.vocabulary, chain, self.model.fingerprint)
        trace = chain if own and isinstance(chain, Trace) else self._foreign(chain, prompt)
        reader = None if own else self._question_reader(prompt, options.system)
        familiar = own and trace.familiar is not False
        setting = Setting(
            session=self.session,
            dialect=self._dialect,
            head=self.head,
            frame=self._frame,
            attention=self._attention,
            calibrated=lambda: familiar and self._calibrated(options.system),
            observer=observer or SilentObserver(),
        )
        kept = self._kept_for(trace, options)
        if kept is None:
            self._release()
        explanation = explain(setting, trace, options, prompt=prompt, own=own, kept=kept, question=reader)
        if own:
            return explanation
        return replace(explanation, trace=replace(explanation.trace, familiar=self._familiar(reader)))

    def _foreign(self, chain: Trace | Written, prompt: Prompt) -> Trace:
        """The trace of a chain that this model has not written, before anything is measured."""
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

    def _kept_for(self, trace: Trace, options: ExplainOptions) -> Kept | None:
        """The chain as its generation left it, if it is the last one, does not take up the room, and will do.

        Alternatives need what the generation does not record.
        """
        if self._kept is None or options.alternatives or self._kept_system != options.system:
            return None
        same = tuple(self._kept.token_ids) == trace.token_ids
        return self._kept if same and 3 * self._kept.branch.length <= self.session.n_ctx else None

    @cached_property
    def _frame(self) -> Frame | None:
        """The inverse prompt; None if the model's template cannot show it."""
        try:
            return inverse_frame(self.session.vocabulary, self._dialect, **self._special_texts)
        except TemplateRefusedError:
            return None

    def _release(self) -> None:
        """Forget the answer that was kept."""
        self._kept = None
        self._kept_resources.close()

    def close(self) -> None:
        """Free context, model and file, in this order."""
        self._release()
        self._resources.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _prompt(self, question: str, system: str) -> Prompt:
        if not question.strip():
            raise UsageError("the question is empty", hint='try: sage "Ann has 3 apples. ..."')
        messages = [{"role": "user", "content": question}]
        if system:
            messages.insert(0, {"role": "system", "content": system})
        try:
            prompt = make_prompt(self.session.vocabulary, self._dialect, messages, **self._special_texts)
        except TemplateRefusedError as error:
            hint = "its template may not take a system prompt: leave it out" if system else ""
            raise DataError(f"{self.model.file}: {error}", hint=hint) from error
        if len(prompt.token_ids) >= self.session.n_ctx:
            raise UsageError(
                f"the question has {len(prompt.token_ids):,} tokens, the context holds {self.session.n_ctx:,}",
                hint="shorten it, or raise --ctx-size",
            )
        return prompt

    def _calibrated(self, system: str) -> bool:
        """Whether the head's confidences mean what they say: right base, right prompt."""
        if self.head is None or not self._head_fits or system:
            return False
        return self.head.spec.template in {"", self._dialect.sha256}

    def _has_basis(self, mode: Mode) -> bool:
        """Whether the head says what its numbers mean for answers found in this way."""
        return self.head is not None and mode in self.head.spec.calibration

    def _question_reader(self, prompt: Prompt, system: str) -> QuestionReader | None:
        """Only where the threshold holds: under another prompt, or on another base, it says nothing."""
        if self.head is None or self.head.spec.familiarity is None or not self._calibrated(system):
            return None
        return QuestionReader(prompt.token_ids, prompt.question or (0, 0))

    def _familiar(self, reader: QuestionReader | None) -> bool | None:
        """Whether the question is worded as those the head was fitted on; None where that is not known."""
        if reader is None or not reader.complete or self.head is None or self.head.spec.familiarity is None:
            return None
        rule = self.head.spec.familiarity
        return reader.lowest(rule.window) >= rule.threshold

    def _trusted(self, system: str, reader: QuestionReader | None) -> bool:
        """Calibrated, and asked in familiar words if the head has a measure of that."""
        return self._calibrated(system) and (reader is None or bool(self._familiar(reader)))


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
