"""One answer on the screen: reasoning shown or folded, the answer as Markdown, the line below it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Literal, Protocol

from rich.text import Text

from mch_runtime.trace import Trace
from sage_cli.chat.markdown import MarkdownStream
from sage_cli.console import same_terminal
from sage_cli.live import AnswerStream, NoSteps, Relay, Steps
from sage_cli.paint import paint
from sage_cli.render.lines import joined
from sage_cli.render.safe import one_line
from sage_cli.render.terminal import Glyphs, answer_mark, certainty, glyphs, step_mark
from sage_cli.screen import Screen
from sage_cli.shell import Shell
from sage_cli.steps import ApartSteps, PlainSteps, WovenSteps

if TYPE_CHECKING:
    from mch_runtime.observer import Part
    from mch_runtime.session import Interrupt
    from mch_runtime.trace import Step

Reasoning = Literal["show", "fold"]
_LONG_PROMPT = 512  # tokens; reading fewer takes no time worth telling


class View(Protocol):
    """An observer that is told the end."""

    def prefill(self, done: int, total: int) -> None: ...

    def drawn(self, ended: int, wanted: int) -> None: ...

    def text(self, text: str, part: Part) -> None: ...

    def step(self, step: Step) -> None: ...

    def finish(self, trace: Trace) -> None: ...


def view_of(shell: Shell, *, reasoning: Reasoning, quiet: bool, interrupt: Interrupt) -> View:
    """Markdown where the screen can be rewritten, else the text as it is."""
    face = shell.err_face
    one_screen = same_terminal(shell.out, shell.err)
    if one_screen and face.color and not quiet:
        return ScreenView(shell, reasoning=reasoning)
    stream = AnswerStream(shell.out, make_safe=shell.out_face.terminal, on_failure=interrupt.request)
    return Relay(stream, _steps(shell, fold=reasoning == "fold", quiet=quiet, one_screen=one_screen))


def _steps(shell: Shell, *, fold: bool, quiet: bool, one_screen: bool) -> Steps:
    face = shell.err_face
    if quiet:
        return NoSteps()
    if fold:
        return FoldedSteps(shell)
    if not face.terminal:
        return PlainSteps(shell.err, face, make_safe=False)
    return WovenSteps(shell.err, face) if one_screen else ApartSteps(shell.err, face)


class Fold:
    """The steps of a folded reasoning, in a line."""

    def __init__(self, signs: Glyphs) -> None:
        self._signs = signs
        self._steps: list[Step] = []

    def add(self, step: Step) -> None:
        self._steps.append(step)

    def line(self) -> Text | None:
        """``3 steps · the weakest ◐ 0.51 (2) · /steps``; None without steps."""
        if not self._steps:
            return None
        sure = [(step.confidence or {}).get("valid", step.logprob_mean) for step in self._steps]
        place = sure.index(min(sure))
        count = f"{len(self._steps)} step{'s' if len(self._steps) > 1 else ''}"
        weakest = step_mark(self._steps[place], self._signs)
        dim = Text(f"reasoning: {count}, the weakest is {place + 1} at ", "dim")
        return dim + weakest + Text(f"{self._signs.dot}/steps", "dim")


class FoldedSteps(NoSteps):
    """Of the reasoning one line, on standard error."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._fold = Fold(glyphs(unicode=shell.err_face.unicode))
        self._answering = False

    def step(self, step: Step) -> None:
        if not self._answering:
            self._fold.add(step)

    def before_answer(self, text: str) -> None:
        if not self._answering:
            self._tell()

    def finish(self, trace: Trace) -> None:
        if not self._answering:
            self._tell()

    def _tell(self) -> None:
        self._answering = True
        line = self._fold.line()
        if line is not None:
            self._shell.err.write(paint(line, self._shell.err_face) + "\n")


