"""The way in, and the only place where the parts are put together."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import ExitStack, closing
from time import perf_counter
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, TypeVar

from mch_runtime.asking import ask_fast
from mch_runtime.attention import AttentionSource
from mch_runtime.errors import Interrupted
from mch_runtime.explanation import Explanation
from mch_runtime.head.spec import Head
from mch_runtime.held import Held
from mch_runtime.llama.context import open_session
from mch_runtime.llama.model import open_model
from mch_runtime.llama.taps import LlamaAttention
from mch_runtime.loading import choose_dialect, fit_head, model_info, special_texts, steering_of
from mch_runtime.observer import ExplainObserver, Observer, SilentObserver
from mch_runtime.options import AskOptions, EngineOptions, ExplainOptions, Message
from mch_runtime.prompter import Prompter
from mch_runtime.prompting import Prompt
from mch_runtime.rig import Rig
from mch_runtime.session import Interrupt, Session
from mch_runtime.steering import read_vectors
from mch_runtime.trace import ModelInfo, Trace
from mch_runtime.trust import Trust
from prompts.dialects import Dialect

if TYPE_CHECKING:
    from mch_runtime.answering import Answered, Question
    from mch_runtime.inverse.subject import Written
    from mch_runtime.strategies.desk import Desk, Plan
    from mch_runtime.strategies.selection import Scored
    from mch_runtime.strategies.work import Worked

T = TypeVar("T")


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
        steered: bool = False,
        notices: tuple[str, ...] = (),
        special_texts: Mapping[str, str] = MappingProxyType({}),
        attention: AttentionSource | None = None,
        load_seconds: float = 0.0,
    ) -> None:
        self.session = session
        self.model = model
        self.head = head
        self.notices = notices
        self._rig = Rig(
            session=session,
            model=model,
            dialect=dialect,
            head=head,
            trust=Trust(head, fits=head_fits, template=dialect.sha256, steered=steered),
            prompter=Prompter(session, dialect, special_texts=special_texts, file=model.file),
            held=Held(session),
            attention=attention,
            load_seconds=load_seconds,
        )
        self._resources = ExitStack()

    @classmethod
    def open(cls, options: EngineOptions, *, interrupt: Interrupt | None = None) -> Engine:
        """Load a model and the head that belongs to it. Raises errors of ``mch_runtime.errors``.

        ``interrupt`` ends the loading, which then raises Interrupted, and later the decoding.
        """
        began = perf_counter()
        interrupt = interrupt or Interrupt()
        vectors = read_vectors(options.control_vectors)
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
            # Behind the head's probe, which asks whether the head was made for the model as it is.
            steering = steering_of(model, vectors)
            if steering is not None:
                session.steer(steering)
                notices += steering.notices
            engine = cls(
                session,
                model=model_info(model, found, steering),
                dialect=dialect,
                head=found.head,
                head_fits=found.fits,
                steered=steering is not None,
                notices=(*found.notices, *notices),
                special_texts=special_texts(model),
                attention=LlamaAttention(model, options, interrupt, steering),
                load_seconds=perf_counter() - began,
            )
            engine._resources = stack.pop_all()
        return engine

    def ask(self, question: str, options: AskOptions, *, observer: Observer | None = None) -> Trace:
        """Answer one question; an interrupt keeps what was written and says so in the trace.

        Raises UsageError if the question is empty or does not fit the context.
        """
        observer = observer or SilentObserver()
        if options.effort.is_plain:
            return ask_fast(self._rig, question, options, observer)
        from mch_runtime.readying import ask_deliberately

        return ask_deliberately(self._rig, question, options, observer)

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
        from mch_runtime.readying import bench_of

        yield from answer_all(bench_of(self._rig), questions)

    def pursue(
        self, questions: Iterable[Question], strategy: Callable[[Desk], Plan[T]]
    ) -> Generator[Worked[T], None, None]:
        """Put questions to a strategy of the caller's own, side by side; each as it is done.

        One that cannot be asked is left out. After an interrupt, Interrupted is raised behind those under way.
        """
        from mch_runtime.readying import pursue

        yield from pursue(self._rig, questions, strategy)

    def explain(
        self, chain: Trace | Written, options: ExplainOptions, *, observer: ExplainObserver | None = None
    ) -> Explanation:
        """Take a chain apart: one of this model's by its trace, any other scored by teacher forcing.

        An answer that was kept is not read again. Raises UsageError if there is no chain, or it does not fit the
        context, and Interrupted.
        """
        from mch_runtime.explaining import explain_chain

        return explain_chain(self._rig, chain, options, observer or SilentObserver())

    @property
    def n_ctx(self) -> int:
        """How many tokens a conversation may have."""
        return self.session.n_ctx

    @property
    def n_cells(self) -> int:
        """How many tokens are in the cache."""
        return self.session.n_ctx - self.session.free_tokens

    @property
    def dialect(self) -> str:
        """How the model is spoken to: the name of a shipped template, or ``custom``."""
        return self._rig.dialect.name

    @property
    def template(self) -> str:
        """The chat template that questions are put in."""
        return self._rig.dialect.template

    def size(self, question: str, options: AskOptions) -> int:
        """How many tokens the prompt of a question has, whether or not they fit. Nothing is decoded."""
        return len(self._rig.prompter.prompt(question, options).token_ids)

    def prompt(self, question: str, options: AskOptions) -> Prompt:
        """The prompt of a question. Raises UsageError if it is empty or does not fit the context."""
        return self._rig.prompter.fitting(question, options)

    def message(self, trace: Trace) -> Message:
        """What the model is shown later of an answer of its own."""
        return self._rig.prompter.said(trace)

    def close(self) -> None:
        """Free context, model and file, in this order."""
        self._rig.held.release()
        self._resources.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
