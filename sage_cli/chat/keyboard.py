"""Lines from a person at a terminal: editing, history, completion, the toolbar."""

from __future__ import annotations

import os
import termios
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import Completer
from prompt_toolkit.enums import EditingMode
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import FormattedText, StyleAndTextTuples
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output.color_depth import ColorDepth
from prompt_toolkit.styles import Style

from sage_cli.chat.entry import is_open
from sage_cli.console import STDIN, Face
from sage_cli.render.lines import cut
from sage_cli.signals import Signals

_LOCAL_MODES = 3  # where termios keeps them
PROMPT, MORE = ">>> ", "... "
_STYLE = Style.from_dict({"bottom-toolbar": "noreverse fg:ansibrightblack", "prompt": "bold"})


def history_path(environ: Mapping[str, str]) -> Path:
    """Where what was typed is kept."""
    import platformdirs

    named = environ.get("SAGE_HISTORY")
    return (
        Path(named).expanduser()
        if named
        else Path(platformdirs.user_state_dir("sage", appauthor=False)) / "history"
    )


class KeptHistory(FileHistory):
    """A file of one's own; nothing is written while ``wanted`` says so."""

    def __init__(self, path: Path, wanted: Callable[[], bool]) -> None:
        super().__init__(path)
        self._wanted = wanted

    def store_string(self, string: str) -> None:
        if self._wanted():
            super().store_string(string)


class Keyboard:
    """Asks for one line after the other. ``toolbar`` gives the parts of the bottom line, the first one last to go."""

    def __init__(
        self,
        environ: Mapping[str, str],
        face: Face,
        signals: Signals,
        *,
        completer: Completer,
        toolbar: Callable[[], Iterable[str]],
        keeps_history: Callable[[], bool],
    ) -> None:
        self._face = face
        self._signals = signals
        self._toolbar = toolbar
        self._session: PromptSession[str] = PromptSession(
            history=_history(environ, keeps_history),
            completer=completer,
            complete_while_typing=Condition(lambda: self._text().startswith("/")),
            enable_open_in_editor=True,
            enable_history_search=Condition(lambda: not self._text().startswith("/")),
            search_ignore_case=True,
            editing_mode=EditingMode.VI if "vi" in environ.get("SAGE_KEYS", "") else EditingMode.EMACS,
            key_bindings=_bindings(),
            multiline=Condition(self._goes_on),
            prompt_continuation=lambda _width, _line, wraps: "" if wraps else MORE,
            bottom_toolbar=self._bottom if face.color else None,
            style=_STYLE,
            color_depth=None if face.color else ColorDepth.DEPTH_1_BIT,
            tempfile_suffix=".md",
            reserve_space_for_menu=4,
        )

    def line(self, *, more: bool = False, default: str = "") -> str:
        """The next line. Raises EOFError at Ctrl-D, KeyboardInterrupt at Ctrl-C; ``typed`` says what was there."""
        prompt: StyleAndTextTuples = [("class:prompt", MORE if more else PROMPT)]
        over = False

        def leave() -> None:
            nonlocal over
            over = True
            loop = self._session.app.loop
            if loop is not None:
                loop.call_soon_threadsafe(leave_now)

        def leave_now() -> None:
            if over and self._session.app.is_running and not self._session.app.is_done:
                self._session.app.exit(result="")

        with self._signals.waking(leave):
            return self._session.prompt(prompt, default=default, pre_run=leave_now)

    @contextmanager
    def unseen(self) -> Iterator[None]:
        """What is typed while the body writes to the screen waits for the next line, and is shown there.

        A signal that ends the process at once leaves the terminal as it was.
        """
        before = termios.tcgetattr(STDIN)
        self._signals.before_exit = partial(termios.tcsetattr, STDIN, termios.TCSANOW, before)
        silent = list(before)
        silent[_LOCAL_MODES] &= ~termios.ECHO
        termios.tcsetattr(STDIN, termios.TCSANOW, silent)
        try:
            yield
        finally:
            termios.tcsetattr(STDIN, termios.TCSANOW, before)

    @property
    def typed(self) -> bool:
        """Whether something stood on the line that ended last."""
        return bool(self._text())

    def _text(self) -> str:
        return self._session.default_buffer.text

    def _goes_on(self) -> bool:
        """Between triple quotes Enter begins a new line."""
        return is_open(self._text())

    def _bottom(self) -> FormattedText:
        width = self._session.app.output.get_size().columns
        dot = " · " if self._face.unicode else " | "
        parts = list(self._toolbar())
        while len(parts) > 1 and len(dot.join(parts)) > width - 1:
            parts.pop()
        return FormattedText([("", cut(dot.join(parts), width - 1, "…" if self._face.unicode else "..."))])


def _history(environ: Mapping[str, str], wanted: Callable[[], bool]) -> History:
    """In a file that only its owner can read; in memory where that cannot be."""
    path = history_path(environ)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        path.chmod(0o600)
    except OSError:
        return InMemoryHistory()
    return KeptHistory(path, wanted)


def _bindings() -> KeyBindings:
    bindings = KeyBindings()

    @bindings.add("escape", "enter")
    def _new_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    @bindings.add("c-g")
    def _editor(event: KeyPressEvent) -> None:
        event.current_buffer.open_in_editor()

    return bindings
