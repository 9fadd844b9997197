"""What a quantization cost, as text, as JSON and as a page; and what one would write."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from sage_cli.render.page import document, each, element, text
from sage_cli.render.safe import one_line

if TYPE_CHECKING:
    from quant.drift import HeadDrift
    from quant.measure import Measure
    from quant.quality import QualityReport, Side
    from quant.quantize import QuantizePlan

SCHEMA = "sage.quality/1"
_BAR = 40  # columns of the longest bar
_CHART_WIDTH, _CHART_HEIGHT = 480, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 14, 14, 30
_FLOOR = 1e-7  # nats; smaller divergences are drawn there

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1b1b1b; background: #fff; margin: 0 }
main { max-width: 46rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums }
th, td { text-align: right; padding: .2rem 0 .2rem clamp(.4rem, 2vw, 1.6rem); white-space: nowrap }
td:first-child { text-align: left; padding-left: 0; white-space: normal }
.chart { width: 100%; max-width: 36rem; overflow: visible }
.chart polyline { fill: none; stroke: #2a6fbb; stroke-width: 2 }
.chart circle { fill: #2a6fbb }
.chart text { font-size: 11px; fill: currentColor }
@media (prefers-color-scheme: dark) { body { color: #e6e6e6; background: #16181c } }
"""

Row = tuple[str, str, str]


def quality_view(report: QualityReport, *, unicode: bool) -> list[Table | Text]:
    """The two models side by side, what was lost, and the divergences as bars."""
    table = Table(box=None, pad_edge=False, show_header=True, header_style="bold")
    table.add_column("")
    for side in (report.reference, report.other):
        table.add_column(one_line(_name(side)), justify="right")
    for row in _sides(report):
        table.add_row(*map(one_line, row))
    lines = [f"{name:<26}{figure}{f'   {told}' if told else ''}" for name, figure, told in _losses(report)]
    return [table, Text("\n" + "\n".join(lines)), _bars(report, unicode=unicode)]


def _sides(report: QualityReport) -> list[Row]:
    pair = (report.reference, report.other)
    rows: list[Row] = [
        _row("size", (_megabytes(side.file_bytes) for side in pair)),
        _row("perplexity", (figure(side.perplexity, digits=4) for side in pair)),
    ]
    drift = report.head
    if drift is not None and drift.auroc is not None:
        rows.append(_row("head AUROC", (f"{value:.3f}" for value in drift.auroc)))
    if drift is not None and drift.ece is not None:
        rows.append(_row("head ECE", (f"{value:.3f}" for value in drift.ece)))
    return rows


def _row(name: str, pair: Iterable[str]) -> Row:
    reference, other = pair
    return name, reference, other


def _losses(report: QualityReport) -> list[Row]:
    rows = [
        ("perplexity ratio", figure(report.perplexity_ratio, digits=4), ""),
        ("KL divergence, mean", figure(report.kl_mean), "nats per token"),
        ("KL divergence, 99 %", figure(report.kl_99), ""),
        ("same first choice", f"{figure(report.same_top, scale=100)} %", "of tokens"),
        *_drift(report.head),
        ("measured on", f"{report.tokens:,} tokens of {report.text}", f"{report.windows} windows"),
    ]
    return [(name, one_line(value), told) for name, value, told in rows]


def _drift(drift: HeadDrift | None) -> list[Row]:
    if drift is None:
        return []
    rows: list[Row] = []
    if drift.steps is not None:
        rows.append(("confidence of steps", figure(drift.steps), f"moved on average, {drift.chains} chains"))
    if drift.answers is not None:
        rows.append(("confidence of answers", figure(drift.answers), "moved on average"))
    return rows


def _bars(report: QualityReport, *, unicode: bool) -> Text:
    """Quantiles of the divergence, on a logarithmic scale."""
    mark = "█" if unicode else "#"
    lines = [Text("\nKL divergence, by share of tokens", "bold")]
    values = [max(value, _FLOOR) for _, value in report.kl_quantiles]
    for (share, value), at in zip(report.kl_quantiles, _places(values), strict=True):
        lines.append(Text(f"  {100 * share:>5g} %  {value:<10.3g}") + Text(mark * round(_BAR * at), "cyan"))
    return Text("\n").join(lines)


def _places(values: Sequence[float]) -> list[float]:
    """Where values are between the floor and the largest, from 0 to 1, by their logarithms."""
    from math import log

    top = max(*values, 10 * _FLOOR)
    return [log(value / _FLOOR) / log(top / _FLOOR) for value in values]


def quality_json(report: QualityReport) -> dict[str, Any]:
    """The same as plain values; what was not measured is null."""
    drift = report.head
    return {
        "schema": SCHEMA,
        "text": report.text,
        "tokens": report.tokens,
        "windows": report.windows,
        "reference": _side_json(report.reference),
        "other": _side_json(report.other),
        "perplexity_ratio": _measure_json(report.perplexity_ratio),
        "kl_mean": _measure_json(report.kl_mean),
        "kl_99": _measure_json(report.kl_99),
        "kl_quantiles": [{"share": share, "kl": value} for share, value in report.kl_quantiles],
        "same_top": _measure_json(report.same_top),
        "head": None
        if drift is None
        else {
            "chains": drift.chains,
            "labelled": drift.labelled,
            "step_difference": _measure_json(drift.steps),
            "answer_difference": _measure_json(drift.answers),
            "auroc": _pair_json(drift.auroc),
            "ece": _pair_json(drift.ece),
        },
        "notes": list(report.notes),
    }


