"""A conversation with a person: what is open, how it is shown, and answering."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from rich.text import Text

from mch_runtime.conversation import Conversation, Policy, Turn
from mch_runtime.effort import Effort
from mch_runtime.errors import Interrupted, SageError, UsageError
from mch_runtime.explanation import Explanation
from mch_runtime.options import AskOptions, EngineOptions
from mch_runtime.session import Interrupt
from sage_cli.chat.record import Record
from sage_cli.chat.view import Reasoning, last_line, view_of
from sage_cli.paint import paint
from sage_cli.render.lines import fill
from sage_cli.render.safe import one_line
from sage_cli.render.terminal import details, glyphs
from sage_cli.screen import passing_line
from sage_cli.shell import Chatting, Shell
from sage_cli.tally import Measuring
from sage_cli.template_flags import Wording

BEHIND_OTHERS = (
    "the head was fitted on single questions: behind other turns its confidence is not known; "
    "/clear begins anew, /set context single asks each question by itself"
)
_NEARLY_FULL = 0.8
_SINGLE = "sage-pico"  # the dialect of a model that knows nothing of conversations


@dataclass
class Look:
    """How answers are shown."""

    reasoning: Reasoning = "show"
    verbose: bool = False
    quiet: bool = False


class Leave(Exception):  # noqa: N818 - an event, not a mistake
    """The user wants to leave."""


class Talk:
    """Everything that commands and questions work on. ``pending`` is a question that did not fit."""

    def __init__(
        self,
        shell: Shell,
        engine_options: EngineOptions,
        options: AskOptions,
        *,
        record: Record,
        look: Look,
        worded: Wording = str,
    ) -> None:
        """worded: puts the words of a template around a question."""
        self.shell = shell
        self.look = look
        self.record = record
        self.worded = worded
        self.pending = ""
        self.keeps_history = True
        self.left = False
        self._engine_options = engine_options
        self._options = options
        self._interrupt = Interrupt()
        self._open = ExitStack()
        self._explanations: dict[tuple[int, bool], Explanation] = {}
        self._told_behind = False
        self.engine: Chatting
        self.conversation: Conversation

    def __enter__(self) -> Talk:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()
        self.record.close()

    def load(self, model: Path, policy: Policy | None = None) -> None:
        """Open a model, the one that was open being closed then; turns are kept, to be read again."""
        options = replace(self._engine_options, model=model)
        stack = ExitStack()
        hidden = self.look.quiet
        with self.shell.signals.guarding(self._interrupt):
            with passing_line(self.shell, f"loading {model.name}", hidden=hidden):
                opening = self.shell.open_engine(options, interrupt=self._interrupt)
            engine: Chatting = stack.enter_context(opening)  # type: ignore[assignment]
        self._open.close()
        self._open, self.engine, self._engine_options = stack, engine, options
        before = getattr(self, "conversation", None)
        self.conversation = Conversation(
            engine,
            before.options if before else self._options,
            policy=policy or (before.policy if before else self._usual_policy()),
            landmarks=before.landmarks if before else None,
        )
        if before is not None:
            self.conversation.turns = [self.foreign(turn) for turn in before.turns]
        self._explanations.clear()
        if not hidden:
            for notice in engine.notices:
                self.shell.note(notice)

    def _usual_policy(self) -> Policy:
        return "single" if self.engine.dialect == _SINGLE else "full"

    def foreign(self, turn: Turn) -> Turn:
        """A turn whose tokens are another model's, or cannot be trusted: its text alone counts."""
        return replace(turn, said=replace(turn.said, token_ids=()))

    @property
    def last(self) -> Turn:
        """The latest turn. Raises UsageError if nothing was asked yet."""
        turn = self.conversation.last
        if turn is None:
            raise UsageError("nothing was asked yet", hint="type a question")
        return turn

    def ask(self, question: str) -> None:
        """Answer a question and show it. Raises SageError."""
        said = self.worded(question)
        if not self.conversation.fits(said).ok:
            self.pending = question
        self._answer(
            said, lambda observer: self.conversation.ask(said, observer=observer), seen=len(self.turns)
        )
        self.pending = ""

    def again(self, *, begin: Sequence[int] = (), options: AskOptions | None = None) -> None:
        """The last question once more, in place of its answer. Raises SageError."""
        question = self.last.question
        done = self._answer(
            question,
            lambda observer: self.conversation.again(observer=observer, begin=begin, options=options),
            seen=len(self.turns) - 1,
            again=True,
        )
        if done:
            self.record.withdraw(last_but=1)

    def _answer(
        self, question: str, work: Callable[..., Turn | None], *, seen: int, again: bool = False
    ) -> bool:
        """seen: turns that the model is shown, if it is shown any."""
        shell = self.shell
        view = view_of(shell, reasoning=self.look.reasoning, quiet=self.look.quiet, interrupt=self._interrupt)
        self.record.begin(
            question,
            self.engine.model.name,
            self.conversation.options.system,
            seen=0 if self.conversation.policy == "single" else seen,
            again=again,
        )
        try:
            with shell.signals.guarding(self._interrupt):
                turn = work(view)
        except SageError as error:
            self.record.fail("interrupted" if isinstance(error, Interrupted) else "failed")
            self._interrupt.clear()
            raise
        self._interrupt.clear()
        self._explanations.clear()
        if turn is None:
            self.record.fail("interrupted")
            shell.note("interrupted before the answer began; the question is not part of the conversation")
            return False
        self.record.complete(turn.trace)
        view.finish(turn.trace)
        self._tell_end(turn)
        return True

    def _tell_end(self, turn: Turn) -> None:
        if self.look.quiet:
            return
        behind = turn.trace.confidence is None and self.conversation.asking().past and len(self.turns) > 1
        if behind and turn.trace.model.head is not None and not self._told_behind:
            self._told_behind = True
            self.shell.note(BEHIND_OTHERS)
        face = self.shell.err_face
        signs = glyphs(unicode=face.unicode)
        text = last_line(turn.trace, signs, room=self.room(), width=self.shell.err.width)
        if self.look.verbose:
            text += Text("\n") + details(turn.trace)
        self.shell.err.write(paint(text, face) + "\n\n")

    @property
    def turns(self) -> Sequence[Turn]:
        return self.conversation.turns

    def room(self) -> Text:
        """How much of the context is used: ``96 of 512 tokens``; yellow where little is left."""
        said, holds = self.conversation.used(), self.engine.n_ctx
        if self.conversation.policy == "landmark":
            return Text(f"{self.engine.n_cells:,} of {holds:,} tokens in the cache, {said:,} said", "dim")
        return Text(f"{said:,} of {holds:,} tokens", "yellow" if said > _NEARLY_FULL * holds else "dim")

    def explanation(self, *, alternatives: bool = False) -> Explanation:
        """Of the last answer, measured once. Raises SageError."""
        turn = self.last
        if turn.trace.answer is None:
            raise UsageError("no answer was found in the text: there is nothing to explain", hint="/regen")
        for wanted in {alternatives, True}:
            found = self._explanations.get((len(self.turns), wanted))
            if found is not None:
                return found
        observer = Measuring(self.shell, hidden=self.look.quiet)
        options = self.conversation.explaining(alternatives=alternatives)
        with observer.shown(), self.shell.signals.guarding(self._interrupt):
            try:
                explanation = self.engine.explain(turn.trace, options, observer=observer)
            finally:
                self._interrupt.clear()
        self._explanations[len(self.turns), alternatives] = explanation
        self.record.explain(explanation, self._engine_options, options)
        return explanation

    def forget_explanations(self) -> None:
        """The last answer is another one."""
        self._explanations.clear()

    def waiting(self) -> str:
        """The question that did not fit, if it does now."""
        fits = self.pending and self.conversation.fits(self.worded(self.pending)).ok
        return self.pending if fits else ""

    @property
    def effort(self) -> Effort:
        """How questions are answered."""
        return self.conversation.options.effort

    def change(self, **changes: object) -> None:
        """Options of the next question. Raises UsageError."""
        self.conversation.options = replace(self.conversation.options, **changes)  # type: ignore[arg-type]

    def greet(self) -> None:
        """The first lines on a terminal."""
        if self.look.quiet:
            return
        single = "; it answers each question by itself" if self.conversation.policy == "single" else ""
        self.say(f"{one_line(self.engine.model.name)}{single}. /? for help, Ctrl-D to leave")

    def toolbar(self) -> list[str]:
        """What the bottom line says, the most important first."""
        model = self.engine.model
        name = " ".join(filter(None, (model.name, model.quantization)))
        return [
            one_line(name),
            self.effort.mode,
            self.room().plain,
            f"head {one_line(model.head)}" if model.head else "no head",
        ]

    def show(self, text: Text | str) -> None:
        """Something a command was asked for."""
        shown = paint(text, self.shell.out_face) if isinstance(text, Text) else text
        gap = "\n" if self.shell.out.terminal and "\n" in shown else ""
        self.shell.out.write(f"{shown}\n{gap}")

    def say(self, sentence: str) -> None:
        """What a command has done."""
        if self.look.quiet:
            return
        for line in fill(sentence, self.shell.err.width):
            self.shell.err.write(paint(Text(line, "dim"), self.shell.err_face) + "\n")
