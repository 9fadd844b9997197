"""``prices`` as people type it."""

from __future__ import annotations

from training.families.prices.content import Content, Fact
from training.families.prices.wording import SINGULARS, listing, one
from training.families.writing import FRACTIONS
from training.phrasing.assemble import Clause, Draft, Lean
from training.phrasing.voice import Voice

PERSONAL = ("buys", "off", "pays", "note")


def phrase(content: Content, voice: Voice) -> Draft:
    """The facts in the order told, and the question."""
    voice.people = frozenset(content.people)
    past = voice.chance(0.3)
    signed = voice.chance(0.5)  # "$3"
    clauses: list[Clause] = []
    absorbed = 0
    for index, fact in enumerate(content.facts):
        before = content.facts[index - 1] if index else None
        if index == len(content.facts) - 1 and _absorbable(content, fact) and voice.chance(0.5):
            absorbed, last = 1, voice.last
        voice.past = past and fact.kind in PERSONAL
        clauses.append(_fact(fact, before, voice, signed=signed))
    voice.past = past
    if absorbed:
        # What the question tells itself has not been said before it.
        voice.last = last
        ask, lean = _ask_of(content, content.facts[-1], voice)
    else:
        ask, lean = _ask(content, voice)
    return Draft(tuple(clauses), ask, lean, of=content.of, absorbed=absorbed)


def _absorbable(content: Content, fact: Fact) -> bool:
    """Whether the question can say itself what is bought: "How much does Tom pay for 4 pens?"."""
    if fact.kind != "buys" or fact.subject != content.of[0] or not all(count for count, _ in fact.basket):
        return False
    if content.asks == "cost":
        return len(fact.basket) == 1 and fact.basket[0][1] == content.of[1]
    return content.asks == "pay" and len(content.about(fact.subject, *PERSONAL)) == 1


def _money(amount: int, voice: Voice, *, signed: bool) -> str:
    return f"${amount}" if signed else f"{voice.number(amount)} dollars"


def _goods(fact: Fact, voice: Voice) -> str:
    return listing([f"{voice.number(count) if count else 'some'} {item}" for count, item in fact.basket])


def _fact(fact: Fact, before: Fact | None, voice: Voice, *, signed: bool) -> Clause:
    if fact.kind in PERSONAL:
        return _personal(fact, before, voice, signed=signed)
    if fact.kind == "costs":
        m = _money(fact.amount, voice, signed=signed)
        a = one(fact.subject)
        said, rest = voice.rng.choice(
            (
                (a, f"costs {m}"),
                (a, f"is {m}"),
                (f"one {SINGULARS[fact.subject]}", f"costs {m}"),
                (fact.subject, f"cost {m} each"),
                (fact.subject, f"are {m} each"),
                (f"the price of {a}", f"is {m}"),
            )
        )
        return voice.keep(Clause(said, rest, subject=fact.subject, state=True))
    # "A cup costs $2 more." speaks of the price told just before, unless it could be the cup's own.
    elide = (
        before is not None
        and before.kind == "costs"
        and before.subject == fact.reference
        and fact.subject not in voice.told
        and voice.chance(voice.fond)
    )
    rest = _relation(fact, "" if elide else one(fact.reference), voice, signed=signed)
    lean: Lean = "elision" if elide else ""
    return voice.keep(Clause(one(fact.subject), rest, subject=fact.subject, lean=lean, state=True))


def _relation(fact: Fact, reference: str, voice: Voice, *, signed: bool) -> str:
    """What a thing costs, from the verb on. reference: "a pen", or "" if left out."""
    if fact.kind in ("more", "less"):
        m = _money(fact.amount, voice, signed=signed)
        words: tuple[str, ...] = ("is {m} cheaper", "is {m} less", "costs {m} less", "costs {m} less")
        if fact.kind == "more":
            words = ("is {m} more expensive", "is {m} more", "costs {m} more", "costs {m} more")
        return voice.pick(*words).format(m=m) + (f" than {reference}" if reference else "")
    if fact.kind == "fraction":
        f = FRACTIONS[fact.amount]
        if reference and fact.amount == 2 and voice.chance(0.2):
            return f"is half the price of {reference}"
    else:
        f = voice.times(fact.amount)
    words = ("costs {f} as much", "costs {f} as much", "is {f} as expensive")
    return voice.pick(*words[: 3 if reference else 2]).format(f=f) + (f" as {reference}" if reference else "")


