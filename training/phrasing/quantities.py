"""``quantities`` as people type it."""

from __future__ import annotations

from training.families.quantities.content import Content, Fact
from training.families.writing import FRACTIONS
from training.phrasing.assemble import Clause, Draft, Lean
from training.phrasing.voice import Voice


def phrase(content: Content, voice: Voice) -> Draft:
    """The facts in the order told, and the question."""
    voice.people = frozenset(content.people)
    voice.past = voice.chance(0.15)
    clauses: list[Clause] = []
    for fact in content.facts:
        before = content.facts[len(clauses) - 1] if clauses else None
        clauses.append(_fact(content, fact, before, voice))
    ask, lean = _ask(content, voice)
    return Draft(tuple(clauses), ask, lean, of=content.of)


def _fact(content: Content, fact: Fact, before: Fact | None, voice: Voice) -> Clause:
    x = content.item
    if fact.relation == "is":
        n = voice.number(fact.amount)
        if before is not None and voice.chance(voice.fond * 0.5):
            return voice.tell(fact.subject, f"has {n}", state=True)
        if voice.chance(0.08):
            verb = "were" if voice.past else "are"
            people = frozenset((fact.subject,))
            return voice.keep(
                Clause("there", f"{verb} {n} {x} in {fact.subject}'s bag", people=people, state=True)
            )
        return voice.tell(fact.subject, f"{voice.pick('has', 'has', 'has', 'owns')} {n} {x}", state=True)
    # "Anna has 2 more." speaks of the amount told just before; of more than one, that would be a guess.
    elide = (
        before is not None
        and before.relation == "is"
        and voice.last is not None
        and voice.last.subject == fact.reference
        and fact.subject not in voice.told
        and voice.chance(voice.fond)
    )
    lean: Lean
    reference, lean = ("", "elision") if elide else voice.object(fact.reference)
    things = "" if before is not None and voice.chance(voice.fond) else f" {x}"
    predicate = _relation(fact, things, reference, voice)
    return voice.tell(fact.subject, predicate, others=(fact.reference,), lean=lean, state=True)


def _relation(fact: Fact, things: str, reference: str, voice: Voice) -> str:
    """What ``fact.subject`` has, from the verb on. things: " apples" or ""; reference: "" if left out."""
    has = voice.pick("has", "has", "has", "owns")
    if fact.relation in ("more", "fewer"):
        n = voice.number(fact.amount)
        word = "more" if fact.relation == "more" else voice.pick("fewer", "fewer", "less")
        amount = (
            f"{n}{things} {word}" if things and reference and voice.chance(0.2) else f"{n} {word}{things}"
        )
        return f"{has} {amount}" + (f" than {reference}" if reference else "")
    many = voice.times(fact.amount) if fact.relation == "times" else FRACTIONS[fact.amount]
    return f"{has} {many} as many{things}" + (f" as {reference}" if reference else "")


def _ask(content: Content, voice: Voice) -> tuple[str, Lean]:
    told = {name for fact in content.facts for name in (fact.subject, fact.reference) if name}
    x = content.item
    things = "" if content.facts and voice.chance(voice.fond * 0.6) else f" {x}"
    if content.asks == "together":
        a, b = content.of
        if told == {a, b} and voice.chance(0.7):
            if voice.chance(0.2):
                return voice.pick(f"how many {x} in total", f"how many {x} are there in total"), ""
            whom = "they"
        else:
            whom = f"{a} and {b}"
        do = "did" if voice.past else "do"
        end = voice.pick("together", "together", "altogether", "in total", "in all")
        return f"how many{things} {do} {whom} have {end}", ""
    said, lean = voice.person(content.of[0])
    does = voice.does(said)
    if content.asks == "difference":
        b = content.of[1]
        form = voice.pick("how many more{x} {does} have than {b}", "how many{x} more {does} have than {b}")
        return form.format(x=things, does=does, b=b), lean
    have = voice.pick("have", "have", "have", "have", "own", "have then")
    return f"how many{things} {does} {have}", lean
