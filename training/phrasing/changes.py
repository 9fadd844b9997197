"""``changes`` as people type it."""

from __future__ import annotations

from training.families.changes.content import Content, Fact
from training.families.changes.wording import LOSSES
from training.phrasing.assemble import Clause, Draft, Lean
from training.phrasing.voice import Voice

VAGUE = ("some", "a few", "several", "many")
OUT = (*LOSSES, "eats", "gives", "gives all", "halves")

# What happens, from the verb on. {n}: how many; {m}: the same with the things or without them; {r}: "more
# apples" or "more"; {o}: "apples", "of the apples", "of them" or nothing; {t}: "the apples" or "them".
PREDICATES: dict[str, tuple[str, ...]] = {
    "buys": ("buys {n} {r}", "buys {n} {r}", "gets {n} {r} at the shop"),
    "finds": ("finds {n} {r}",),
    "gets": ("gets {n} {r}", "gets {n} {r}", "is given {n} {r}", "receives {n} {r}"),
    "loses": ("loses {n}{o}",),
    "sells": ("sells {n}{o}",),
    "eats": ("eats {n}{o}",),
    "gives away": ("gives away {n}{o}", "gives {n}{o} away", "gives {n}{o} to a friend"),
    "gives": ("gives {n}{o} to {b}", "gives {n}{o} to {b}", "gives {b} {n}{o}"),
    "gives all": ("gives all {t} to {b}", "gives {b} all {t}"),
    "doubles": ("doubles the number of {x}", "ends up with twice as many{o} as before"),
    "triples": ("triples the number of {x}", "ends up with three times as many{o} as before"),
    "halves": ("gives half of {t} away", "gives away half of {t}", "gives half of {t} to a friend"),
}


def phrase(content: Content, voice: Voice) -> Draft:
    """The story, and the question."""
    voice.people = frozenset(content.people)
    voice.past = voice.chance(0.45)
    clauses: list[Clause] = []
    for fact in content.facts:
        before = content.facts[len(clauses) - 1] if clauses else None
        clauses.append(_fact(content, fact, before, voice))
    ask, lean = _ask(content, voice)
    return Draft(tuple(clauses), ask, lean, of=content.of)


def _fact(content: Content, fact: Fact, before: Fact | None, voice: Voice) -> Clause:
    x = content.item
    first = before is None
    # "Them" is all that this person was just said to have.
    them = before is not None and before.told and before.person == fact.person
    short = not first and voice.chance(voice.fond)
    if fact.told:
        n = voice.number(fact.amount) + ("" if short else f" {x}")
        if fact.verb == "now":
            return voice.tell(fact.person, f"has {n}", lead="after that" if voice.past else "now")
        # A start that is told late or twice is marked as one: it is not what somebody has by then.
        if not first and fact.person in voice.told:
            return voice.tell(fact.person, f"has {n}", lead="at first", state=True)
        return voice.tell(
            fact.person, f"{voice.pick('has', 'has', 'has', 'has', 'starts with')} {n}", state=True
        )
    lead = "" if first or voice.chance(0.7) else voice.pick("then", "then", "later", "after that")
    n = voice.number(fact.amount) if fact.amount else voice.pick(*VAGUE)
    if fact.verb == "gives" and voice.chance(0.15):
        things = "" if short else f" {x}"
        return voice.tell(
            fact.other, f"gets {n}{things} from {fact.person}", others=(fact.person,), lead=lead
        )
    words = {
        "n": n,
        "b": fact.other,
        "x": x,
        "r": "more" if short else f"more {x}",
        "o": _of(fact, x, voice, short=short, them=them),
        "t": f"the {x}" if not (short and them) else "of them" if fact.verb == "gives all" else "them",
    }
    predicate = voice.pick(*PREDICATES[fact.verb]).format(**words)
    return voice.tell(fact.person, predicate, others=(fact.other,) if fact.other else (), lead=lead)


def _of(fact: Fact, item: str, voice: Voice, *, short: bool, them: bool) -> str:
    """The things after a number: " apples", " of the apples", " of them" or ""."""
    if fact.verb in ("doubles", "triples"):
        return "" if short else f" {item}"
    if short:
        return " of them" if them and voice.chance(0.4) else ""
    return f" {item}" if voice.chance(0.8) else f" of the {item}"


def _ask(content: Content, voice: Voice) -> tuple[str, Lean]:
    x = content.item
    told = {name for fact in content.facts for name in (fact.person, fact.other) if name}
    things = "" if told and voice.chance(voice.fond * 0.6) else f" {x}"
    if content.asks == "together":
        a, b = content.of
        if told == {a, b} and voice.chance(0.7):
            starts = {fact.person for fact in content.facts if fact.verb == "start"}
            if starts == told and voice.chance(0.2):
                return voice.pick(f"how many {x} in total now", f"how many {x} are there in total now"), ""
            whom = "they"
        else:
            whom = f"{a} and {b}"
        end = voice.pick("together now", "together", "altogether", "in total now", "in all now")
        return f"how many{things} do {whom} have {end}", ""
    (person,) = content.of
    moves = [fact.verb for fact in content.facts if not fact.told]
    down = all(fact.person == person and (fact.told or fact.verb in OUT) for fact in content.facts)
    if moves and down and voice.chance(0.3):
        return f"how many{things} are left", "elision"
    said, lean = voice.person(person)
    last = "left" if moves and down else "now"
    end = voice.pick(" now", " now", f" {last}", f" {last}", " in the end", "")
    # The end of a story is the present, also of one told in the past.
    does = voice.does(said) if voice.past and end == " in the end" else f"{_do(said)} {said}"
    return f"how many{things} {does} have{end}", lean


def _do(said: str) -> str:
    return "do" if said == "they" else "does"
