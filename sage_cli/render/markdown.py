"""An explanation in Markdown, for a pull request or a note.

What the model wrote stands in code spans, where neither Markdown nor HTML nor a forge's mentions and
references mean anything; within our own sentences every character that could mean something is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from mch_runtime.explanation import Alternative, Explanation
from sage_cli import account
from sage_cli.account import WRONG, chance, nats, probability
from sage_cli.queries import queries
from sage_cli.render import lanes
from sage_cli.render.evidence import measurements
from sage_cli.render.safe import one_line, safe
from sage_cli.render.styles import GENERATED, Style

_MEANING = re.compile(r"([\\`*_\[\]<>|~&$])")
_AT_THE_START = re.compile(r"^([-+=#]|\d+(?=[.)]))")
_CALLING = re.compile(r"(?<=[@#/])(?=\w)|(?<=:)(?=//)|(?<=\bwww)(?=\.)")
_JOINER = "\u2060"  # invisible: parts a mention or an address from what makes it one
_TITLES = ("Step", "", "Valid", "Settled", "Verdict", "Rests on")


def explained(explanation: Explanation, style: Style) -> str:
    """The whole of it, ending in a line break."""
    parts = {
        "brief": (_paragraph,),
        "steps": (_paragraph, _steps, _flow, _roads),
        "evidence": (_paragraph, _steps, _flow, _roads, _evidence),
        "questions": (_questions,),
    }[style]
    return "\n\n".join(block for part in (*parts, _words) for block in part(explanation)) + "\n"


def code(text: str, *, in_table: bool = False) -> str:
    """``text`` on one line in a code span that it cannot end."""
    line = one_line(" ".join(text.split())) or " "
    longest = max((len(run) for run in re.findall("`+", line)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    span = f"{fence}{pad}{line}{pad}{fence}"
    return span.replace("|", "\\|") if in_table else span


def prose(text: str) -> str:
    """A sentence whose characters all stand for themselves."""
    line = one_line(" ".join(text.split()))
    escaped = _MEANING.sub(r"\\\1", _CALLING.sub(_JOINER, line))
    return _AT_THE_START.sub(lambda found: f"{_JOINER}{found[1]}", escaped)


def _chance(value: float) -> str:
    return _MEANING.sub(r"\\\1", chance(value))


def _paragraph(explanation: Explanation) -> Iterator[str]:
    first, *rest = (prose(sentence) for sentence in account.paragraph(explanation))
    yield " ".join([f"**{first}**", *rest])


def _steps(explanation: Explanation) -> Iterator[str]:
    steps = explanation.trace.steps
    if not steps:
        return
    rows = [_TITLES, tuple("---" for _ in _TITLES)]
    for index, step in enumerate(steps):
        sure, likely = account.valid(step), account.settled(step)
        sign = "✗ " if step.verdict in WRONG else ""
        verdict = f"{sign}{account.VERDICTS[step.verdict]}" if step.verdict else "–"
        text = code(account.bare(step, index), in_table=True)
        labels = [account.premise_label(premise) for premise in account.rests_on(explanation, index)]
        rows.append(
            (
                str(index + 1),
                "<br>".join([text, *(prose(evidence) for evidence in step.evidence)]),
                f"logp {nats(step.logprob_mean)}" if sure is None else probability(sure),
                "–" if likely is None else _chance(likely),
                verdict,
                ", ".join(labels),
            )
        )
    yield "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _flow(explanation: Explanation) -> Iterator[str]:
    if not explanation.premises:
        return
    facts, steps = account.sentence_texts(explanation), explanation.trace.steps
    labels = [f"Q{i + 1}" for i, _ in enumerate(facts)] + [f"{i + 1}" for i, _ in enumerate(steps)]
    texts = [*facts, *(account.bare(step, i) for i, step in enumerate(steps))]
    width = max(len(label) for label in labels)
    drawing = lanes.draw(len(labels), account.links(explanation), lanes.UNICODE)
    lines = [
        f"{label:>{width}} {strokes}{one_line(' '.join(text.split()))}".rstrip()
        for label, strokes, text in zip(labels, drawing, texts, strict=True)
    ]
    yield "**What rests on what**"
    yield _block(lines)


def _block(lines: Sequence[str]) -> str:
    longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}text", *lines, fence])


def _roads(explanation: Explanation) -> Iterator[str]:
    if not explanation.decisions:
        return
    yield "**Roads not taken**"
    lines = []
    for decision in explanation.decisions:
        lines.append(
            f"- Step {decision.step + 1} went on with {code(decision.text)} ({_chance(decision.probability)})"
        )
        lines += [f"  - {_road(road)}" for road in decision.alternatives]
    yield "\n".join(lines)


def _road(road: Alternative) -> str:
    parts = [f"{code(road.text)} ({_chance(road.probability)})"]
    found = road.outcome
    if found is not None:
        parts.append(f"→ {code(found.answer) if found.answer else 'no answer'}")
        if found.answer and road.changes is not None:
            parts.append("(another answer)" if road.changes else "(the same answer)")
        if found.confidence is not None:
            parts.append(f"confidence {probability(found.confidence)}")
        if found.ics is not None:
            parts.append(f"ICS {nats(found.ics)}")
    return f"{' '.join(parts)}: {prose(road.why_not)}"


def _evidence(explanation: Explanation) -> Iterator[str]:
    for group in measurements(explanation):
        yield f"**{prose(group.title.capitalize())}**"
        yield "\n".join(f"- {prose(name)}: {prose(value)}" for name, value in group.rows)


def _questions(explanation: Explanation) -> Iterator[str]:
    for query in queries(explanation):
        yield f"**{query.question}**"
        yield "\n".join(f"- {prose(answer)}" for answer in query.answers)


def _words(explanation: Explanation) -> Iterator[str]:
    if explanation.words is not None:
        yield f"**{GENERATED}**"
        lines = safe(explanation.words).strip().splitlines()
        yield "\n".join(f"> {prose(line)}".rstrip() for line in lines)