def _side_json(side: Side) -> dict[str, Any]:
    return {
        "name": side.model.name,
        "file": side.model.file,
        "quantization": side.model.quantization,
        "bytes": side.file_bytes,
        "perplexity": _measure_json(side.perplexity),
    }


def _measure_json(measure: Measure | None) -> dict[str, float | None] | None:
    return None if measure is None else {"value": measure.value, "standard_error": measure.error}


def _pair_json(pair: tuple[float, float] | None) -> dict[str, float] | None:
    return None if pair is None else {"reference": pair[0], "other": pair[1]}


def quality_page(report: QualityReport) -> str:
    """A page of its own that loads nothing."""
    names = [_name(side) for side in (report.reference, report.other)]
    title = f"{names[1]} against {names[0]}"
    sides = _table(["", *names], _sides(report))
    losses = _table(["", "", ""], _losses(report))
    notes = element("ul", each("li", map(text, report.notes))) if report.notes else ""
    body = element("h1", text(title)) + sides + losses + _chart(report) + notes
    return document(title, element("main", body), _STYLE)


def _table(header: Sequence[str], rows: Sequence[Row]) -> str:
    head = element("tr", each("th", map(text, header))) if any(header) else ""
    return element("table", head, *(element("tr", each("td", map(text, row))) for row in rows))


def _chart(report: QualityReport) -> str:
    """The quantiles of the divergence as a curve; the height is logarithmic."""
    values = [max(value, _FLOOR) for _, value in report.kl_quantiles]
    width, height = _CHART_WIDTH - _LEFT - _RIGHT, _CHART_HEIGHT - _TOP - _BOTTOM
    points = [
        (round(_LEFT + width * share, 1), round(_TOP + height * (1 - at), 1))
        for (share, _), at in zip(report.kl_quantiles, _places(values), strict=True)
    ]
    told = [f"{100 * share:g} % of tokens: at most {value:.3g}" for share, value in report.kl_quantiles]
    dots = [
        element("circle", element("title", text(line)), cx=f"{x:g}", cy=f"{y:g}", r="3.5")
        for (x, y), line in zip(points, told, strict=True)
    ]
    labels = [
        element("text", text(f"{value:.2g}"), x=f"{_LEFT - 6}", y=f"{y + 4:g}", text_anchor="end")
        for (_, y), value in ((points[0], values[0]), (points[-1], values[-1]))
    ]
    labels += [
        element("text", f"{100 * share:g} %", x=f"{x:g}", y=f"{_CHART_HEIGHT - 8}", text_anchor="middle")
        for (x, _), (share, _) in zip(points, report.kl_quantiles, strict=True)
        if share in (0.25, 0.5, 0.75, 1.0)
    ]
    title = "KL divergence in nats on a logarithmic scale, by share of tokens"
    return element("h2", title) + element(
        "svg",
        element("title", title, id="kl-title"),
        element("desc", text("; ".join(told)), id="kl-desc"),
        element("polyline", points=" ".join(f"{x:g},{y:g}" for x, y in points)),
        *dots,
        *labels,
        class_="chart",
        viewBox=f"0 0 {_CHART_WIDTH} {_CHART_HEIGHT}",
        role="img",
        aria_labelledby="kl-title kl-desc",
    )


def plan_view(plan: QuantizePlan) -> Table:
    """Every tensor with its type and size, now and then; the whole file in the last row."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("tensor", "shape", "now", "then"):
        table.add_column(column)
    table.add_column("bytes", justify="right")
    for tensor in plan.tensors:
        shape = " x ".join(map(str, tensor.shape))
        table.add_row(one_line(tensor.name), shape, tensor.before, tensor.after, f"{tensor.after_bytes:,}")
    table.add_row("", "", "", "", "")
    table.add_row("file, at most", "", "", plan.type_name, f"{plan.after_bytes:,}", style="bold")
    return table


def plan_json(plan: QuantizePlan) -> dict[str, Any]:
    """The same as plain values."""
    return {
        "schema": "sage.quantize_plan/1",
        "type": plan.type_name,
        "bytes_before": plan.before_bytes,
        "bytes_at_most": plan.after_bytes,
        "bits_per_weight": plan.bits_per_weight,
        "tensors": [
            {
                "name": tensor.name,
                "shape": list(tensor.shape),
                "type_before": tensor.before,
                "type": tensor.after,
                "bytes_before": tensor.before_bytes,
                "bytes": tensor.after_bytes,
            }
            for tensor in plan.tensors
        ],
    }


def figure(measure: Measure, *, digits: int = 3, scale: float = 1.0) -> str:
    """A value with its standard error behind it."""
    value = f"{scale * measure.value:.{digits}g}"
    return value if measure.error is None else f"{value} ± {scale * measure.error:.2g}"


def _name(side: Side) -> str:
    return f"{side.model.name} {side.model.quantization or ''}".strip()


def _megabytes(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.2f} MB"
