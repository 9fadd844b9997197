"""The report of an evaluation for a terminal: a table for each question that a reader has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mch_runtime.evaluation.metrics import Estimate
from mch_runtime.evaluation.report import Comparison, Report, against
from mch_runtime.evaluation.rows import GUIDED, PLAIN
from mch_runtime.evaluation.theory import Theory
from sage_cli.render.safe import one_line

SIGNIFICANT = 0.05
_ASCII = box.Box(str(box.SIMPLE_HEAD).replace("─", "-"), ascii=True)
_SHOWN = ("fast", PLAIN, GUIDED, "think", "auto")  # in the table of groups


def evaluated(report: Report, *, unicode: bool) -> RenderableType:
    """The whole report."""
    dash = "–" if unicode else "-"
    parts = [
        _heading(report),
        _accuracy(report, dash),
        _confidence(report, dash),
        _cost(report, dash),
        *_groups(report, dash),
        *_theory(report, dash),
        *_notes(report),
    ]
    return Group(*parts)


def _titled(title: str, table: Table) -> Group:
    return Group(Text(f"\n{title}", "bold"), table)


def _heading(report: Report) -> Text:
    model = report.setup.model
    name = " ".join(filter(None, (model.name, model.quantization)))
    head = f"head {model.head}" if model.head else "no head"
    some = f"{report.count:,}" if report.count == report.of else f"{report.count:,} of {report.of:,}"
    count = f"{some} problem{'' if report.of == 1 else 's'}"
    chains = (
        f", {report.setup.votes} chains each at temperature {report.setup.temperature:g}"
        if report.votes
        else ""
    )
    return Text.assemble(
        (one_line(report.setup.title), "bold"), f": {count}{chains}\n{one_line(f'{name}, {head}')}"
    )


def _accuracy(report: Report, dash: str) -> Group:
    table = _table(dash, ["", "right %", "95 %", f"against {report.against}", "McNemar p"])
    compared = {one.first: one for one in against(report)}
    for row in report.rows:
        gap = compared.get(row.name)
        table.add_row(row.name, f"{100 * row.accuracy.value:.1f}", interval(row.accuracy), *_compared(gap))
    if report.oracle is not None:
        table.add_row(
            Text("any chain right", "dim"),
            Text(f"{100 * report.oracle.value:.1f}", "dim"),
            Text(interval(report.oracle), "dim"),
            "",
            "",
        )
    return _titled("Right answers", table)


def _compared(gap: Comparison | None) -> tuple[Text, Text]:
    if gap is None:
        return Text(""), Text("")
    clear = gap.p < SIGNIFICANT
    color = ("green" if gap.difference.value > 0 else "red") if clear else ""
    return Text(points(gap.difference), color), Text(p_value(gap.p), "bold" if clear else "")


def _confidence(report: Report, dash: str) -> Group:
    table = _table(dash, ["", "mean", "ECE", "(floor)", "Brier", "AUROC", "95 %", "AURC", "PRR"])
    for row in report.rows:
        spread = f"{row.auroc.low:.2f}{dash}{row.auroc.high:.2f}" if row.auroc else dash
        table.add_row(
            row.name,
            *(figure(value, dash) for value in (row.mean_confidence, row.ece)),
            f"({row.ece_floor:.3f})" if row.ece_floor is not None else dash,
            figure(row.brier, dash),
            figure(row.auroc.value if row.auroc else None, dash),
            spread,
            figure(row.aurc, dash),
            figure(row.rejection_ratio, dash, digits=2),
        )
    return _titled("Confidence: is it right, and does it tell right from wrong?", table)


def _cost(report: Report, dash: str) -> Group:
    table = _table(dash, ["", "tokens", "of fast", "seconds", "bits per TFLOP"])
    for row in report.rows:
        cost = f"{row.cost:.2f} x" if row.cost is not None else dash
        bits = f"{row.bits_per_tflop:,.0f}" if row.bits_per_tflop is not None else dash
        table.add_row(row.name, f"{row.tokens:,.0f}", cost, f"{row.seconds:.3f}", bits)
    return _titled("Cost of a problem", table)


def _groups(report: Report, dash: str) -> Iterator[RenderableType]:
    if not report.groups:
        return
    names = [row.name for row in report.rows if row.name in _SHOWN]
    table = _table(dash, ["", "problems", *names])
    for group in report.groups:
        cells = [
            f"{100 * group.accuracy[name].value:.1f}" if name in group.accuracy else dash for name in names
        ]
        table.add_row(one_line(group.name), str(group.count), *cells)
    yield _titled("Right answers by kind of problem, %", table)


def _theory(report: Report, dash: str) -> Iterator[RenderableType]:
    theory = report.theory
    if theory.lengths:
        title = f"Reliability by steps: measured, and predicted from {100 * (theory.step_error or 0):.1f} % error a step"
        table = _table(dash, ["steps", "problems", "measured %", "95 %", "predicted %", "by the head %"])
        for one in theory.lengths:
            head = f"{100 * one.by_head:.1f}" if one.by_head is not None else dash
            measured = f"{100 * one.measured.value:.1f}"
            cells = (measured, interval(one.measured), f"{100 * one.predicted:.1f}", head)
            table.add_row(str(one.steps), str(one.count), *cells)
        yield _titled(title, table)
    if theory.information is not None:
        found = theory.information
        title = f"Error by information; the answer has {found.answer_bits:.1f} bits"
        table = _table(dash, ["quarter", "bits told", "wrong %", "95 %", "least possible %"])
        for place, band in enumerate(found.bands, start=1):
            wrong = f"{100 * band.measured.value:.1f}"
            table.add_row(
                str(place), f"{band.bits:.1f}", wrong, interval(band.measured), f"{100 * band.floor:.1f}"
            )
        yield _titled(title, table)
    lines = list(sentences(theory))
    if lines:
        yield Text("\n" + "\n".join(lines))


def sentences(theory: Theory) -> Iterator[str]:
    """The predictions that are one number each."""
    effective = theory.effective_error
    if effective is not None:
        yield (
            f"Writing doubted chains anew: {100 * effective.error:.1f} % wrong at first, the head finds "
            f"{100 * effective.sensitivity:.0f} % of those and doubts {100 * (1 - effective.specificity):.0f} % of the "
            f"right ones; predicted {100 * effective.predicted:.1f} % wrong, measured "
            f"{100 * effective.measured.value:.1f} % ({interval(effective.measured)})."
        )
    cost = theory.hybrid_cost
    if cost is not None:
        yield (
            f"Cost of auto: {100 * cost.switched:.0f} % of the problems switched; predicted {cost.predicted:,.0f} "
            f"tokens a problem, measured {cost.measured:,.0f}."
        )


def _notes(report: Report) -> Iterator[RenderableType]:
    found = report.contamination
    if found is not None:
        clean = f"{100 * found.accuracy_clean.value:.1f} %" if found.accuracy_clean else "no problem"
        touched = f"{100 * found.accuracy_touched.value:.1f} %" if found.accuracy_touched else "none of them"
        yield Text(
            f"\n{found.touched:,} of {found.count:,} questions share {found.words} words in a row with the training "
            f"data ({found.records:,} records): {touched} right there, {clean} elsewhere."
        )
    partly = [f"{row.name} {row.known:,}" for row in report.rows if 0 < row.known < row.count]
    if partly:
        yield Text(
            f"\nA confidence is known of some of {report.count:,} answers only: {', '.join(partly)}.", "dim"
        )
    uncalibrated = [row.name for row in report.rows if not row.calibrated]
    if uncalibrated:
        yield Text(f"\nNot calibrated, a share of votes or the like: {', '.join(uncalibrated)}.", "dim")


def _table(dash: str, columns: Sequence[str]) -> Table:
    lines = _ASCII if dash == "-" else box.SIMPLE_HEAD
    table = Table(box=lines, show_edge=False, pad_edge=False, collapse_padding=True)
    for place, column in enumerate(columns):
        table.add_column(column, justify="left" if place == 0 else "right", no_wrap=place == 0)
    return table


def interval(estimate: Estimate) -> str:
    """In percent: ``71.2 to 77.9``."""
    return f"{100 * estimate.low:.1f} to {100 * estimate.high:.1f}"


def points(gap: Estimate) -> str:
    """A difference of shares in points, with its interval."""
    value, low, high = (f"{round(100 * share, 1) + 0.0:+.1f}" for share in (gap.value, gap.low, gap.high))
    return f"{value} [{low}, {high}]"


def p_value(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def figure(value: float | None, dash: str, *, digits: int = 3) -> str:
    return dash if value is None else f"{value:.{digits}f}"
