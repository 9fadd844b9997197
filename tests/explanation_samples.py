"""Explanations as the runtime makes them, for tests of what shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from mch_runtime.explanation import (
    Alternative,
    Consistency,
    Decision,
    Explanation,
    Faithfulness,
    Outcome,
    Premise,
)
from mch_runtime.trace import Cost, ModelInfo, Sampling, Seconds, Step, Trace, Verdict

QUESTION = (
    "Tom has 12 apples. Ann has 3 more apples than Tom. Ben has 7 pears. How many apples have Tom and Ann?"
)
LINES = (
    "Step 1: Ann has 3 more apples than Tom: 12 + 3 = 15",
    "Step 2: Tom and Ann together have 12 + 15 = 27",
    "Answer: 27",
)
WRONG_LINES = (
    "Step 1: Ann has 3 more apples than Tom: 12 + 3 = 16",
    "Step 2: Tom and Ann together have 12 + 16 = 28",
    "Answer: 28",
)
PICO = ModelInfo(
    name="sage-pico",
    file="/models/sage-pico.gguf",
    quantization="Q8_0",
    fingerprint="f" * 64,
    head="sage-pico-mch",
)
BARE = replace(PICO, name="other", quantization=None, head=None)


def sentences(question: str) -> tuple[tuple[int, int], ...]:
    """Where each sentence is; good enough for the questions of this file."""
    spans = []
    start = 0
    for index, character in enumerate(question):
        if character in ".?!" and question[index + 1 : index + 2] in {"", " ", "\n"}:
            spans.append((start, index + 1))
            start = index + 2
    return tuple(spans) if spans else ((0, len(question)),) if question else ()


def trace_of(
    question: str,
    lines: Sequence[str],
    *,
    answer: str | None,
    valid: Sequence[float | None],
    commitment: Sequence[float | None],
    verdicts: Sequence[Verdict | None],
    evidence: Mapping[int, tuple[str, ...]] | None = None,
    confidence: float | None = None,
    raw: float | None = None,
    ics: float | None = None,
    familiar: bool | None = None,
    model: ModelInfo = PICO,
) -> Trace:
    steps = []
    at = 0
    for index, line in enumerate(lines):
        end = at + max(1, len(line.split()))
        sure = valid[index]
        channels = (
            None if sure is None else {"valid": sure, "sound": min(v or 1.0 for v in valid[: index + 1])}
        )
        steps.append(
            Step(
                text=line,
                tokens=(at, end),
                logprob_mean=-0.12 - 0.2 * (index % 3),
                logprob_min=-0.9,
                entropy_mean=0.2,
                confidence=channels,
                commitment=commitment[index],
                verdict=verdicts[index],
                evidence=(evidence or {}).get(index, ()),
            )
        )
        at = end
    return Trace(
        question=question,
        answer=answer,
        answer_text=answer or "",
        text="".join(f"{line}\n" for line in lines),
        mode="fast",
        model=model,
        confidence=confidence,
        confidence_basis="fast" if confidence is not None else None,
        confidence_raw=confidence if raw is None else raw,
        steps=tuple(steps),
        cost=Cost(
            prompt_tokens=48,
            generated_tokens=at,
            scored_tokens=412,
            seconds=Seconds(load=0.08, prefill=0.01, decode=0.06, head=0.002, inverse=0.31),
            tokens_per_second=812.4,
        ),
        seed=7,
        sampling=Sampling(temperature=0.0, top_k=40, top_p=0.95, min_p=0.05),
        finish_reason="stop",
        token_ids=tuple(range(at)),
        created="2026-01-02T03:04:05.000+00:00",
        sage_version="0",
        ics=ics,
        familiar=familiar,
    )


def fact(explained: Trace, step: int, index: int, attention: float | None, ablation: float | None) -> Premise:
    """A sentence of the question that a step rests on."""
    span = sentences(explained.question)[index]
    agreed = None if attention is None or ablation is None else ablation > 0.5
    return Premise(
        step=step,
        source="question",
        index=index,
        span=span,
        text=explained.question[slice(*span)],
        attention=attention,
        ablation=ablation,
        agreed=agreed,
    )


def earlier(
    explained: Trace, step: int, index: int, attention: float | None, ablation: float | None
) -> Premise:
    """An earlier step that a step rests on."""
    start = sum(len(other.text) + 1 for other in explained.steps[:index])
    text = explained.steps[index].text
    agreed = None if attention is None or ablation is None else ablation > 0.5
    return Premise(
        step=step,
        source="step",
        index=index,
        span=(start, start + len(text)),
        text=text,
        attention=attention,
        ablation=ablation,
        agreed=agreed,
    )


def right() -> Explanation:
    """A right answer, everything measured."""
    trace = trace_of(
        QUESTION,
        LINES,
        answer="27",
        valid=(0.994, 0.913, 0.981),
        commitment=(-2.1, -0.03, -0.01),
        verdicts=("valid", "valid", "valid"),
        evidence={0: ("12 + 3 = 15 holds", "rests on Q1 and Q2"), 1: ("12 + 15 = 27 holds",)},
        confidence=0.968,
        ics=0.82,
    )
    return Explanation(
        trace=trace,
        own=True,
        sentences=sentences(QUESTION),
        usefulness=(0.9, 1.7, 0.02),
        consistency=Consistency(
            ics=0.82, control=0.03, tokens=(1.2, 0.9, -0.1, 2.0, 0.1), monotonicity=(0.41, 0.8, 0.82)
        ),
        decisions=(
            Decision(
                step=0,
                token=9,
                text=" 12",
                probability=0.81,
                alternatives=(
                    Alternative(
                        text=" 7 + 3 = 10",
                        token_id=7,
                        probability=0.11,
                        outcome=Outcome(answer="22", confidence=0.21, ics=0.31, energy=2.41),
                        changes=True,
                        why_not="its confidence is 0.21 against 0.97, its inverse consistency 0.31 against 0.82",
                    ),
                    Alternative(
                        text=" 3 + 12 = 15",
                        token_id=3,
                        probability=0.06,
                        outcome=Outcome(answer="27", confidence=0.95, ics=0.80, energy=0.44),
                        changes=False,
                        why_not="it leads to the same answer with a confidence of 0.95 against 0.97",
                    ),
                ),
            ),
        ),
        premises=(
            fact(trace, 0, 0, 0.42, 1.31),
            fact(trace, 0, 1, 0.39, 1.92),
            fact(trace, 1, 0, 0.31, 0.88),
            earlier(trace, 1, 0, 0.47, 2.10),
            earlier(trace, 2, 1, 0.80, 3.05),
        ),
        faithfulness=Faithfulness(
            comprehensiveness=1.62,
            comprehensiveness_random=0.21,
            sufficiency=0.12,
            sufficiency_random=1.38,
            answer_follows=0.75,
        ),
    )


def wrong() -> Explanation:
    """A wrong answer: the first step miscalculates, the second inherits it."""
    base = right()
    trace = trace_of(
        QUESTION,
        WRONG_LINES,
        answer="28",
        valid=(0.12, 0.61, 0.9),
        commitment=(-0.4, -0.05, -0.01),
        verdicts=("wrong_arithmetic", "inherits_error", "inherits_error"),
        evidence={0: ("12 + 3 is 15, not 16",), 1: ("uses 16 from step 1",), 2: ("repeats 28 from step 2",)},
        confidence=0.08,
        ics=0.41,
    )
    assert base.decisions is not None
    [decision] = base.decisions
    better = replace(
        decision.alternatives[0],
        text=" 12 + 3 = 15",
        probability=0.34,
        outcome=Outcome(answer="27", confidence=0.93, ics=0.81, energy=0.52),
        why_not="it was less likely, 0.34 against 0.58, though its confidence is 0.93 against 0.08",
    )
    return replace(
        base,
        trace=trace,
        usefulness=(1.4, 0.3, 0.01),
        consistency=Consistency(
            ics=0.41, control=0.02, tokens=(0.5, -0.4, 0.9), monotonicity=(0.44, 0.40, 0.41)
        ),
        decisions=(replace(decision, text=" 16", probability=0.58, alternatives=(better,)),),
        premises=(
            fact(trace, 0, 0, 0.44, 1.10),
            fact(trace, 0, 1, 0.40, None),
            fact(trace, 1, 0, 0.22, 0.31),
            earlier(trace, 1, 0, 0.55, 1.90),
            earlier(trace, 2, 1, 0.81, 2.95),
        ),
    )


def foreign() -> Explanation:
    """Another's chain under a model without a head: most measurements were not made."""
    trace = trace_of(
        QUESTION,
        ("Ann has 15.", "So 27."),
        answer="27",
        valid=(None, None),
        commitment=(None, None),
        verdicts=(None, None),
        model=BARE,
    )
    return Explanation(
        trace=trace,
        own=False,
        sentences=sentences(QUESTION),
        usefulness=(None, None),
        consistency=None,
        decisions=None,
        premises=None,
        faithfulness=None,
    )


