"""An explanation as text for a terminal, from 40 columns up.

Everything returned is Rich ``Text`` of :func:`safe` text, so nothing the model wrote is obeyed. Colour repeats
what signs and words say.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text

from mch_runtime.explanation import Alternative, Decision, Explanation
from mch_runtime.trace import Step
from sage_cli import account
from sage_cli.account import WRONG, chance, nats
from sage_cli.queries import queries
from sage_cli.render import lanes, terminal
from sage_cli.render.evidence import measurements
from sage_cli.render.lines import cut, fill, joined
from sage_cli.render.safe import one_line, safe
from sage_cli.render.styles import GENERATED, Style

WIDEST = 100  # columns; longer lines are hard to read
_TABLE = 72  # columns from which on the steps have titles above them
_INDENT = "   "
_COLUMNS = (("STEP", 6), ("VALID", 12), ("SETTLED", 9), ("VERDICT", 21), ("RESTS ON", 0))


@dataclass(frozen=True)
class _Signs:
    marks: terminal.Glyphs
    strokes: lanes.Strokes
    right: str
    wrong: str
    unsure: str
    leads_to: str
    comes_from: str
    fork: str
    last: str
    down: str
    opening: str
    closing: str


_UNICODE = _Signs(
    terminal.UNICODE, lanes.UNICODE, "✓ ", "✗ ", "? ", "→ ", "← ", "├─ ", "└─ ", "│  ", "“", "”"
)
_ASCII = _Signs(terminal.ASCII, lanes.ASCII, "+ ", "x ", "? ", "-> ", "<- ", "|- ", "`- ", "|  ", '"', '"')


def explained(explanation: Explanation, style: Style, *, width: int, unicode: bool) -> Text:
    """The whole of it, without a line break at the end."""
    page = _Page(explanation, min(width, WIDEST), _UNICODE if unicode else _ASCII)
    parts = {
        "brief": (page.paragraph,),
        "steps": (page.paragraph, page.steps, page.flow, page.roads),
        "evidence": (page.paragraph, page.steps, page.flow, page.roads, page.evidence),
        "questions": (page.questions,),
    }[style]
    blocks = [list(part()) for part in (*parts, page.words)]
    return Text("\n\n").join(Text("\n").join(block) for block in blocks if block)


class _Page:
    def __init__(self, explanation: Explanation, width: int, signs: _Signs) -> None:
        self._explanation = explanation
        self._width = width
        self._signs = signs

    def paragraph(self) -> Iterator[Text]:
        yield from self._filled(" ".join(account.paragraph(self._explanation)))

    def steps(self) -> Iterator[Text]:
        steps = self._explanation.trace.steps
        if not steps:
            return
        wide = self._width >= _TABLE
        titles = _row([Text(title) for title, _ in _COLUMNS]) if wide else Text("STEPS")
        titles.stylize("bold")
        yield titles
        for index, step in enumerate(steps):
            yield from self._in_columns(index, step) if wide else self._in_a_row(index, step)
            style = "strike" if step.verdict == "withdrawn" else ""
            yield from self._filled(account.bare(step, index), indent=_INDENT, style=style)
            for evidence in step.evidence:
                yield from self._filled(evidence, indent=f"{_INDENT}  ", style="dim")

    def _in_columns(self, index: int, step: Step) -> Iterator[Text]:
        likely = account.settled(step)
        none = Text("-", "dim")
        yield _row(
            [
                Text(f"{index + 1}", "bold"),
                terminal.step_mark(step, self._signs.marks),
                none if likely is None else Text(chance(likely)),
                self._verdict(step) or none,
                Text(", ".join(self._labels(index))),
            ]
        )

    def _in_a_row(self, index: int, step: Step) -> Iterator[Text]:
        likely, labels = account.settled(step), self._labels(index)
        parts = [
            terminal.step_mark(step, self._signs.marks),
            Text() if likely is None else Text(f"settled {chance(likely)}"),
            self._verdict(step),
            Text(f"from {', '.join(labels)}") if labels else Text(),
        ]
        lead = Text(f"{index + 1:>2} ", "bold")
        lines = joined((part for part in parts if part), self._signs.marks.dot, self._width - len(_INDENT))
        yield from (Text.assemble(_INDENT if at else lead, line) for at, line in enumerate(lines))

    def _verdict(self, step: Step) -> Text:
        if step.verdict is None:
            return Text()
        sign, style = self._signs.right, "green"
        if step.verdict in WRONG:
            sign, style = self._signs.wrong, "red"
        elif step.verdict != "valid":
            sign, style = (self._signs.unsure, "yellow") if step.verdict != "withdrawn" else ("", "dim")
        return Text(f"{sign}{account.VERDICTS[step.verdict]}", style)

    def _labels(self, index: int) -> list[str]:
        return [account.premise_label(premise) for premise in account.rests_on(self._explanation, index)]

    def flow(self) -> Iterator[Text]:
        """Facts and steps from the question down to the answer, with what rests on what."""
        explanation = self._explanation
        if not explanation.premises:
            return
        yield Text("WHAT RESTS ON WHAT", "bold")
        facts = account.sentence_texts(explanation)
        steps = explanation.trace.steps
        labels = [f"Q{i + 1}" for i, _ in enumerate(facts)] + [f"{i + 1}" for i, _ in enumerate(steps)]
        texts = [*facts, *(account.bare(step, i) for i, step in enumerate(steps))]
        column = max(len(label) for label in labels)
        links = account.links(explanation)
        drawing = lanes.draw(len(labels), links, self._signs.strokes)
        if cell_len(drawing[0]) > (self._width - column) // 2:  # no room for words: name them instead
            drawing = tuple(self._named(links.get(row, ()), labels) for row in range(len(labels)))
        for label, strokes, text in zip(labels, drawing, texts, strict=True):
            line = Text.assemble((f"{label:>{column}} ", "bold"), (strokes, "cyan"))
            yield line.append(self._cut(text, self._width - line.cell_len))

    def _named(self, rows: tuple[int, ...], labels: list[str]) -> str:
        return f"{self._signs.comes_from}{' '.join(labels[row] for row in rows)}  " if rows else ""

    def roads(self) -> Iterator[Text]:
        """Where the model could have gone elsewhere, and what came of it."""
        if self._explanation.decisions:
            yield Text("ROADS NOT TAKEN", "bold")
        for decision in self._explanation.decisions or ():
            yield from self._decision(decision)

    def _decision(self, decision: Decision) -> Iterator[Text]:
        where = f"step {decision.step + 1} went on with "
        chosen = self._chosen(decision.text, decision.probability, self._width - len(where))
        yield Text.assemble(where, chosen)
        for road in decision.alternatives:
            end = road is decision.alternatives[-1]
            first = self._signs.last if end else self._signs.fork
            after = " " * len(first) if end else self._signs.down
            for index, line in enumerate(self._road(road)):
                yield Text.assemble((after if index else first, "cyan"), line)

    def _chosen(self, text: str, likely: float, room: int) -> Text:
        quoted = self._cut(text if text.strip() else repr(text), room - 9)
        marks = f"{self._signs.opening}{quoted}{self._signs.closing}"
        return Text.assemble((marks, "bold"), (self._signs.marks.dot, "dim"), chance(likely))

    def _road(self, road: Alternative) -> Iterator[Text]:
        room = self._width - len(_INDENT)
        yield self._chosen(road.text, road.probability, room)
        found = road.outcome
        if found is not None:
            answer = (
                self._cut(found.answer, room - len(self._signs.leads_to)) if found.answer else "no answer"
            )
            parts = [Text(f"{self._signs.leads_to}{answer}", "yellow" if road.changes else "")]
            parts += [self._mark(found.confidence)] if found.confidence is not None else []
            parts += [Text(f"ICS {nats(found.ics)}")] if found.ics is not None else []
            if found.answer and road.changes is not None:
                parts.append(Text("another answer" if road.changes else "the same answer"))
            yield from joined(parts, self._signs.marks.dot, room)
        yield from (Text(line, "dim") for line in fill(self._shown(road.why_not), room))

    def evidence(self) -> Iterator[Text]:
        """Every number."""
        for group in measurements(self._explanation):
            yield Text(group.title.upper(), "bold")
            for name, value in group.rows:
                yield from self._filled(f"{name}: {value}", indent="  ")

    def questions(self) -> Iterator[Text]:
        for query in queries(self._explanation):
            yield Text(query.question, "bold")
            for answer in query.answers:
                yield from self._filled(answer, indent="  ")

    def words(self) -> Iterator[Text]:
        if self._explanation.words is None:
            return
        yield from self._filled(GENERATED, style="bold")
        for line in safe(self._explanation.words).strip().splitlines():
            yield from self._filled(line, indent="| ", style="italic")

    def _mark(self, value: float) -> Text:
        return terminal.mark(value, self._signs.marks)

    def _cut(self, text: str, room: int) -> str:
        return cut(self._shown(" ".join(text.split())), max(room, 8), self._signs.marks.ellipsis)

    def _filled(self, text: str, *, indent: str = "", style: str = "") -> Iterator[Text]:
        for line in fill(self._shown(text), self._width - len(indent)):
            yield Text.assemble(indent, (line, style))

    def _shown(self, text: str) -> str:
        """Safe, on one line, in quotation marks that can be shown."""
        if self._signs is _ASCII:
            text = text.translate({0x201C: '"', 0x201D: '"', 0x2026: "..."})
        return one_line(text)


def _row(cells: list[Text]) -> Text:
    line = Text()
    for cell, (_, columns) in zip(cells, _COLUMNS, strict=True):
        line.append(cell)
        line.append(" " * max(1, columns - cell.cell_len))
    line.rstrip()
    return line
