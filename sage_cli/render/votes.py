"""What several chains voted for, as a small table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.text import Text

from mch_runtime.trace import Vote
from sage_cli.render.safe import one_line

_BAR = 20  # columns of all the weight there is
_LONGEST = 32  # characters of an answer
_NONE = "(no answer)"


def votes_table(votes: Sequence[Vote], *, unicode: bool) -> Text:
    """A line for each answer: how many chains give it, its share of the weight, a bar; why chains were dropped."""
    names = [_name(vote, unicode=unicode) for vote in votes]
    width = max(map(cell_len, names), default=0)
    digits = max((len(str(vote.count)) for vote in votes), default=1)
    lines = []
    for vote, name in zip(votes, names, strict=True):
        style = "" if vote.kept else "dim"
        figures = f"{name}{' ' * (width - cell_len(name))}  {vote.count:>{digits}}  {vote.weight:4.0%}  "
        line = Text(figures, style) + Text(_bar(vote.weight, unicode=unicode), "cyan")
        lines.append(line + Text(f"dropped: {vote.why_dropped}" if vote.why_dropped else "", "dim"))
    return Text("\n").join(lines)


def _name(vote: Vote, *, unicode: bool) -> str:
    name = _NONE if vote.answer is None else one_line(vote.answer)
    return name if len(name) <= _LONGEST else name[: _LONGEST - 3] + ("…" if unicode else "...")


def _bar(weight: float, *, unicode: bool) -> str:
    filled = round(weight * _BAR)
    bar = ("█" if unicode else "#") * filled
    return f"{bar}  " if bar else ""
