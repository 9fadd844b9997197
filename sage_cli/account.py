"""What an explanation says, in plain words made of its numbers; how they are laid out is a renderer's matter.

The sentences hold model text as it is: renderers make it safe. Steps are counted from 1 here, and the
question's sentences are called Q1, Q2 and so on.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from mch_runtime.explanation import Alternative, Decision, Explanation, Premise
from mch_runtime.trace import Step, Verdict

SETTLED = 0.5  # the answer's probability from which on it is called settled
WRONG: frozenset[Verdict] = frozenset({"wrong_arithmetic", "contradicts", "unsupported"})
VERDICTS: dict[Verdict, str] = {
    "valid": "valid",
    "doubtful": "doubtful",
    "wrong_arithmetic": "wrong arithmetic",
    "contradicts": "contradicts",
    "unsupported": "unsupported",
    "inherits_error": "inherits an error",
    "withdrawn": "withdrawn",
}
_QUOTED = 60  # characters of a text that is quoted within a sentence


def paragraph(explanation: Explanation) -> tuple[str, ...]:
    """The answer, how sure, where it is weakest, where it was settled, whether the question shows in it."""
    parts = (answer_sentences, _steps, _settled, consistency_sentences, _elsewhere)
    return tuple(sentence for part in parts for sentence in part(explanation))


def probability(value: float) -> str:
    """Two decimals, never 1.00 or 0.00: no measured probability is certainty."""
    return f"{min(max(value, 0.01), 0.99):.2f}"


def chance(value: float) -> str:
    """Two decimals of a model's own probability for a token or an answer, which may well be next to nothing."""
    return "<0.01" if value < 0.005 else ">0.99" if value > 0.995 else f"{value:.2f}"


def nats(value: float) -> str:
    """Two decimals, and no minus in front of a rounded zero."""
    return f"{value:.2f}".replace("-0.00", "0.00")


def settled(step: Step) -> float | None:
    """The probability of the final answer after a step, from the step's commitment."""
    return None if step.commitment is None else math.exp(min(step.commitment, 0.0))


def valid(step: Step) -> float | None:
    """The probability that a step is valid, None without a head."""
    return (step.confidence or {}).get("valid")


def premise_label(premise: Premise) -> str:
    """``Q2`` for a sentence of the question, ``2`` for a step."""
    return f"Q{premise.index + 1}" if premise.source == "question" else f"{premise.index + 1}"


def premise_name(premise: Premise) -> str:
    """``Q2``, or ``step 2``."""
    return premise_label(premise) if premise.source == "question" else f"step {premise.index + 1}"


def bare(step: Step, index: int) -> str:
    """A step's text on one line, without the number that a table puts in front of it anyway."""
    line = " ".join(step.text.split())
    return line.removeprefix(f"Step {index + 1}: ").removeprefix(f"{index + 1}. ")


def rests_on(explanation: Explanation, step: int) -> tuple[Premise, ...]:
    """The premises of one step: the question's sentences first, in order."""
    named = [premise for premise in explanation.premises or () if premise.step == step]
    return tuple(sorted(named, key=lambda premise: (premise.source != "question", premise.index)))


def links(explanation: Explanation) -> dict[int, tuple[int, ...]]:
    """What rests on what, the question's sentences and the steps being numbered through from 0."""
    facts = len(explanation.sentences)
    found: dict[int, set[int]] = {}
    for premise in explanation.premises or ():
        row = premise.index if premise.source == "question" else facts + premise.index
        found.setdefault(facts + premise.step, set()).add(row)
    return {row: tuple(sorted(premises)) for row, premises in found.items()}


def used_by(explanation: Explanation, sentence: int) -> tuple[int, ...]:
    """The steps that rest on a sentence of the question."""
    return tuple(
        sorted({p.step for p in explanation.premises or () if (p.source, p.index) == ("question", sentence)})
    )


def first_wrong(explanation: Explanation) -> int | None:
    """The first step that is wrong by itself."""
    return next((i for i, step in enumerate(explanation.trace.steps) if step.verdict in WRONG), None)


def weakest(explanation: Explanation) -> int | None:
    """The standing step that is least likely valid; without a head the least likely one."""
    steps = explanation.trace.steps
    standing = [i for i, step in enumerate(steps) if step.verdict != "withdrawn"]
    if not standing:
        return None
    if any(valid(steps[i]) is not None for i in standing):
        return min(standing, key=lambda i: 2.0 if (sure := valid(steps[i])) is None else sure)
    return min(standing, key=lambda i: steps[i].logprob_mean)


def settled_at(explanation: Explanation) -> int | None:
    """The step from which on the answer was more likely than not; None if there is none."""
    known = _chances(explanation)
    low = [place for place, (_, likely) in enumerate(known) if likely < SETTLED]
    at = low[-1] + 1 if low else 0
    return known[at][0] if at < len(known) else None