def _personal(fact: Fact, before: Fact | None, voice: Voice, *, signed: bool) -> Clause:
    m = _money(fact.amount, voice, signed=signed)
    n = f"${fact.amount}" if signed else f"{voice.number(fact.amount)} dollar"
    words: tuple[str, ...]
    match fact.kind:
        case "buys":
            words = ("buys {g}", "buys {g}", "buys {g}", "gets {g}", "takes {g}")
            if before is not None and before.kind == "buys" and before.subject == fact.subject:
                words = ("buys {g} too", "buys {g}", "gets {g} as well")
        case "off":
            words = ("gets {m} off", "gets {m} off", "has a coupon for {m} off", "gets a discount of {m}")
        case "pays":
            words = ("pays {m} in all", "pays {m} in total", "spends {m} in total", "pays {m} altogether")
        case _:
            note = voice.pick("note", "bill")
            words = (f"pays with a {{n}} {note}", "hands over {m}", "gives the cashier {m}", "pays with {m}")
    goods = _goods(fact, voice) if fact.basket else ""
    return voice.tell(fact.subject, voice.pick(*words).format(g=goods, m=m, n=n))


def _ask_of(content: Content, fact: Fact, voice: Voice) -> tuple[str, Lean]:
    """The question with the purchase in it."""
    goods = _goods(fact, voice)
    person, lean = voice.person(content.of[0])
    does = voice.does(person)
    if person != content.of[0]:
        return f"how much {does} pay for {goods}", lean
    forms: tuple[str, ...] = (
        f"how much {does} pay for {goods}",
        f"what {does} pay for {goods}",
        f"{person} {'bought' if voice.past else 'buys'} {goods}, how much is that",
        f"how much do {goods} cost {person}",
        f"what do {goods} cost {person}",
        f"how much do {person}'s {goods} cost",
    )
    return voice.pick(*forms), ""


def _ask(content: Content, voice: Voice) -> tuple[str, Lean]:
    forms: tuple[str, ...]
    if content.asks == "price":
        return _ask_price(content.of[0], voice)
    if content.asks == "difference":
        a, b = map(one, content.of)
        return voice.pick(
            f"how much more does {a} cost than {b}",
            f"how much more is {a} than {b}",
            f"how much more expensive is {a} than {b}",
            f"how much cheaper is {b} than {a}",
        ), ""
    if _only(content) and voice.chance(0.2):
        forms = (
            "how much is that",
            "how much is that in total",
            "how much is it in total",
            "what's the total",
        )
        return voice.pick(*forms[: 1 if content.asks == "cost" else 4]), "elision"
    person, lean = voice.person(content.of[0])
    does = voice.does(person)
    if content.asks == "cost":
        x = content.of[1]
        forms = (f"how much {does} pay for the {x}", f"what {does} pay for the {x}")
        named = (f"how much do {person}'s {x} cost", f"what do {person}'s {x} cost")
        return voice.pick(*forms, *(() if lean else named)), lean
    if content.asks == "pay":
        ends = ("pay", "pay", "have to pay", "spend", "pay in total", "pay in all")
        return f"{voice.pick('how much', 'how much', 'what')} {does} {voice.pick(*ends)}", lean
    forms = (f"how much change {does} get", f"how much {does} get back", f"how much money {does} get back")
    return voice.pick(
        *forms, *(() if lean else (f"what is {person}'s change", f"what's {person}'s change"))
    ), lean


def _ask_price(item: str, voice: Voice) -> tuple[str, Lean]:
    a = one(item)
    if voice.last is not None and voice.last.subject == item and voice.chance(voice.fond * 0.2):
        return voice.pick("how much does it cost", "what does it cost"), "elision"
    return voice.pick(
        f"how much is {a}",
        f"how much is {a}",
        f"what does {a} cost",
        f"how much does {a} cost",
        f"what is the price of {a}",
        f"how many dollars is {a}",
    ), ""


def _only(content: Content) -> bool:
    """Whether the last sentence is a purchase and "that" can mean nothing but what is asked for."""
    if content.asks not in ("cost", "pay") or not content.facts:
        return False
    last = content.facts[-1]
    personal = [fact for fact in content.facts if fact.kind in PERSONAL]
    if last.kind != "buys" or any(f.subject != content.of[0] or f.kind != "buys" for f in personal):
        return False
    return content.asks == "pay" or (len(personal) == 1 and len(last.basket) == 1)
