"""A trace as text for a terminal: marks, one line at the end, details, the whole of it.

Everything returned is Rich ``Text`` of :func:`safe` text, so nothing the model wrote is obeyed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.cells import cell_len
from rich.text import Text

from mch_runtime.trace import Step, Trace
from sage_cli.entries import Entry
from sage_cli.render.lines import fill, joined
from sage_cli.render.safe import one_line, safe

GUTTER = 88  # the column that marks end at, however wide the terminal is
SURE = 0.9
LIKELY = 0.5
_LONGEST_ANSWER = 40  # characters of an answer that the last line repeats
_ANSWER_COLUMN = 24
_GAP = "  "


@dataclass(frozen=True)
class Glyphs:
    """The few characters that are not ASCII where they can be."""

    sure: str
    likely: str
    doubtful: str
    dot: str
    ellipsis: str


UNICODE = Glyphs("●", "◐", "○", " · ", "…")
ASCII = Glyphs("+", "~", "!", " | ", "...")


def glyphs(*, unicode: bool) -> Glyphs:
    return UNICODE if unicode else ASCII


def style_of(confidence: float) -> str:
    """green, yellow or red; the mark's shape says the same."""
    return "green" if confidence >= SURE else "yellow" if confidence >= LIKELY else "red"


def mark(confidence: float, signs: Glyphs) -> Text:
    """``● 0.97``. Never 1.00 or 0.00: no measured confidence is certainty."""
    shape = signs.sure if confidence >= SURE else signs.likely if confidence >= LIKELY else signs.doubtful
    return Text(f"{shape} {_clamp(confidence):.2f}", style_of(confidence))


def step_mark(step: Step, signs: Glyphs) -> Text:
    """The probability that the step is valid; its mean log-probability where no head says so."""
    valid = (step.confidence or {}).get("valid")
    return mark(valid, signs) if valid is not None else Text(f"logp {nats(step.logprob_mean)}", "dim")


def answer_mark(trace: Trace, signs: Glyphs) -> Text:
    """The probability that the answer is right, or that it is not known."""
    if trace.confidence is not None:
        return mark(trace.confidence, signs)
    return Text(
        f"logp {nats(mean_logprob(trace))}" if trace.steps and trace.model.head is None else "?", "dim"
    )


def at_gutter(text: Text, *, column: int, width: int) -> Text:
    """``text`` with what moves it from ``column`` of a terminal ``width`` wide to the gutter.

    Lines that leave no room are followed by two spaces, or by a line of its own.
    """
    length = cell_len(text.plain)
    column = (column - 1) % width + 1 if column else 0
    target = min(width, GUTTER) - length
    if column + 2 <= target:
        return Text(" " * (target - column)) + text
    if column + 2 + length <= width:
        return Text("  ") + text
    return Text("\n" + " " * max(0, target)) + text


def summary(trace: Trace, signs: Glyphs, *, width: int) -> Text:
    """``27 · 97 % sure · 812 tokens/s · sage-pico Q8_0``, on more lines where the terminal is narrow."""
    parts: list[Text] = []
    if trace.answer is not None and len(trace.answer) <= _LONGEST_ANSWER and "\n" not in trace.answer:
        parts.append(Text(one_line(trace.answer), "bold"))
    if trace.answer is not None:
        parts.append(certainty(trace))
    elif trace.finish_reason == "stop":
        parts.append(Text("no answer", "yellow"))
    if trace.votes and trace.choice is not None and trace.choice.share is not None:
        supporters = round(trace.choice.share * trace.choice.chains)
        parts.append(Text(f"{supporters} of {trace.choice.chains} chains"))
    if trace.finish_reason == "interrupted":
        parts.append(Text("interrupted", "yellow"))
    if trace.finish_reason == "length":
        parts.append(Text(f"cut off after {trace.cost.generated_tokens} tokens", "yellow"))
    parts.append(Text(f"{_rate(trace.cost.tokens_per_second)} tokens/s", "dim"))
    parts.append(Text(one_line(" ".join(filter(None, (trace.model.name, trace.model.quantization)))), "dim"))
    return Text("\n").join(joined(parts, signs.dot, width))


def certainty(trace: Trace) -> Text:
    if trace.confidence is not None:
        return Text(f"{_clamp(trace.confidence) * 100:.0f} % sure", style_of(trace.confidence))
    if trace.model.head is None:
        value = f": mean log-probability {nats(mean_logprob(trace))}" if trace.steps else ""
        return Text(f"uncalibrated{value}", "dim")
    raw = "" if trace.confidence_raw is None else f" (raw {_clamp(trace.confidence_raw):.2f})"
    why = "unfamiliar question, " if trace.familiar is False else ""
    return Text(f"{why}confidence not known{raw}", "yellow")


def mean_logprob(trace: Trace) -> float:
    """Nats per token over all steps."""
    tokens = sum(end - start for start, end in (step.tokens for step in trace.steps))
    total = sum(step.logprob_mean * (step.tokens[1] - step.tokens[0]) for step in trace.steps)
    return total / tokens if tokens else 0.0


