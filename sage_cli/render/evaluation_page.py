"""The report of an evaluation as one HTML page with plots that needs nothing else: no network, no script."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from mch_runtime.evaluation.report import Figures, Report, against
from mch_runtime.evaluation.rows import GUIDED, PLAIN
from sage_cli.assets import EVALUATION_SHEET, STYLE_SHEET
from sage_cli.render.evaluation import figure, interval, p_value, points, sentences
from sage_cli.render.page import document, each, element, text
from sage_cli.render.plots import Axis, Series, plot

_DASH = "–"
_DRAWN = ("fast", GUIDED, PLAIN, "think", "auto")  # rows whose curves are drawn; all are in the tables
_CONFIDENCE = Axis(title="confidence", low=0, high=1, percent=True)


def evaluated(report: Report) -> str:
    """The whole page."""
    sections = [*_answers(report), *_confidence(report), *_cost(report), *_groups(report), *_theory(report)]
    sections += [*_pairs(report), *_contamination(report)]
    body = "\n".join([_head(report), element("main", *sections), _foot(report)])
    sheet = "".join(path.read_text(encoding="utf-8") for path in (STYLE_SHEET, EVALUATION_SHEET))
    return document(f"{report.setup.title}: {report.setup.model.name}", body, sheet)


def _head(report: Report) -> str:
    best = max(report.rows, key=lambda row: row.accuracy.value, default=None)
    count = f"{report.count:,} of {report.of:,}" if report.count < report.of else f"{report.count:,}"
    drawn = (
        f", {report.setup.votes} chains each at temperature {report.setup.temperature:g}"
        if report.votes
        else ""
    )
    said = f"{count} problem{'' if report.of == 1 else 's'}{drawn}."
    lede = [element("b", text(_best(best)))] if best is not None else []
    return element(
        "header",
        element("h1", element("small", text(report.setup.title)), text(report.setup.model.name)),
        element("p", *lede, text(said), class_="lede"),
    )


def _best(row: Figures) -> str:
    return f"{row.name}: {100 * row.accuracy.value:.1f} % right ({interval(row.accuracy)})"


def _answers(report: Report) -> Iterator[str]:
    compared = {one.first: one for one in against(report)}
    rows = []
    for row in report.rows:
        gap = compared.get(row.name)
        told = [points(gap.difference), p_value(gap.p)] if gap else ["", ""]
        rows.append([row.name, row.about, f"{100 * row.accuracy.value:.1f}", interval(row.accuracy), *told])
    if report.oracle is not None:
        oracle = report.oracle
        about = "what a perfect choice among the chains would reach"
        rows.append(["any chain right", about, f"{100 * oracle.value:.1f}", interval(oracle), "", ""])
    header = ["", "what it is", "right %", "95 %", f"against {report.against}, points", "McNemar p"]
    figures = [*_votes_plot(report), *_cost_plot(report)]
    yield _section("answers", "Right answers", _table(header, rows), _figures(figures))


def _votes_plot(report: Report) -> Iterator[str]:
    if not report.votes or max(len(curve) for curve in report.votes.values()) < 2:
        return
    curves = [
        Series(name=name, points=[(math.log2(count), share) for count, share in curve])
        for name, curve in report.votes.items()
    ]
    counts = sorted({count for curve in report.votes.values() for count, _ in curve})
    x = Axis(
        title="log2 of the chains", low=0, high=math.log2(counts[-1]), ticks=[math.log2(c) for c in counts]
    )
    yield _figure("Right answers by the number of chains", "votes", x, _fitted("right", curves), curves)


def _cost_plot(report: Report) -> Iterator[str]:
    known = [row for row in report.rows if row.cost is not None and row.name in _DRAWN]
    if len(known) < 2:
        return
    dots = [
        Series(
            name=row.name,
            points=[(row.cost or 0.0, row.accuracy.value)],
            kind="points",
            bars=[(row.accuracy.low, row.accuracy.high)],
        )
        for row in known
    ]
    x = Axis(title="tokens, as a multiple of fast", low=0, high=1.05 * max(row.cost or 0.0 for row in known))
    yield _figure("Right answers by cost", "cost", x, _fitted("right", dots), dots)


def _confidence(report: Report) -> Iterator[str]:
    rows = [
        [
            row.name,
            f"{row.known:,}",
            "yes" if row.calibrated else "no",
            *(figure(value, _DASH) for value in (row.mean_confidence, row.ece, row.ece_floor, row.brier)),
            f"{row.auroc.value:.3f} [{row.auroc.low:.3f}, {row.auroc.high:.3f}]" if row.auroc else _DASH,
            figure(row.aurc, _DASH),
            figure(row.rejection_ratio, _DASH),
        ]
        for row in report.rows
    ]
    header = ["", "known", "calibrated", "mean", "ECE", "its floor", "Brier", "AUROC", "AURC", "PRR"]
    yield _section(
        "confidence", "Confidence", _table(header, rows), _figures([*_reliability(report), *_risk(report)])
    )


def _reliability(report: Report) -> Iterator[str]:
    drawn = [row for row in report.rows if row.bins and row.name in _DRAWN]
    if not drawn:
        return
    series = [
        Series(
            name=row.name,
            points=[(one.predicted, one.right.value) for one in row.bins],
            bars=[(one.right.low, one.right.high) for one in row.bins] if row is drawn[0] else (),
        )
        for row in drawn
    ]
    series.append(Series(name="as it should be", points=[(0, 0), (1, 1)], kind="line", faint=True))
    y = Axis(title="right", low=0, high=1, percent=True)
    yield _figure(
        "Reliability: how many answers of a confidence are right", "reliability", _CONFIDENCE, y, series
    )


def _risk(report: Report) -> Iterator[str]:
    drawn = [row for row in report.rows if row.risk and row.name in _DRAWN]
    if not drawn:
        return
    series = [Series(name=row.name, points=row.risk, kind="line") for row in drawn]
    x = Axis(title="share of problems answered, the surest first", low=0, high=1, percent=True)
    high = max(risk for row in drawn for _, risk in row.risk)
    y = Axis(title="wrong among them", low=0, high=max(0.05, math.ceil(20 * high) / 20), percent=True)
    yield _figure("Risk: what answering less would spare", "risk", x, y, series)


def _cost(report: Report) -> Iterator[str]:
    rows = [
        [
            row.name,
            f"{row.tokens:,.1f}",
            f"{row.cost:.2f}" if row.cost is not None else _DASH,
            f"{row.seconds:.4f}",
            f"{row.bits_per_tflop:,.1f}" if row.bits_per_tflop is not None else _DASH,
        ]
        for row in report.rows
    ]
    header = ["", "tokens", "multiple of fast", "seconds", "reasoning bits per TFLOP"]
    yield _section("costs", "Cost of a problem", _table(header, rows))


def _groups(report: Report) -> Iterator[str]:
    if report.groups:
        names = [row.name for row in report.rows]
        rows = [
            [group.name, str(group.count), *(f"{100 * group.accuracy[name].value:.1f}" for name in names)]
            for group in report.groups
        ]
        yield _section(
            "groups", "Right answers by kind of problem, %", _table(["", "problems", *names], rows)
        )


def _theory(report: Report) -> Iterator[str]:
    theory = report.theory
    parts = [element("p", text(line)) for line in sentences(theory)]
    drawings = []
    if theory.lengths:
        series = [
            Series(
                name="measured",
                points=[(one.steps, one.measured.value) for one in theory.lengths],
                bars=[(one.measured.low, one.measured.high) for one in theory.lengths],
            ),
            Series(name="predicted", points=[(one.steps, one.predicted) for one in theory.lengths]),
        ]
        heads = [(one.steps, one.by_head) for one in theory.lengths if one.by_head is not None]
        if heads:
            series.append(Series(name="by the head's valid steps", points=heads))
        steps = [one.steps for one in theory.lengths]
        x = Axis(title="steps", low=min(steps) - 0.5, high=max(steps) + 0.5, ticks=steps)
        y = Axis(title="right", low=0, high=1, percent=True)
        title = f"Reliability by steps, predicted from {100 * (theory.step_error or 0):.1f} % error a step"
        drawings.append(_figure(title, "steps", x, y, series))
    if theory.information is not None:
        found = theory.information
        rows = [
            [
                str(k),
                f"{one.bits:.1f}",
                f"{100 * one.measured.value:.1f}",
                interval(one.measured),
                f"{100 * one.floor:.1f}",
            ]
            for k, one in enumerate(found.bands, start=1)
        ]
        header = ["quarter of the chains", "bits told", "wrong %", "95 %", "least possible %"]
        parts.append(
            element("h3", text(f"Error by information; the answer has {found.answer_bits:.1f} bits"))
        )
        parts.append(_table(header, rows))
    if parts or drawings:
        yield _section("theory", "Predicted and measured", *parts, _figures(drawings))


def _pairs(report: Report) -> Iterator[str]:
    if report.comparisons:
        rows = [
            [
                one.first,
                one.second,
                points(one.difference),
                str(one.only_first),
                str(one.only_second),
                p_value(one.p),
            ]
            for one in report.comparisons
        ]
        header = [
            "first",
            "second",
            "difference, points",
            "only first right",
            "only second right",
            "McNemar p",
        ]
        table = element(
            "details", element("summary", "Every two rows, on the same problems"), _table(header, rows)
        )
        yield _section("pairs", "Comparisons", table)


def _contamination(report: Report) -> Iterator[str]:
    found = report.contamination
    if found is not None:
        said = (
            f"{found.touched:,} of {found.count:,} questions share {found.words} words in a row with the training "
            f"data ({found.records:,} records)."
        )
        yield _section("overlap", "Overlap with training", element("p", text(said)))


def _foot(report: Report) -> str:
    model = report.setup.model
    name = " ".join(filter(None, (model.name, model.quantization)))
    head = f"head {model.head}" if model.head else "no head"
    return element(
        "footer", text(f"{name}, {head}, seed {report.setup.seed}, sage {report.setup.sage_version}")
    )


def _fitted(title: str, series: Sequence[Series]) -> Axis:
    """An axis of shares around what is drawn, in steps of five points."""
    values = [value for one in series for _, value in one.points]
    values += [value for one in series for bar in one.bars for value in bar]
    low, high = math.floor(20 * min(values)) / 20, math.ceil(20 * max(values)) / 20
    return Axis(title=title, low=low, high=high if high > low else low + 0.05, percent=True)


def _figure(title: str, name: str, x: Axis, y: Axis, series: Sequence[Series]) -> str:
    return element("figure", element("figcaption", text(title)), plot(name, title, x, y, series))


def _figures(drawings: Sequence[str]) -> str:
    return element("div", *drawings, class_="figures") if drawings else ""


def _section(name: str, title: str, *content: str) -> str:
    return element("section", element("h2", text(title), id=name), *content, aria_labelledby=name)


def _table(header: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    head = element("thead", element("tr", *(element("th", text(name), scope="col") for name in header)))
    lines = (
        element("th", text(row[0]), scope="row") + "".join(element("td", text(cell)) for cell in row[1:])
        for row in rows
    )
    return element(
        "div", element("table", head, element("tbody", each("tr", lines)), class_="data"), class_="wide"
    )
