"""``order`` as people type it."""

from __future__ import annotations

from training.families.order.content import Content, Fact
from training.phrasing.assemble import Clause, Draft
from training.phrasing.voice import Voice


def phrase(content: Content, voice: Voice) -> Draft:
    """The comparisons in the order told, and the question.

    Which of the two a sentence starts from stays recognisable, because the steps restate it.
    """
    voice.people = content.people
    clauses = tuple(_fact(content, fact, voice) for fact in content.facts)
    return Draft(clauses, _ask(content, voice), of=content.of)


def _fact(content: Content, fact: Fact, voice: Voice) -> Clause:
    word = content.dimension.word(more=fact.more)
    if voice.chance(0.15):
        other, lean = voice.object(fact.subject)
        negation = voice.pick("is not as", "is not as", "is not so")
        return voice.tell(
            fact.reference, f"{negation} {word.plain} as {other}", others=(fact.subject,), lean=lean
        )
    other, lean = voice.object(fact.reference)
    than = f"{word.than} than {other}"
    end = " is" if not lean and voice.chance(0.05) else ""
    degree = voice.pick("a bit ", "much ") if voice.chance(0.08) else ""
    return voice.tell(fact.subject, f"is {degree}{than}{end}", others=(fact.reference,), lean=lean)


def _ask(content: Content, voice: Voice) -> str:
    word = content.dimension.word(more=content.more)
    w, s = word.than, word.most
    who = voice.pick("who is", "who is", "who's")
    match content.asks:
        case "compare":
            a, b = content.of
            return voice.pick(f"is {a} {w} than {b}", f"is {a} {w} than {b}", f"compared to {b}, is {a} {w}")
        case "which":
            a, b = content.of
            return voice.pick(
                f"{who} {w}, {a} or {b}", f"who of {a} and {b} is {w}", f"{who} {w}: {a} or {b}"
            )
        case "first":
            ends = ("", "", " of them", " of them all")
            return voice.pick(f"{who} {s}", f"{who} the {s}{voice.pick(*ends)}", f"which one is the {s}")
        case "second":
            return f"{who} the second {s}{voice.pick('', '', ' of them', ' person')}"
        case "group":
            both, either = voice.listed(content.of), voice.listed(content.of, "or")
            return voice.pick(f"{who} {s}, {either}", f"{who} the {s} out of {both}", f"who of {both} is {s}")
        case _:
            d = content.dimension.noun
            both, either = voice.listed(content.of), voice.listed(content.of, "or")
            return voice.pick(
                f"who of {both} is in the middle by {d}", f"{who} in the middle by {d}, {either}"
            )