HOSTILE = (
    "\x1b]52;c;ZXZpbA==\x07<script>alert(1)</script> \u202e`code` | *bold* @someone #1 ]]> &amp; 你好 🙂"
)


def hostile() -> Explanation:
    """Text that wants to be obeyed by a terminal, a browser, or a forge that shows Markdown."""
    question = f"{HOSTILE} Wie viele Äpfel? {'W' * 300}?"
    trace = trace_of(
        question,
        (f"Step 1: {HOSTILE}", f"Step 2:\n\t{HOSTILE}\n\n", "答え: <b>27</b>"),
        answer='"><img src=x onerror=alert(1)>\x1b[2J',
        valid=(0.3, 0.6, 0.97),
        commitment=(-1.0, -0.5, 0.0),
        verdicts=("contradicts", "unsupported", "withdrawn"),
        evidence={0: (f"says {HOSTILE}",)},
        raw=0.4,
        ics=-0.1,
        familiar=False,
    )
    trace = replace(trace, model=replace(PICO, name="<i>evil\x1b[31m</i>"))
    road = Alternative(
        text=HOSTILE,
        token_id=1,
        probability=0.2,
        outcome=Outcome(answer="</table>\x07", confidence=None, ics=None, energy=None),
        changes=True,
        why_not=f"says {HOSTILE}",
    )
    return Explanation(
        trace=trace,
        own=True,
        sentences=sentences(question),
        usefulness=(None, 0.1, 0.0),
        consistency=Consistency(ics=-0.1, control=0.0, tokens=(-0.1,), monotonicity=(0.1, -0.3, -0.1)),
        decisions=(Decision(step=0, token=1, text="\x1b[31m", probability=0.7, alternatives=(road,)),),
        premises=(fact(trace, 0, 0, 0.9, None), earlier(trace, 1, 0, None, 1.0)),
        faithfulness=None,
        words=f"I think {HOSTILE}\n\nreally.",
    )


