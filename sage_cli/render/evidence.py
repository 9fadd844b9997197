"""Every number of an explanation with its name and unit, grouped; for the pages that show them all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mch_runtime.explanation import Explanation, Premise
from mch_runtime.trace import Step
from sage_cli.account import nats, premise_name, probability, rests_on

NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Group:
    """Rows of (name, value) under a title."""

    title: str
    rows: tuple[tuple[str, str], ...]


def measurements(explanation: Explanation) -> tuple[Group, ...]:
    """What was measured for each step, then for the chain, then what it cost."""
    steps = explanation.trace.steps
    groups = [
        Group(f"step {index + 1}", tuple(step_rows(explanation, index))) for index, _ in enumerate(steps)
    ]
    groups.append(Group("can the question be told from it", tuple(_consistency(explanation))))
    groups.append(Group("do the named premises carry it", tuple(_faithfulness(explanation))))
    groups.append(Group("how it was made", tuple(_making(explanation))))
    return tuple(groups)


def step_rows(explanation: Explanation, index: int) -> Iterator[tuple[str, str]]:
    """The numbers of one step."""
    step: Step = explanation.trace.steps[index]
    for channel, value in (step.confidence or {}).items():
        yield channel, probability(value)
    yield "log-probability", f"{nats(step.logprob_mean)} nats per token, lowest {nats(step.logprob_min)}"
    yield "entropy", f"{nats(step.entropy_mean)} nats per token"
    yield "commitment", _nats(step.commitment)
    useful = explanation.usefulness[index] if index < len(explanation.usefulness) else None
    yield "usefulness", _nats(useful)
    curve = explanation.consistency.monotonicity if explanation.consistency else None
    if curve is not None and index < len(curve):
        yield "information", f"{nats(curve[index])} nats per token of the question"
    for premise in rests_on(explanation, index):
        yield f"rests on {premise_name(premise)}", premise_weights(premise)


def premise_weights(premise: Premise) -> str:
    """``attention 0.42, ablation 1.31 nats per token, agreed``."""
    parts = []
    if premise.attention is not None:
        parts.append(f"attention {premise.attention:.2f}")
    if premise.ablation is not None:
        parts.append(f"ablation {nats(premise.ablation)} nats per token")
    if premise.agreed is not None:
        parts.append("agreed" if premise.agreed else "not agreed")
    return ", ".join(parts) or NOT_MEASURED


def _consistency(explanation: Explanation) -> Iterator[tuple[str, str]]:
    found = explanation.consistency
    if found is None:
        yield "inverse consistency", NOT_MEASURED
        return
    yield "inverse consistency", f"{nats(found.ics)} nats per token of the question"
    control = NOT_MEASURED if found.control is None else f"{nats(found.control)} nats per token"
    yield "with its words shuffled", control
    likelier = sum(value > 0 for value in found.tokens)
    yield "tokens made likelier", f"{likelier} of {len(found.tokens)}"


def _faithfulness(explanation: Explanation) -> Iterator[tuple[str, str]]:
    found = explanation.faithfulness
    if found is None:
        yield "faithfulness", NOT_MEASURED
        return
    random = f"{nats(found.comprehensiveness_random)} without as many random ones"
    yield "lost without them", f"{nats(found.comprehensiveness)} nats per token, {random}"
    random = f"{nats(found.sufficiency_random)} with as many random ones"
    yield "lost with nothing else", f"{nats(found.sufficiency)} nats per token, {random}"
    follows = found.answer_follows
    yield "answer follows a changed step", NOT_MEASURED if follows is None else f"{follows * 100:.0f} %"


def _making(explanation: Explanation) -> Iterator[tuple[str, str]]:
    trace = explanation.trace
    yield "chain by", "this model" if explanation.own else "another"
    yield "model", " ".join(filter(None, (trace.model.name, trace.model.quantization)))
    yield "head", trace.model.head or "none"
    yield "tokens", f"{trace.cost.prompt_tokens} read, {trace.cost.scored_tokens} scored"
    seconds = trace.cost.seconds.inverse
    yield "time", NOT_MEASURED if seconds is None else f"{seconds:.3f} s"


def _nats(value: float | None) -> str:
    return NOT_MEASURED if value is None else f"{nats(value)} nats"
