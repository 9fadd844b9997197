"""The two plots of docs/modes.md, drawn from the records as SVG files that stand alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.selection.votes import GUIDED, MAJORITY
from mch_runtime.atomic import atomic_output
from sage_cli.render.plots import Axis, Series, plot

COLOURS = ("#1d4ed8", "#b45309", "#047857")
_STYLE = (
    "svg{background:#fff;font:11px system-ui,sans-serif}text{fill:#222}.axis{stroke:#ddd}"
    ".interval{stroke:currentColor;opacity:.55}.series polyline{fill:none;stroke:currentColor;stroke-width:2}"
    ".series circle,.series path{fill:currentColor}"
    + "".join(f".s{k}{{color:{colour}}}" for k, colour in enumerate(COLOURS))
)


def draw(folder: Path, votes: Mapping[str, Any], modes: Mapping[str, Any]) -> None:
    """votes, modes: the results of the records ``selection`` and ``selection_modes``."""
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "votes.svg", _growth(votes["growth"]))
    _write(folder / "auto.svg", _trade_off(modes))


def _growth(growth: Mapping[str, Any]) -> str:
    counts = sorted(map(int, growth))
    series = [
        Series(
            name=rule,
            points=[(count, growth[str(count)][rule]["value"]) for count in counts],
            bars=[(growth[str(count)][rule]["low"], growth[str(count)][rule]["high"]) for count in counts],
            labels=["", "", "", rule],
        )
        for rule in (MAJORITY, GUIDED)
    ]
    across = Axis(title="chains", low=1, high=max(counts), ticks=counts)
    up = Axis(title="right", low=0.6, high=0.85, percent=True, ticks=(0.6, 0.65, 0.7, 0.75, 0.8, 0.85))
    return plot("votes", "Right answers by number of chains", across, up, series)


def _trade_off(modes: Mapping[str, Any]) -> str:
    series = [
        _curve("standard", modes["curve"]["standard"]),
        _curve("mixture", modes["curve"]["mixture"]),
    ]
    across = Axis(
        title="tokens, of think's", low=0.0, high=1.05, percent=True, ticks=(0, 0.2, 0.4, 0.6, 0.8, 1.0)
    )
    up = Axis(
        title="right answers, of think's",
        low=0.9,
        high=1.0,
        percent=True,
        ticks=(0.9, 0.92, 0.94, 0.96, 0.98, 1.0),
    )
    return plot("auto", "What auto costs and keeps, by its threshold", across, up, series)


def _curve(name: str, rows: Sequence[Mapping[str, float]]) -> Series:
    points = sorted({(row["cost_of_think"], row["of_think"]) for row in rows})
    return Series(name=name, points=points, labels=[""] * 3 + [name])


def _write(path: Path, drawn: str) -> None:
    found = re.search(r"<svg.*?</svg>", drawn, re.DOTALL)
    assert found is not None
    inside = found[0].replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
    head, rest = inside.split(">", 1)
    with atomic_output(path) as partial:
        partial.write_text(f"{head}><style>{_STYLE}</style>{rest}\n", encoding="utf-8")