def _chances(explanation: Explanation) -> list[tuple[int, float]]:
    """The answer's probability after each step for which it was measured."""
    chances = ((index, settled(step)) for index, step in enumerate(explanation.trace.steps))
    return [(index, likely) for index, likely in chances if likely is not None]


def sentence_texts(explanation: Explanation) -> tuple[str, ...]:
    """The sentences of the question."""
    return tuple(explanation.trace.question[start:end] for start, end in explanation.sentences)


def quoted(text: str) -> str:
    """``text`` on one line in quotation marks, cut if it is long."""
    line = " ".join(text.split())
    return f"“{line}”" if len(line) <= _QUOTED else f"“{line[: _QUOTED - 1]}…”"


def plural(count: int, noun: str) -> str:
    """``1 step``, ``2 steps``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def listing(items: Sequence[str]) -> str:
    """``1, 2 and 3``."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def answer_sentences(explanation: Explanation) -> Iterator[str]:
    trace = explanation.trace
    if trace.answer is None:
        yield "No answer was found in the text."
    elif trace.confidence is not None:
        yield f"The answer is {trace.answer}, right with a probability of {probability(trace.confidence)}."
    else:
        yield f"The answer is {trace.answer}; how likely it is right is not known{why_unknown(explanation)}."


def why_unknown(explanation: Explanation) -> str:
    trace = explanation.trace
    raw = "" if trace.confidence_raw is None else f" (raw {probability(trace.confidence_raw)})"
    if trace.model.head is None:
        return f", since {trace.model.name} has no head"
    if not explanation.own:
        return f", since this model did not write the chain{raw}"
    return (
        f", since the question is worded unlike those the head knows{raw}" if trace.familiar is False else raw
    )


def _steps(explanation: Explanation) -> Iterator[str]:
    steps = explanation.trace.steps
    if not steps:
        yield "It gives no steps."
        return
    wrong = first_wrong(explanation)
    if wrong is None:
        yield from _weakest_of(explanation)
        return
    found = steps[wrong]
    why = f" ({found.evidence[0]})" if found.evidence else ""
    yield f"Step {wrong + 1} is the first that goes wrong: {VERDICTS[found.verdict or 'doubtful']}{why}."
    heirs = [str(i + 1) for i, step in enumerate(steps) if step.verdict == "inherits_error"]
    if heirs:
        yield f"Step{'s' if len(heirs) > 1 else ''} {listing(heirs)} inherit{'' if heirs[1:] else 's'} the error."


def _weakest_of(explanation: Explanation) -> Iterator[str]:
    steps = explanation.trace.steps
    found = weakest(explanation)
    if found is None:
        yield "All of its steps were withdrawn."
        return
    judged = any(step.verdict is not None for step in steps)
    sure = valid(steps[found])
    measured = (
        f"log-probability {nats(steps[found].logprob_mean)} per token"
        if sure is None
        else f"valid with a probability of {probability(sure)}"
    )
    weak = f"the weakest of {plural(len(steps), 'step')} is step {found + 1}, {measured}"
    yield f"No step was found wrong; {weak}." if judged else f"{weak[0].upper()}{weak[1:]}."


def _settled(explanation: Explanation) -> Iterator[str]:
    known = _chances(explanation)
    if explanation.trace.answer is None or not known:
        return
    at = settled_at(explanation)
    place = next((place for place, (index, _) in enumerate(known) if index == at), 0)
    if at is None:
        yield f"The answer was never settled: after the last step its probability is {chance(known[-1][1])}."
    elif place == 0:
        yield f"The answer was settled after step {at + 1}, with a probability of {chance(known[0][1])}."
    else:
        rise = f"from {chance(known[place - 1][1])} to {chance(known[place][1])}"
        yield f"The answer was settled by step {at + 1}, which raised its probability {rise}."


def consistency_sentences(explanation: Explanation) -> Iterator[str]:
    found = explanation.consistency
    if found is None:
        return
    told = found.ics > max(0.0, found.control or 0.0)
    beside = "" if found.control is None else f", {nats(found.control)} with its words shuffled"
    yield (
        f"The question can{'' if told else 'not'} be told from the reasoning: "
        f"{nats(found.ics)} nats per token{beside}."
    )


def _elsewhere(explanation: Explanation) -> Iterator[str]:
    changing = [decision.step + 1 for decision, _ in turning_points(explanation)]
    if changing:
        places = listing([str(step) for step in sorted(set(changing))])
        yield f"Another word at step{'s' if len(set(changing)) > 1 else ''} {places} leads to another answer."


def turning_points(explanation: Explanation) -> tuple[tuple[Decision, Alternative], ...]:
    """The roads not taken that lead to another answer."""
    return tuple(
        (decision, road)
        for decision in explanation.decisions or ()
        for road in decision.alternatives
        if road.changes
    )
