"""``python -m tests.shown_chats``: holds the conversations that pages show, and writes them there.

They are typed at ``sage chat`` with the embedded model on a terminal without colours. Speeds are left out: they are
the machine's.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

from tests.sage_cli.chat.terminal import on_terminal
from tests.sage_cli.runner import ROOT, environment

COLUMNS = 88
BEGIN, END = "<!-- printed by python -m tests.shown_chats -->", "<!-- end -->"
RINGS = (
    "Ida has 14 rings. Leo has 6 fewer rings than Ida. Nora has three times as many rings as Leo. "
    "How many rings do Ida and Nora have together?"
)
PENS = "A pen costs 3 dollars and a book costs 8 dollars. Mia buys 4 pens and 2 books. How much does she pay?"
CHATS = {
    "README.md": (RINGS, "/why 3", "/alt 3 1"),
    "docs/chat.md": (PENS, "/premises 3", "/inverse"),
}
_PROMPT = ">>>"
_SPEED = re.compile(r" · [\d,]+ tokens/s")


def held(lines: tuple[str, ...], folder: Path) -> str:
    """The conversation, as it stands on the terminal. Log and settings are in ``folder``."""
    env = environment(folder, TERM="dumb", LC_ALL="C.UTF-8", SAGE_HISTORY=str(folder / "history"))
    with on_terminal([sys.executable, "-m", "sage_cli", "chat"], env, columns=COLUMNS) as terminal:
        for line in lines:
            terminal.wait(_PROMPT)
            terminal.type(f"{line}\n")
        terminal.wait(_PROMPT)
        shown = terminal.text.rpartition(_PROMPT)[0]
    return _SPEED.sub("", f"$ sage chat\n{shown.rstrip()}\n")


def shown(page: str) -> str:
    """The conversation that stands on a page."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return text.partition(f"{BEGIN}\n```console\n")[2].partition(f"```\n{END}")[0]


def write(page: str, chat: str) -> None:
    """Put a conversation on a page."""
    path = ROOT / page
    before, begin, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{page} has no place for a conversation: {BEGIN} {END}")
    path.write_text(f"{before}{begin}\n```console\n{chat}```\n{end}{after}", encoding="utf-8")


if __name__ == "__main__":
    for name, typed in CHATS.items():
        with tempfile.TemporaryDirectory() as kept:
            write(name, held(typed, Path(kept)))
