"""A curve over the steps as a small inline SVG."""

from __future__ import annotations

from collections.abc import Sequence

from sage_cli.account import nats
from sage_cli.render.page import element, text

WIDTH, HEIGHT = 400, 150
_LEFT, _RIGHT, _TOP, _BOTTOM = 38, 12, 14, 24
_MOST_LABELS = 10


def curve(name: str, title: str, values: Sequence[float], *, low: float, high: float) -> str:
    """``values`` after each step, from 1 on; the axis holds ``low`` and ``high`` at least.

    name: the prefix of its ids. Points carry their numbers, also for those who do not see them.
    """
    low, high = min(low, *values), max(high, *values)
    points = [(_across(i, len(values)), _up(value, low, high)) for i, value in enumerate(values)]
    every = -(-len(values) // _MOST_LABELS)
    told = ", ".join(f"step {i + 1}: {nats(value)}" for i, value in enumerate(values))
    parts = [
        element("title", text(title), id=f"{name}-title"),
        element("desc", text(told), id=f"{name}-desc"),
        *(
            _grid_line(value, _up(value, low, high))
            for value in sorted({low, min(max(0.0, low), high), high})
        ),
        element("polyline", points=" ".join(f"{x:g},{y:g}" for x, y in points)),
    ]
    for i, (x, y) in enumerate(points):
        parts.append(
            element(
                "circle",
                element("title", f"step {i + 1}: {nats(values[i])}"),
                cx=f"{x:g}",
                cy=f"{y:g}",
                r="3.5",
            )
        )
        if i % every == 0:
            parts.append(element("text", str(i + 1), x=f"{x:g}", y=f"{HEIGHT - 6}", text_anchor="middle"))
    return element(
        "svg",
        *parts,
        class_="chart",
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_labelledby=f"{name}-title {name}-desc",
    )


def bar(value: float) -> str:
    """A probability as a filled bar, which only repeats the number beside it."""
    rect = '<rect class="{}" width="{:g}" height="10" rx="2"></rect>'
    track, fill = rect.format("track", 100), rect.format("fill", round(100 * value, 1))
    return element(
        "svg", track, fill, class_="bar", viewBox="0 0 100 10", aria_hidden="true", preserveAspectRatio="none"
    )


def _grid_line(value: float, y: float) -> str:
    line = element("line", class_="axis", x1=f"{_LEFT}", x2=f"{WIDTH - _RIGHT}", y1=f"{y:g}", y2=f"{y:g}")
    return line + element("text", nats(value), x=f"{_LEFT - 6}", y=f"{y + 4:g}", text_anchor="end")


def _across(index: int, count: int) -> float:
    room = WIDTH - _LEFT - _RIGHT - 20
    return round(_LEFT + 10 + (room / 2 if count == 1 else room * index / (count - 1)), 1)


def _up(value: float, low: float, high: float) -> float:
    share = (value - low) / (high - low) if high > low else 0.5
    return round(HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM), 1)
