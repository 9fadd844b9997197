"""``sage`` over an engine that converses, explains and goes on from alternatives as its script says.

As a program: FAKE_SCRIPT names a script, FAKE_DELAY slows reading and writing down, FAKE_CONTEXT is its context.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

from mch_runtime.errors import SageError
from mch_runtime.explanation import Explanation
from mch_runtime.observer import Observer
from mch_runtime.options import AskOptions, EngineOptions, Message
from mch_runtime.session import Interrupt
from mch_runtime.trace import Trace
from sage_cli.app import main
from tests.explanation_samples import right
from tests.sage_cli.fake_engine import FakeOpener, Script, confident, pieces
from tests.sage_cli.fake_explainer import ExplainerOpener, FakeExplainer
from tests.sage_cli.fake_sage import PLAIN_MODEL, SCRIPTS

MARKDOWN = [
    "# Apples",
    "",
    "There are **two** kinds of `apples`:",
    "",
    "1. red",
    "2. green, <b>sour</b>",
    "",
    "```python",
    "print('a *b* c')",
    "```",
    "",
    "That is all.",
]
CHAT_SCRIPTS = SCRIPTS | {
    "markdown": Script(
        steps=pieces(*MARKDOWN, part="answer"),
        confidences=[confident(0.97)] * len([line for line in MARKDOWN if line]),
        confidence=0.9,
    ),
    "escapes": Script(
        steps=pieces("Hello \x1b]0;title\x07 \x1b[31m`\x1b[2J` \x9b1m\u202e there", part="answer"),
        confidences=[None],
        confidence=None,
        model=PLAIN_MODEL,
    ),
}


class ChatEngine(FakeExplainer):
    """Every word is a token. ``conditions`` holds under what it was asked."""

    n_ctx = 400
    n_cells = 96
    dialect = "custom"
    template = "{{ messages }}"
    slow = 0.0

    def size(self, question: str, options: AskOptions) -> int:
        said = [question, options.system, *(message.content for message in options.past)]
        return sum(len(text.split()) + 2 for text in said if text)

    def message(self, trace: Trace) -> Message:
        return Message(role="assistant", content=trace.text, token_ids=trace.token_ids)

    def ask(self, question: str, options: AskOptions, *, observer: Observer) -> Trace:
        read = 0
        while self.slow and read < 3000 and not self._interrupt.requested:
            observer.prefill(read, 3000)
            time.sleep(self.slow)
            read += 100
        if options.effort.mode != "fast":
            observer.drawn(options.effort.votes, options.effort.votes)
        return super().ask(question, options, observer=observer)


class ChatOpener(ExplainerOpener):
    """Opens engines that converse."""

    def __init__(
        self,
        script: Script | None = None,
        *,
        sample: Callable[[], Explanation] = right,
        error: SageError | None = None,
        **changes: object,
    ) -> None:
        FakeOpener.__init__(self, script)
        members = {"sample": staticmethod(sample), "error": error, **changes}
        self._kind = type("Chat", (ChatEngine,), members)

    def __call__(self, options: EngineOptions, *, interrupt: Interrupt | None = None) -> object:  # type: ignore[override]
        if self.script.load_error:
            raise self.script.load_error
        self.engines.append(self._kind(self.script, options, interrupt))
        return self._open()


if __name__ == "__main__":
    chosen = CHAT_SCRIPTS[os.environ.get("FAKE_SCRIPT") or "pico"]
    changes = {
        "slow": float(os.environ.get("FAKE_DELAY") or 0),
        "n_ctx": int(os.environ.get("FAKE_CONTEXT") or 400),
    }
    sys.exit(main(engine=ChatOpener(chosen, **changes)))  # type: ignore[arg-type]
