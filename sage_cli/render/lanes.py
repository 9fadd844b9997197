"""What rests on what, drawn in characters: a row for each fact and step, a lane for each step that rests
on something.

A lane begins at the first premise, passes the others and ends at the step:

    Q1 ●─╮     Tom has 12 apples.
    Q2 ●─┤     Ann has 3 more apples than Tom.
     1 ●◂╯─╮   ...
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Strokes:
    """The characters of the drawing."""

    node: str
    arrow: str
    across: str
    down: str
    begin: str
    begin_on: str
    join: str
    join_on: str
    end: str
    end_on: str


UNICODE = Strokes("●", "◂", "─", "│", "╮", "┬", "┤", "┼", "╯", "┴")
ASCII = Strokes("o", "<", "-", "|", "+", "+", "+", "+", "'", "+")


@dataclass(frozen=True)
class _Lane:
    column: int
    premises: frozenset[int]
    end: int

    @property
    def start(self) -> int:
        return min(self.premises)


def draw(rows: int, rests_on: Mapping[int, Sequence[int]], strokes: Strokes) -> tuple[str, ...]:
    """A drawing of equal width for each of ``rows`` rows.

    rests_on: a row -> the rows above it that it rests on.
    """
    lanes = _lanes(rests_on)
    width = 2 * (max((lane.column for lane in lanes), default=-1) + 1) + 2
    return tuple(_row(row, lanes, strokes).ljust(width) for row in range(rows))


def _lanes(rests_on: Mapping[int, Sequence[int]]) -> list[_Lane]:
    """Lanes that are drawn in the same column do not overlap; the shorter ones are nearer to the nodes."""
    wanted = [
        (min(premises), end, frozenset(premises))
        for end, premises in sorted(rests_on.items())
        if premises and max(premises) < end
    ]
    lanes: list[_Lane] = []
    for start, end, premises in sorted(wanted, key=lambda lane: (lane[1] - lane[0], lane[1])):
        taken = {lane.column for lane in lanes if start <= lane.end and lane.start <= end}
        column = next(i for i in range(len(taken) + 1) if i not in taken)
        lanes.append(_Lane(column, premises, end))
    return sorted(lanes, key=lambda lane: lane.column)


def _row(row: int, lanes: Sequence[_Lane], strokes: Strokes) -> str:
    touching = [lane.column for lane in lanes if row == lane.end or row in lane.premises]
    if not any(lane.start <= row <= lane.end for lane in lanes):
        return strokes.node
    last = max(touching, default=-1)
    ends_here = any(row == lane.end for lane in lanes)
    cells = [strokes.node, strokes.arrow if ends_here else strokes.across if touching else " "]
    for column in range(max(lane.column for lane in lanes) + 1):
        lane = next((x for x in lanes if x.column == column and x.start <= row <= x.end), None)
        cells.append(_crossing(row, lane, strokes, goes_on=column < last))
        cells.append(strokes.across if column < last else " ")
    return "".join(cells)


def _crossing(row: int, lane: _Lane | None, strokes: Strokes, *, goes_on: bool) -> str:
    if lane is None:
        return strokes.across if goes_on else " "
    if row == lane.end:
        return strokes.end_on if goes_on else strokes.end
    if row == lane.start:
        return strokes.begin_on if goes_on else strokes.begin
    if row in lane.premises:
        return strokes.join_on if goes_on else strokes.join
    return strokes.down
