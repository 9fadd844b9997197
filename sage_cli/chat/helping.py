"""The help page of the slash commands, and the table of all of them."""

from __future__ import annotations

from rich.text import Text

from sage_cli.chat import adjusting, conversing, keeping, reflecting
from sage_cli.chat.slash import Slash, Table
from sage_cli.chat.talk import Talk
from sage_cli.render.lines import fill

_KEYS = (
    ("Enter", "ask; Alt-Enter begins a new line"),
    ('"""', "begins and ends a text of several lines; so do !multi and !end"),
    ("Up, Ctrl-R", "what was typed before, also in other sessions; search it"),
    ("Tab", "complete commands, files, models"),
    ("Ctrl-X Ctrl-E", "write in your editor; so does !edit"),
    ("Ctrl-C", "stops the answer, which stays; clears the line"),
    ("Ctrl-D", "leaves"),
)
_COLUMN = 34


def help_page(talk: Talk, argument: str) -> None:
    """All commands, or one."""
    width = min(talk.shell.out.width, 100)
    if argument and argument != "shortcuts":
        command = TABLE.find(argument.removeprefix("/"))
        talk.show("\n".join(_row(command.usage, command.help, width)))
        return
    lines: list[Text] = []
    if not argument:
        for title, commands in TABLE.groups:
            lines.append(Text(title, "bold"))
            lines += [Text(line) for c in commands for line in _row(c.usage, c.help, width)]
            lines.append(Text())
    lines.append(Text("Keys", "bold"))
    lines += [Text(line) for key, what in _KEYS for line in _row(key, what, width)]
    talk.show(Text("\n").join(lines))


def _row(left: str, right: str, width: int) -> list[str]:
    column = _COLUMN if width >= 72 else 4
    filled = list(fill(right, max(16, width - column - 2)))
    first = f"  {left:<{column}}"
    if len(first) > column + 2 or width < 72:
        return [f"  {left}", *(f"{'':<{column + 2}}{line}" for line in filled)]
    return [f"{first}{filled[0]}", *(f"{'':<{column + 2}}{line}" for line in filled[1:])]


_HELP = Slash(
    name="?", arguments="[COMMAND]", help="this page", run=help_page, completes="command", also=("help",)
)
TABLE = Table(
    (
        ("Conversation", (*conversing.COMMANDS, *keeping.COMMANDS)),
        ("Why", reflecting.COMMANDS),
        ("Settings", (*adjusting.COMMANDS, _HELP)),
    )
)
