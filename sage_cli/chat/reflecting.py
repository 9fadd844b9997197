"""Commands that look behind the last answer: why, steps, premises, other roads, the question told from the answer."""

from __future__ import annotations

from dataclasses import replace

from rich.text import Text

from mch_runtime.effort import Effort
from mch_runtime.errors import UsageError
from mch_runtime.explanation import Alternative, Decision, Explanation, Premise
from sage_cli import account
from sage_cli.account import chance, nats
from sage_cli.chat.slash import Slash, count
from sage_cli.chat.talk import Talk
from sage_cli.render import explanation as terminal
from sage_cli.render.lines import cut, fill
from sage_cli.render.safe import one_line
from sage_cli.render.terminal import glyphs, mark, whole


def why(talk: Talk, argument: str) -> None:
    """The whole explanation in a paragraph and its steps, or what is known of one step."""
    if not argument:
        talk.show(_page(talk, talk.explanation(), "steps"))
        return
    explanation = talk.explanation(alternatives=True)
    step = _step(explanation, argument)
    lines = [f"Step {step + 1}: {account.bare(explanation.trace.steps[step], step)}"]
    lines += [*_judged(explanation, step), *_rests(explanation, step), *_roads(explanation, step)]
    _tell(talk, lines)


def steps(talk: Talk, _argument: str) -> None:
    """Every step with its mark, which costs nothing."""
    signs = glyphs(unicode=talk.shell.out_face.unicode)
    talk.show(whole(talk.last.trace, signs, width=talk.shell.out.width))


def premises(talk: Talk, argument: str) -> None:
    """What a step rests on."""
    explanation = talk.explanation()
    step = _step(explanation, argument)
    _tell(talk, _rests(explanation, step) or [f"Step {step + 1} rests on nothing that was found."])


def inverse(talk: Talk, _argument: str) -> None:
    """Whether the question can be told from the reasoning."""
    explanation = talk.explanation()
    found = explanation.consistency
    if found is None:
        raise UsageError("this model's chat template cannot show an inverse prompt")
    lines = list(account.consistency_sentences(explanation))
    if found.monotonicity:
        lines.append("After each step, in nats per token: " + ", ".join(map(nats, found.monotonicity)) + ".")
    _tell(talk, lines)


def alt(talk: Talk, argument: str) -> None:
    """Continue from a road not taken."""
    word, _, which = argument.partition(" ")
    explanation = talk.explanation(alternatives=True)
    if not word:
        _tell(talk, _all_roads(explanation) or ["There was no other road that mattered."])
        return
    step = _step(explanation, word)
    roads = _turns(explanation, step)
    if not roads:
        other = sorted({decision.step + 1 for decision in explanation.decisions or ()})
        hint = f"there are some at step {account.listing([str(n) for n in other])}" if other else ""
        raise UsageError(f"step {step + 1} has no other road that mattered", hint=hint)
    place = count(which.strip(), what="number of a road", default=1)
    if place > len(roads):
        raise UsageError(f"step {step + 1} has {account.plural(len(roads), 'other road')}", hint="/alt STEP")
    decision, road = roads[place - 1]
    begin = [*explanation.trace.token_ids[: decision.token], road.token_id]
    talk.say(f"step {step + 1} goes on with {account.quoted(one_line(road.text))}")
    talk.again(begin=begin, options=replace(talk.conversation.options, effort=Effort()))


def votes(talk: Talk, _argument: str) -> None:
    """How the chains of the last answer voted."""
    trace = talk.last.trace
    if not trace.votes:
        raise UsageError(f"mode {trace.mode} wrote one chain: there are no votes", hint="/mode vote")
    signs = glyphs(unicode=talk.shell.out_face.unicode)
    lines = []
    for vote in trace.votes:
        answer = one_line(vote.answer) if vote.answer is not None else "no answer"
        why_not = "" if vote.kept else f"  dropped: {one_line(vote.why_dropped or 'not counted')}"
        share = mark(vote.weight, signs) if vote.kept else Text(f"  {vote.weight:.2f}", "dim")
        lines.append(Text(f"{vote.count:>4}  ") + share + Text(f"  {answer}{why_not}"))
    talk.show(Text("\n").join(lines))


def _step(explanation: Explanation, word: str) -> int:
    """The index of the step that was named. Raises UsageError."""
    place = count(word.split(" ")[0], what="number of a step")
    total = len(explanation.trace.steps)
    if place > total:
        raise UsageError(
            f"there are {account.plural(total, 'step')}, no step {place}", hint="/steps shows them"
        )
    return place - 1


def _judged(explanation: Explanation, index: int) -> list[str]:
    step = explanation.trace.steps[index]
    valid, likely = account.valid(step), account.settled(step)
    lines = [] if valid is None else [f"It is valid with a probability of {account.probability(valid)}."]
    if valid is None:
        lines.append(
            f"Its log-probability is {nats(step.logprob_mean)} per token; nothing is calibrated here."
        )
    if likely is not None:
        lines.append(f"After it the answer has a probability of {chance(likely)}.")
    if step.verdict is not None:
        lines.append(f"Verdict: {account.VERDICTS[step.verdict]}.")
    if step.evidence:
        lines.append(f"Evidence: {'; '.join(step.evidence)}.")
    return lines


def _rests(explanation: Explanation, index: int) -> list[str]:
    premises = account.rests_on(explanation, index)
    return [f"It rests on {account.premise_name(premise)}: {_said(premise)}." for premise in premises]


def _said(premise: Premise) -> str:
    """In quotation marks, without the number and the full stop that stand around them."""
    text = premise.text.strip()
    if premise.source != "question":
        text = text.removeprefix(f"Step {premise.index + 1}: ")
    return account.quoted(text.removesuffix("."))


def _turns(explanation: Explanation, step: int | None = None) -> list[tuple[Decision, Alternative]]:
    return [
        (decision, road)
        for decision in explanation.decisions or ()
        if step is None or decision.step == step
        for road in decision.alternatives
    ]


def _roads(explanation: Explanation, step: int) -> list[str]:
    return [
        f"/alt {step + 1} {place}: {account.quoted(road.text)} ({chance(road.probability)}): {road.why_not}"
        for place, (_, road) in enumerate(_turns(explanation, step), start=1)
    ]


def _all_roads(explanation: Explanation) -> list[str]:
    return [line for step, _ in enumerate(explanation.trace.steps) for line in _roads(explanation, step)]


def _page(talk: Talk, explanation: Explanation, style: str) -> Text:
    face = talk.shell.out_face
    return terminal.explained(explanation, style, width=talk.shell.out.width, unicode=face.unicode)  # type: ignore[arg-type]


def _tell(talk: Talk, lines: list[str]) -> None:
    width = min(talk.shell.out.width, terminal.WIDEST)
    dots = "…" if talk.shell.out_face.unicode else "..."
    filled = [line for text in lines for line in fill(cut(one_line(text), 2000, dots), width)]
    talk.show(Text("\n".join(filled)))


COMMANDS = (
    Slash(name="why", arguments="[STEP]", help="why this answer, or this step", run=why, completes="step"),
    Slash(name="steps", help="the steps with their marks", run=steps),
    Slash(
        name="alt",
        arguments="[STEP [K]]",
        help="take the road not taken: go on from the K-th alternative at a step",
        run=alt,
        completes="step",
    ),
    Slash(name="premises", arguments="STEP", help="what a step rests on", run=premises, completes="step"),
    Slash(name="inverse", help="whether the question can be told from the reasoning", run=inverse),
    Slash(name="votes", help="how the chains voted", run=votes),
)
