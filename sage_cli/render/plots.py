"""Plots of points and lines as inline SVG, in colours that the page's style sheet gives them.

Series differ in the shape of their marks and in their dashes too, so that colour is never the only sign.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sage_cli.render.page import element, text

WIDTH, HEIGHT = 460, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 14, 44
_TICKS = 5
_MARKS = ("circle", "square", "triangle", "diamond", "cross")

Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Series:
    """points: (x, y) in the axes' units. bars: the interval of each point's y. labels: shown beside the points."""

    name: str
    points: Sequence[Point]
    kind: Literal["line", "points", "both"] = "both"
    bars: Sequence[tuple[float, float]] = ()
    labels: Sequence[str] = ()
    faint: bool = False


@dataclass(frozen=True, kw_only=True)
class Axis:
    """percent: its values are shares and shown as such; log: powers of two are equally far apart."""

    title: str
    low: float
    high: float
    percent: bool = False
    ticks: Sequence[float] = ()


def plot(name: str, title: str, x: Axis, y: Axis, series: Sequence[Series]) -> str:
    """The drawing with its key; name: the prefix of its ids. Every point carries its numbers."""
    frame = _Frame(x, y)
    drawn = [frame.series(one, place) for place, one in enumerate(series)]
    described = "; ".join(f"{one.name}: {_told(one, x, y)}" for one in series)
    drawing = element(
        "svg",
        element("title", text(title), id=f"{name}-title"),
        element("desc", text(described), id=f"{name}-desc"),
        *frame.axes(),
        *drawn,
        class_="chart plot",
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_labelledby=f"{name}-title {name}-desc",
    )
    return drawing + _key(series)


class _Frame:
    def __init__(self, x: Axis, y: Axis) -> None:
        self._x, self._y = x, y

    def at(self, point: Point) -> Point:
        across = _share(point[0], self._x) * (WIDTH - _LEFT - _RIGHT)
        up = _share(point[1], self._y) * (HEIGHT - _TOP - _BOTTOM)
        return round(_LEFT + across, 1), round(HEIGHT - _BOTTOM - up, 1)

    def axes(self) -> list[str]:
        parts = []
        for value in _ticks(self._x):
            place, _ = self.at((value, self._y.low))
            parts.append(_label(_shown(value, self._x), place, HEIGHT - _BOTTOM + 16, "middle"))
        for value in _ticks(self._y):
            _, place = self.at((self._x.low, value))
            parts.append(
                element(
                    "line",
                    class_="axis",
                    x1=f"{_LEFT}",
                    x2=f"{WIDTH - _RIGHT}",
                    y1=f"{place:g}",
                    y2=f"{place:g}",
                )
            )
            parts.append(_label(_shown(value, self._y), _LEFT - 6, place + 4, "end"))
        parts.append(_label(self._x.title, (WIDTH + _LEFT) / 2, HEIGHT - 8, "middle"))
        middle = (HEIGHT - _BOTTOM + _TOP) / 2
        turned = f"rotate(-90 12 {middle:g})"
        parts.append(
            element(
                "text", text(self._y.title), x="12", y=f"{middle:g}", text_anchor="middle", transform=turned
            )
        )
        return parts

    def series(self, one: Series, place: int) -> str:
        parts = []
        places = [self.at(point) for point in one.points]
        if one.kind != "points" and len(places) > 1:
            parts.append(element("polyline", points=" ".join(f"{x:g},{y:g}" for x, y in places)))
        for (low, high), (value, _) in zip(one.bars, one.points, strict=False):
            (x, bottom), (_, top) = self.at((value, low)), self.at((value, high))
            parts.append(
                element("line", class_="interval", x1=f"{x:g}", x2=f"{x:g}", y1=f"{bottom:g}", y2=f"{top:g}")
            )
        if one.kind != "line":
            for point, where in zip(one.points, places, strict=True):
                told = f"{one.name}: {_shown(point[0], self._x)}, {_shown(point[1], self._y)}"
                parts.append(_mark(_MARKS[place % len(_MARKS)], where, told))
        for label, (x, y) in zip(one.labels, places, strict=False):
            right = x > WIDTH - 110
            parts.append(_label(label, x - 7 if right else x + 7, y + 4, "end" if right else "start"))
        return element("g", *parts, class_=_class(one, place))


def _class(one: Series, place: int) -> str:
    return "series faint" if one.faint else f"series s{place % len(_MARKS)}"


def _mark(shape: str, where: Point, told: str) -> str:
    x, y = where
    title = element("title", text(told))
    if shape == "circle":
        return element("circle", title, cx=f"{x:g}", cy=f"{y:g}", r="3.5")
    paths = {
        "square": f"M{x - 3.2:g} {y - 3.2:g}h6.4v6.4h-6.4z",
        "triangle": f"M{x:g} {y - 4.4:g}l4 7h-8z",
        "diamond": f"M{x:g} {y - 4.6:g}l4.6 4.6l-4.6 4.6l-4.6 -4.6z",
        "cross": f"M{x - 4:g} {y - 1.2:g}h2.8v-2.8h2.4v2.8h2.8v2.4h-2.8v2.8h-2.4v-2.8h-2.8z",
    }
    return element("path", title, d=paths[shape])


def _key(series: Sequence[Series]) -> str:
    entries = []
    for place, one in enumerate(series):
        mark = "" if one.kind == "line" else _mark(_MARKS[place % len(_MARKS)], (12, 6), one.name)
        line = "" if one.kind == "points" else element("polyline", points="0,6 24,6")
        sign = element(
            "svg",
            element("g", line, mark, class_=_class(one, place)),
            viewBox="0 0 24 12",
            aria_hidden="true",
        )
        entries.append(element("li", sign, text(one.name)))
    return element("ul", *entries, class_="key")


def _label(words: str, x: float, y: float, anchor: str) -> str:
    return element("text", text(words), x=f"{x:g}", y=f"{y:g}", text_anchor=anchor)


def _share(value: float, axis: Axis) -> float:
    span = axis.high - axis.low
    return min(1.0, max(0.0, (value - axis.low) / span)) if span else 0.5


def _ticks(axis: Axis) -> Sequence[float]:
    return axis.ticks or [axis.low + k * (axis.high - axis.low) / (_TICKS - 1) for k in range(_TICKS)]


def _shown(value: float, axis: Axis) -> str:
    return f"{100 * value:.0f} %" if axis.percent else f"{value:.3g}"


def _told(one: Series, x: Axis, y: Axis) -> str:
    return ", ".join(f"{_shown(a, x)} {_shown(b, y)}" for a, b in one.points)
