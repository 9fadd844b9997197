"""The verdict on every step, and what it rests on: exact arithmetic, the text, and the head.

What is checked exactly comes first; where the text neither refutes nor confirms a step, the head decides, if
there is one. What is not known stays None.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mch_runtime.explanation import Premise
from mch_runtime.inverse.backcheck import BackCheck, Finding
from mch_runtime.inverse.ledger import sentence_name
from mch_runtime.stated_answer import stated_answer, states_answer
from mch_runtime.trace import Verdict
from mch_runtime.withdrawal import is_withdrawal, withdraws

WRONG: frozenset[Verdict] = frozenset(
    ("doubtful", "wrong_arithmetic", "contradicts", "unsupported", "inherits_error")
)

Judgement = tuple[Verdict | None, tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """Where the numbers become words.

    doubtful, valid: the head's P(valid) below and above which a step that the text does not settle is
    called so. distrusted: below it even a step that the text confirms is doubtful. surprising: nats;
    a token less likely than that is worth naming.
    """

    doubtful: float = 0.5
    valid: float = 0.8
    distrusted: float = 0.05
    surprising: float = -2.3


def judge_steps(
    steps: Sequence[str],
    *,
    question: Sequence[str],
    confidences: Sequence[Mapping[str, float] | None] | None = None,
    logprob_min: Sequence[float | None] | None = None,
    premises: Sequence[Premise] | None = None,
    thresholds: Thresholds | None = None,
) -> tuple[Judgement, ...]:
    """Verdict and evidence for every step of a chain, the line of the answer included.

    question: its sentences. confidences: the head's calibrated channels, and logprob_min: the least log P of
    a token, per step; None where there are none. Everything but the steps and the question may be missing.
    """
    limits = thresholds or Thresholds()
    check = BackCheck(question, [step for step in steps if not is_withdrawal(step)])
    judged: list[Judgement] = []
    for index, step in enumerate(steps):
        confidence = confidences[index] if confidences is not None else None
        valid = confidence.get("valid") if confidence is not None else None
        if is_withdrawal(step):
            judged.append(_withdrawal(step, steps[index - 1] if index else "", judged, check, valid, limits))
            continue
        finding = check.answer(stated_answer(step)) if states_answer(step) else check.read(step)
        verdict, evidence = _combined(finding, valid, limits)
        if verdict in WRONG:
            check.blame(step)
        if logprob_min is not None:
            evidence += _surprise(logprob_min[index], limits)
        judged.append((verdict, evidence + _rests_on(index, premises)))
    return tuple(judged)


def first_wrong(judged: Sequence[Judgement]) -> int | None:
    """The index of the first step that is called wrong or doubtful and is not taken back."""
    return next((index for index, (verdict, _) in enumerate(judged) if verdict in WRONG), None)


def _combined(finding: Finding, valid: float | None, limits: Thresholds) -> Judgement:
    said = () if valid is None else (f"head: valid {min(max(valid, 0.01), 0.99):.2f}",)  # never certainty
    evidence = finding.evidence + said
    if finding.verdict is not None:
        return finding.verdict, evidence
    if finding.confirmed:
        return ("doubtful" if valid is not None and valid < limits.distrusted else "valid"), evidence
    if valid is None:
        return None, evidence
    if valid < limits.doubtful:
        return "doubtful", evidence
    return ("valid" if valid >= limits.valid else None), evidence


def _withdrawal(
    step: str,
    before: str,
    judged: list[Judgement],
    check: BackCheck,
    valid: float | None,
    limits: Thresholds,
) -> Judgement:
    """The line that takes back the step before it; that step's verdict becomes "withdrawn"."""
    if not judged or not withdraws(step, before):
        return "unsupported", ("there is no such step right before it",)
    check.withdraw()
    verdict, evidence = judged[-1]
    judged[-1] = ("withdrawn", (*evidence, "taken back by the next line"))
    if verdict in WRONG:
        return "valid", ("what it takes back was not right",)
    if verdict == "valid":
        return "contradicts", ("what it takes back was right", *evidence[:1])
    return _combined(Finding(), valid, limits)


def _surprise(logprob: float | None, limits: Thresholds) -> tuple[str, ...]:
    if logprob is None or logprob >= limits.surprising:
        return ()
    return (f"its least likely token has log P {logprob:.2f}",)


def _rests_on(index: int, premises: Sequence[Premise] | None) -> tuple[str, ...]:
    """The premise that weighs most with the step, by ablation where that was measured."""
    mine = [one for one in premises or () if one.step == index and one.agreed is not False]
    weighed = [one for one in mine if one.ablation is not None and one.ablation > 0]
    if not weighed:
        return ()
    top = max(weighed, key=lambda one: one.ablation or 0.0)
    where = sentence_name(top.index) if top.source == "question" else f"step {top.index + 1}"
    return (f"rests on {where}: {top.ablation:.2f} nats per token without it",)
