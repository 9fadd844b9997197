"""An explanation as the questions of somebody who has to decide what to do with the answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mch_runtime.explanation import Explanation
from sage_cli.account import (
    VERDICTS,
    WRONG,
    answer_sentences,
    bare,
    chance,
    consistency_sentences,
    listing,
    premise_name,
    quoted,
    rests_on,
    sentence_texts,
    turning_points,
    used_by,
    why_unknown,
)


@dataclass(frozen=True)
class Query:
    """What a reader would ask, and what the measurements answer."""

    question: str
    answers: tuple[str, ...]


def queries(explanation: Explanation) -> tuple[Query, ...]:
    """Five of them, in the order in which they come up."""
    asked = tuple(
        f"Q{index + 1} {' '.join(text.split())}" for index, text in enumerate(sentence_texts(explanation))
    )
    return (
        Query("What was asked?", asked or ("Nothing.",)),
        Query("What is the answer, and how sure is it?", tuple(answer_sentences(explanation))),
        Query("How was it reached?", tuple(_route(explanation)) or ("No steps are given.",)),
        Query(
            "What would change the answer?", tuple(_changes(explanation)) or ("Nothing that was measured.",)
        ),
        Query("What should be checked?", tuple(_checks(explanation)) or ("Nothing stands out.",)),
    )


def _route(explanation: Explanation) -> Iterator[str]:
    for index, step in enumerate(explanation.trace.steps):
        named = [premise_name(premise) for premise in rests_on(explanation, index)]
        yield f"{index + 1}. {bare(step, index)}{f' (from {listing(named)})' if named else ''}"


def _changes(explanation: Explanation) -> Iterator[str]:
    for decision, road in turning_points(explanation):
        answer = road.outcome.answer if road.outcome else None
        yield (
            f"Step {decision.step + 1} going on with {quoted(road.text)} (probability "
            f"{chance(road.probability)}): the answer becomes {answer or 'one that could not be read'}."
        )
    for index, _ in enumerate(explanation.sentences):
        steps = used_by(explanation, index)
        if steps:
            several = len(steps) > 1
            yield f"Q{index + 1}: step{'s' if several else ''} {_numbers(steps)} rest{'' if several else 's'} on it."
    follows = explanation.faithfulness.answer_follows if explanation.faithfulness else None
    if follows is not None:
        yield f"A step that is altered: the answer changed in {follows * 100:.0f} % of the trials."


def _checks(explanation: Explanation) -> Iterator[str]:
    for index, step in enumerate(explanation.trace.steps):
        if step.verdict in WRONG or step.verdict == "doubtful":
            why = f" ({step.evidence[0]})" if step.evidence else ""
            yield f"Step {index + 1}, {quoted(bare(step, index))}: {VERDICTS[step.verdict or 'doubtful']}{why}."
    yield from _unused(explanation)
    for premise in explanation.premises or ():
        if premise.agreed is False:
            yield (
                f"Whether step {premise.step + 1} rests on {premise_name(premise)}: "
                "attention and ablation do not agree."
            )
    yield from (sentence for sentence in consistency_sentences(explanation) if "cannot" in sentence)
    if explanation.trace.answer is not None and explanation.trace.confidence is None:
        yield f"The answer itself: how likely it is right is not known{why_unknown(explanation)}."


def _unused(explanation: Explanation) -> Iterator[str]:
    if not explanation.premises:
        return
    for index, text in enumerate(sentence_texts(explanation)):
        if not used_by(explanation, index) and not text.rstrip().endswith("?"):
            yield f"Q{index + 1}, {quoted(text)}: no step rests on it."


def _numbers(steps: Sequence[int]) -> str:
    return listing([str(step + 1) for step in steps])