class ScreenView:
    """A terminal that can be rewritten."""

    def __init__(self, shell: Shell, *, reasoning: Reasoning) -> None:
        face = shell.err_face
        self._shell = shell
        self._signs = glyphs(unicode=face.unicode)
        self._screen = Screen(shell.err, face)
        self._fold = Fold(self._signs) if reasoning == "fold" else None
        self._relay = Relay(
            AnswerStream(shell.out, make_safe=True, on_failure=lambda: None), WovenSteps(shell.err, face)
        )
        self._height = shutil.get_terminal_size((80, 24)).lines
        self._markdown: MarkdownStream | None = None
        self._inline = False  # the answer goes on a line that the reasoning has begun
        self._reasoned = ""
        self._lead = ""

    def prefill(self, done: int, total: int) -> None:
        if total >= _LONG_PROMPT and done < total:
            self._screen.status(f"reading {done:,} of {total:,} tokens")
        else:
            self._screen.clear_status()

    def drawn(self, ended: int, wanted: int) -> None:
        self._screen.status(f"{ended} of {wanted} chains")

    def text(self, text: str, part: Part) -> None:
        if self._fold is None:
            self._screen.clear_status()
        if self._markdown is None and part == "reasoning":
            self._reason(text)
        elif self._inline:
            self._relay.text(text, "answer")
        else:
            self._answer(text)

    def step(self, step: Step) -> None:
        if self._markdown is not None:
            self._markdown.step(step)
        elif self._fold is not None:
            self._fold.add(step)
            line = self._fold.line()
            self._screen.status(line.plain if line else "")
        else:
            self._relay.step(step)

    def finish(self, trace: Trace) -> None:
        """End the answer's lines."""
        self._screen.clear_status()
        if self._markdown is not None:
            last = None if trace.confidence is None and trace.model.head is None else trace
            self._markdown.close(answer_mark(last, self._signs) if last else None)
        elif self._fold is not None:
            self._tell_fold()
        else:
            self._relay.finish(trace)
            return
        self._shell.out.write("\n")

    def _reason(self, text: str) -> None:
        self._reasoned = (self._reasoned + text)[-64:] if text.strip() else self._reasoned + text
        if self._fold is None:
            self._relay.text(text, "reasoning")
        elif text.strip() and self._fold.line() is None:
            self._screen.status("reasoning")

    def _answer(self, text: str) -> None:
        """Decides, once there is some of the answer, whether it stands on lines of its own."""
        if self._markdown is None:
            self._lead += text
            if not self._lead.strip():
                return
            gap = self._reasoned[len(self._reasoned.rstrip()) :] + self._lead[: -len(self._lead.lstrip())]
            text, self._lead = self._lead, ""
            if self._fold is None and self._reasoned.strip() and "\n" not in gap:
                self._inline = True
                self._relay.text(text, "answer")
                return
            self._begin_markdown()
            text = text.lstrip()
        assert self._markdown is not None
        self._markdown.text(text)

    def _begin_markdown(self) -> None:
        self._screen.clear_status()
        if self._fold is not None:
            self._tell_fold()
        elif self._reasoned.strip():
            self._shell.err.write("\n\n")
        self._markdown = MarkdownStream(
            self._shell.out, self._shell.out_face, self._signs, height=self._height
        )

    def _tell_fold(self) -> None:
        line = self._fold.line() if self._fold is not None else None
        if line is not None:
            self._shell.err.write(paint(line, self._shell.err_face) + "\n")


def last_line(trace: Trace, signs: Glyphs, *, room: Text, width: int) -> Text:
    """``27 · 97 % sure · fast · 812 tokens/s · 96 of 512 tokens``"""
    parts: list[Text] = []
    if trace.answer is not None:
        if len(trace.answer) <= 40:
            parts.append(Text(one_line(trace.answer), "bold"))
        parts.append(certainty(trace))
    if trace.finish_reason == "interrupted":
        parts.append(Text("interrupted", "yellow"))
    elif trace.finish_reason == "length":
        parts.append(Text(f"cut off after {trace.cost.generated_tokens} tokens", "yellow"))
    elif trace.answer is None:
        parts.append(Text("no answer", "yellow"))
    parts.append(Text(trace.mode, "dim"))
    parts.append(Text(f"{trace.cost.tokens_per_second:.0f} tokens/s", "dim"))
    parts.append(room)
    return Text("\n").join(joined(parts, signs.dot, width))