def nats(value: float) -> str:
    """Two decimals, and no minus in front of a rounded zero."""
    return f"{value:.2f}".replace("-0.00", "0.00")


def details(trace: Trace) -> Text:
    """What ``-v`` adds below the last line: tokens, times, sampling, files."""
    cost, seconds, how = trace.cost, trace.cost.seconds, trace.sampling
    times = [("load", seconds.load), ("prefill", seconds.prefill), ("decode", seconds.decode)]
    times += [(name, value) for name, value in (("head", seconds.head),) if value is not None]
    greedy = f"top-k {how.top_k}, top-p {how.top_p:g}, min-p {how.min_p:g}, temperature {how.temperature:g}"
    rows = [
        ("tokens", f"{cost.prompt_tokens} read, {cost.generated_tokens} written"),
        ("time", ", ".join(f"{name} {value:.3f} s" for name, value in times)),
        ("sampling", f"{greedy if how.temperature else 'greedy'}, seed {trace.seed}"),
        ("confidence", trace.confidence_basis or "not calibrated"),
        ("model", trace.model.file),
        ("head", trace.model.head or "none"),
    ]
    rows += [("steered by", f"{one.file} at {one.scale:g}") for one in trace.model.control_vectors]
    lines = [Text(f"{name:<11}", "dim") + Text(one_line(value)) for name, value in rows]
    return Text("\n").join(lines)


def whole(trace: Trace, signs: Glyphs, *, width: int) -> Text:
    """The question, every step with its mark, and the last line."""
    view = Text("\n".join(_folded(safe(trace.question).strip(), width)) + "\n\n", "bold")
    for text, step in _pieces(trace):
        lines = safe(text).strip("\n")
        if not lines.strip():
            continue
        view.append(lines)
        last = lines.rpartition("\n")[2]
        if step is trace.steps[-1] and text.rstrip().endswith(trace.answer_text.rstrip()):
            view += at_gutter(answer_mark(trace, signs), column=cell_len(last), width=width)
        elif step is not None:
            view += at_gutter(step_mark(step, signs), column=cell_len(last), width=width)
        view.append("\n")
    return view + Text("\n") + summary(trace, signs, width=width)


def _folded(text: str, width: int) -> Iterator[str]:
    """Its lines, those that are too long folded between words."""
    for line in text.split("\n"):
        yield from [line] if cell_len(line) <= width else fill(line, width)


def answers_table(entries: Sequence[Entry], signs: Glyphs, *, width: int) -> Text:
    """Logged answers, a line each: id, time, confidence, answer, question; the last two cut to fit."""
    rows = [[Text(name, "bold") for name in ("ID", "WHEN", "", "ANSWER", "QUESTION")]]
    for entry in entries:
        sure = mark(entry.confidence, signs) if entry.confidence is not None else Text()
        question = Text(safe(" ".join(entry.question.split())))
        rows.append(
            [Text(entry.id, "cyan"), Text(_local(entry.created), "dim"), sure, _outcome(entry), question]
        )
    widths = [max(row[column].cell_len for row in rows) for column in range(5)]
    widths[3] = min(widths[3], _ANSWER_COLUMN)
    widths[4] = max(8, min(widths[4], width - sum(widths[:4]) - 4 * len(_GAP)))
    return Text("\n").join(Text(_GAP).join(_cut(row, widths, signs)) for row in rows)


def _cut(row: list[Text], widths: list[int], signs: Glyphs) -> Iterator[Text]:
    for cell, width in zip(row, widths, strict=True):
        if cell.cell_len > width:
            cell.truncate(width - cell_len(signs.ellipsis))
            cell.append(signs.ellipsis)
        cell.pad_right(width - cell.cell_len)
        yield cell


def _outcome(entry: Entry) -> Text:
    if entry.answer is not None:
        return Text(safe(" ".join(entry.answer.split())))
    reasons = {None: "never finished", "failed": "refused", "interrupted": "interrupted"}
    return Text(reasons.get(entry.finish_reason, "no answer"), "yellow")


def _local(created: str) -> str:
    """The user's own time to the minute, the day alone for another year; what is not a time as it is."""
    try:
        when = datetime.fromisoformat(created).astimezone()
    except ValueError:
        return one_line(created)
    this_year = when.year == datetime.now(UTC).astimezone().year
    return when.strftime("%m-%d %H:%M" if this_year else "%Y-%m-%d")


def _pieces(trace: Trace) -> list[tuple[str, Step | None]]:
    """The text of each step in order; what lies between or behind steps has none."""
    pieces: list[tuple[str, Step | None]] = []
    rest = trace.text
    for step in trace.steps:
        before, found, after = rest.partition(step.text)
        if found:
            pieces += [(before, None), (step.text, step)]
            rest = after
    return [*pieces, (rest, None)]


def _clamp(confidence: float) -> float:
    return min(max(confidence, 0.01), 0.99)


def _rate(tokens_per_second: float) -> str:
    return f"{tokens_per_second:.0f}" if tokens_per_second >= 10 else f"{tokens_per_second:.1f}"