def long() -> Explanation:
    """Thirty steps, each resting on the one before and some on a fact far above."""
    count = 30
    facts = [f"Box {i} holds {i} balls more than box {i - 1}." for i in range(1, 9)]
    question = " ".join(["Box 0 holds 4 balls.", *facts, "How many in all?"])
    lines = [f"Step {i}: the running sum is {i} + {i * 3} = {i * 4}" for i in range(1, count)] + [
        "Answer: 116"
    ]
    trace = trace_of(
        question,
        lines,
        answer="116",
        valid=[0.99 - 0.02 * (i % 7) for i in range(count)],
        commitment=[-4.0 + 0.137 * i for i in range(count)],
        verdicts=["valid"] * 20 + ["doubtful"] * 10,
        confidence=0.55,
        ics=0.3,
    )
    premises = [earlier(trace, i, i - 1, 0.6, 1.0) for i in range(1, count)]
    premises += [fact(trace, i, i % 9, 0.3, 0.7) for i in range(0, count, 3)]
    premises += [earlier(trace, i, i // 2, 0.2, None) for i in range(4, count, 4)]
    return Explanation(
        trace=trace,
        own=True,
        sentences=sentences(question),
        usefulness=tuple(0.1 for _ in range(count)),
        consistency=Consistency(
            ics=0.3, control=None, tokens=(0.3, 0.3), monotonicity=tuple(i / 100 for i in range(count))
        ),
        decisions=(),
        premises=tuple(premises),
        faithfulness=None,
    )


def without_steps() -> Explanation:
    """Nothing but an answer that could not be found."""
    trace = trace_of("Why?", (), answer=None, valid=(), commitment=(), verdicts=())
    return Explanation(
        trace=trace,
        own=False,
        sentences=((0, 4),),
        usefulness=(),
        consistency=None,
        decisions=(),
        premises=(),
        faithfulness=None,
    )


ALL = {
    "right": right,
    "wrong": wrong,
    "foreign": foreign,
    "hostile": hostile,
    "long": long,
    "without_steps": without_steps,
}
