"""An explanation as one HTML page that needs nothing else: no network, no script.

Steps and the facts they rest on are linked to each other; what belongs together is highlighted while the
pointer or the keyboard is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from mch_runtime.explanation import Alternative, Decision, Explanation
from mch_runtime.trace import Step
from sage_cli import account
from sage_cli.account import WRONG, chance, nats, probability
from sage_cli.assets import STYLE_SHEET
from sage_cli.queries import queries
from sage_cli.render.chart import bar, curve
from sage_cli.render.evidence import measurements, premise_weights
from sage_cli.render.page import document, each, element, link, text
from sage_cli.render.styles import GENERATED, Style

_NO_ANSWER = "no answer"


def explained(explanation: Explanation, style: Style) -> str:
    """The whole page."""
    parts = {
        "brief": (),
        "steps": (_chain, _roads, _curves),
        "evidence": (_chain, _roads, _curves, _evidence),
        "questions": (_questions,),
    }[style]
    sections = chain.from_iterable(part(explanation) for part in (*parts, _words))
    body = "\n".join([_head(explanation), element("main", *sections), _foot(explanation)])
    sheet = STYLE_SHEET.read_text(encoding="utf-8") + "".join(_highlights(explanation))
    return document(f"Why {explanation.trace.answer or _NO_ANSWER}?", body, sheet)


def _head(explanation: Explanation) -> str:
    first, *rest = account.paragraph(explanation)
    answer = explanation.trace.answer or _NO_ANSWER
    return element(
        "header",
        element("h1", element("small", "Why this answer?"), text(answer)),
        element("p", element("b", text(first)), text(" ".join(rest)), class_="lede"),
    )


def _chain(explanation: Explanation) -> Iterator[str]:
    facts = [_fact(explanation, i, words) for i, words in enumerate(account.sentence_texts(explanation))]
    steps = [_step(explanation, i, step) for i, step in enumerate(explanation.trace.steps)]
    left = element("h2", "The question", id="question") + element("ol", *facts)
    right = element("h2", "The steps", id="steps") + element("ol", *steps)
    yield element(
        "div",
        element("section", left, class_="facts", aria_labelledby="question"),
        element("section", right, aria_labelledby="steps") if steps else "",
        class_="columns",
    )


def _fact(explanation: Explanation, index: int, words: str) -> str:
    users = account.used_by(explanation, index)
    parts = [element("p", element("span", f"Q{index + 1}", class_="label"), text(words))]
    if users:
        links = "".join(link(f"s{i + 1}", str(i + 1)) for i in users)
        parts.append(element("p", "used by step ", links, class_="links"))
    return element("li", *parts, class_="fact", id=f"q{index + 1}")


def _step(explanation: Explanation, index: int, step: Step) -> str:
    label = element("span", str(index + 1), class_="label")
    parts = [
        element("p", label, element("span", text(account.bare(step, index)), class_="text")),
        element("p", *_numbers(step), class_="numbers"),
    ]
    if step.evidence:
        parts.append(element("ul", each("li", (text(item) for item in step.evidence)), class_="why"))
    premises = account.rests_on(explanation, index)
    if premises:
        links = "".join(
            link(
                f"{'q' if premise.source == 'question' else 's'}{premise.index + 1}",
                account.premise_label(premise),
                title=premise_weights(premise),
            )
            for premise in premises
        )
        parts.append(element("p", "rests on ", links, class_="links"))
    return element("li", *parts, class_=f"step {_kind(step)}".strip(), id=f"s{index + 1}")


def _numbers(step: Step) -> Iterator[str]:
    if step.verdict is not None:
        sign = {"right": "✓ ", "wrong": "✗ ", "unsure": "? "}.get(_kind(step), "")
        words = text(f"{sign}{account.VERDICTS[step.verdict]}")
        yield element("span", words, class_=f"verdict {_kind(step)}")
    sure, likely = account.valid(step), account.settled(step)
    if sure is None:
        yield _number("log-probability", nats(step.logprob_mean))
    else:
        yield _number("valid", probability(sure), share=sure)
    if likely is not None:
        yield _number("answer settled", chance(likely), share=likely)


def _number(name: str, value: str, *, share: float | None = None) -> str:
    drawn = "" if share is None else bar(share)
    return element("span", f"{name} ", drawn, element("b", text(value)))


def _kind(step: Step) -> str:
    if step.verdict in WRONG:
        return "wrong"
    kinds = {"valid": "right", "withdrawn": "withdrawn", "doubtful": "unsure", "inherits_error": "unsure"}
    return kinds[step.verdict] if step.verdict else ""


def _roads(explanation: Explanation) -> Iterator[str]:
    if explanation.decisions:
        roads = "".join(_decision(decision) for decision in explanation.decisions)
        yield element("section", element("h2", "Roads not taken", id="roads"), roads, aria_labelledby="roads")


def _decision(decision: Decision) -> str:
    taken = element("q", text(decision.text.strip() or repr(decision.text)))
    where = link(f"s{decision.step + 1}", f"Step {decision.step + 1}")
    head = element("h3", where, " went on with ", taken, f" ({text(chance(decision.probability))})")
    return head + element("ul", each("li", (_road(road) for road in decision.alternatives)), class_="tree")


def _road(road: Alternative) -> str:
    parts = [element("q", text(road.text.strip() or repr(road.text))), f" ({text(chance(road.probability))})"]
    found = road.outcome
    if found is not None:
        answer = element("b", text(found.answer or _NO_ANSWER))
        parts.append(f" → {answer}")
        if found.answer and road.changes is not None:
            parts.append(", another answer" if road.changes else ", the same answer")
        if found.confidence is not None:
            parts.append(f", confidence {probability(found.confidence)}")
        if found.ics is not None:
            parts.append(f", inverse consistency {nats(found.ics)}")
    return element("p", *parts) + element("p", text(road.why_not), class_="why")


def _curves(explanation: Explanation) -> Iterator[str]:
    told = explanation.consistency.monotonicity if explanation.consistency else None
    chances = [likely for step in explanation.trace.steps if (likely := account.settled(step)) is not None]
    figures = []
    if told:
        title = "What the steps so far tell about the question, in nats per token"
        figures.append(_figure(title, curve("information", title, told, low=0.0, high=0.1)))
    if chances:
        title = "The probability of the final answer after each step"
        figures.append(_figure(title, curve("settled", title, chances, low=0.0, high=1.0)))
    if figures:
        heading = element("h2", "Step by step", id="curves")
        yield element(
            "section", heading, element("div", *figures, class_="figures"), aria_labelledby="curves"
        )


def _figure(title: str, drawing: str) -> str:
    return element("figure", element("figcaption", title), drawing)


def _evidence(explanation: Explanation) -> Iterator[str]:
    groups = [_table(group.title, group.rows) for group in measurements(explanation)]
    yield element("section", element("h2", "Every number", id="numbers"), *groups, aria_labelledby="numbers")


def _table(title: str, rows: Iterable[tuple[str, str]]) -> str:
    cells = (element("th", text(name), scope="row") + element("td", text(value)) for name, value in rows)
    return element(
        "details", element("summary", text(title.capitalize())), element("table", each("tr", cells))
    )


def _questions(explanation: Explanation) -> Iterator[str]:
    for query in queries(explanation):
        answers = each("li", (text(answer) for answer in query.answers))
        yield element(
            "section", element("h2", text(query.question)), element("ul", answers, class_="answers")
        )


def _words(explanation: Explanation) -> Iterator[str]:
    if explanation.words is not None:
        title = element("h2", text(GENERATED), id="words")
        words = element("p", text(explanation.words.strip()))
        yield element("section", title, words, class_="generated", aria_labelledby="words")


def _foot(explanation: Explanation) -> str:
    trace = explanation.trace
    by = "" if explanation.own else "The chain was written by another and scored by "
    model = " ".join(filter(None, (trace.model.name, trace.model.quantization)))
    head = f"head {trace.model.head}" if trace.model.head else "no head"
    return element("footer", text(f"{by}{model}, {head}, sage {trace.sage_version}, {trace.created}"))


def _highlights(explanation: Explanation) -> Iterator[str]:
    """Rules that light up what a step rests on, and what rests on a fact, in CSS alone."""
    lit = "{background:var(--glow);border-color:var(--accent);border-left-width:8px;padding-left:calc(.8rem - 4px)}"
    for index, _ in enumerate(explanation.trace.steps):
        found = [
            f"#{'q' if p.source == 'question' else 's'}{p.index + 1}"
            for p in account.rests_on(explanation, index)
        ]
        if found:
            yield f"body:has({_here(f's{index + 1}')}) :is({','.join(found)}){lit}\n"
    for index, _ in enumerate(explanation.sentences):
        users = [f"#s{i + 1}" for i in account.used_by(explanation, index)]
        if users:
            yield f"body:has({_here(f'q{index + 1}')}) :is({','.join(users)}){lit}\n"
    yield f".fact:target,.step:target{lit}\n"


def _here(identifier: str) -> str:
    return f"#{identifier}:is(:hover,:focus-within,:target)"
