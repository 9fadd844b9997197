"""What a sentence is about: whom or what it names, its numbers, and how it relates them.

This reads English word problems and the like, by closed lists of words. What the lists do not cover is not
read, and a clause that leans on another one (a pronoun, something left out) is marked as loose.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import lru_cache
from typing import Literal

from mch_runtime.inverse.numbers import Number, numbers

Relation = Literal["more", "less", "times", "part", "together"]

_NOT_NAMES = frozenset(
    "a an the and or but if so then later now after before at in on of for from to by with without how what "
    "who whom whose which when where why is are was were do does did has have had can could will would it its "
    "he she they his her their him them this that these those there here each every all both some many "
    "several few compared step wait answer therefore thus hence since because as not no yes total together "
    "find given let we i you my our your first second next finally also once than per one two three four five "
    "six seven eight nine ten dollar dollars cent cents between among name by everything somebody somebody's "
    "note question reasoning solution initially originally today yesterday tomorrow monday tuesday wednesday "
    "thursday friday saturday sunday january february march april may june july august september october "
    "november december".split()
)
_NOT_THINGS = _NOT_NAMES | frozenset(
    "time times more less fewer few bit half third quarter coupon discount note bill price cost change sum "
    "number amount bag bags shop store friend present stranger basket till cashier home lot pair dozen "
    "hour hours minute minutes day days week weeks month months year years mile miles percent kilometer "
    "person people total market way lunch voucher counter cart purchase buyer collection dollar dollars "
    "much many expensive cheap cheaper off up in beginning end number collection list little lot away back other others same sold sell sells each less pays pay works worth".split()
)
_PRONOUN = re.compile(r"\b(?:he|she|they|his|her|hers|their|him|them|it|those|these)\b", re.I)
_KINDS: dict[Relation, re.Pattern[str]] = {
    "more": re.compile(
        r"\b(?:more|additional|extra|another|buys?|bought|finds?|found|gets?|got|receives?|received|gains?|"
        r"gained|earns?|earned|wins?|won|collects?|collected|picks?|picked|is given|was given|adds?|added|"
        r"comes? across|came across|brings?|brought|increases?|increased|given)\b",
        re.I,
    ),
    "less": re.compile(
        r"\b(?:less|fewer|cheaper|loses?|lost|(?:sells?|sold)(?!.{0,40}\bfor (?:\$|\d|\w+ dollars))|eats?|ate|gives?|gave|drops?|dropped|"
        r"uses?|used|removes?|removed|off|short of|hands?|handed|parts|parted|decreases?|decreased|"
        r"can no longer find|discount|coupon|voucher|saves?)\b",
        re.I,
    ),
    "times": re.compile(
        r"\b(?:times|twice|thrice|doubl(?:e|es|ed)|tripl(?:e|es|ed)|quadrupl(?:e|es|ed))\b", re.I
    ),
    "part": re.compile(
        r"\b(?:half|halves|halved|thirds?|quarters?|fourths?|fifths?|sixth|tenth|eighth)\b", re.I
    ),
    "together": re.compile(r"\b(?:together|altogether|total|in all|sum|combined|both)\b", re.I),
}
_SPLIT = re.compile(
    r"\s*(?:;|,\s*(?:and|but|while|who|which|whereas)\b|,|\b(?:and|but|while|whereas)\b)\s*", re.I
)
_NAME = re.compile(r"\b[A-Z][a-z]+(?:'s)?\b")
_AMOUNT = r"(?:\d+|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)"
_THING = re.compile(
    rf"\b(?:an?|{_AMOUNT})\s+([a-z]{{3,24}})\b|\b([a-z]{{3,24}})\s(?:costs?\b|are\s\$|for\s(?:\$|\d))", re.I
)
_PRICES = re.compile(r"[$€£]|\b(?:costs?|price|dollars?|euros?|sold for)\b", re.I)
_LEAD = re.compile(r"\s*(?:(?:then|later|now|after that|also|in the beginning|at first),?\s+)*", re.I)
_VAGUE = re.compile(r"\b(?:some|several|a few|many(?! \w+ as\b| as\b))\b", re.I)
_IF = re.compile(r"\s*if\b(?P<told>.+),\s*(?=(?:how|what|who|which|is)\b)", re.I | re.S)
_OPENS = re.compile(
    r"\s*(?:(?:then|later|now|after that|also)\s+)?(?:an?\b|the\b|one\b|[a-z]{1,24}'s\b|\d)", re.I
)
_WORD = re.compile(r"[A-Za-z]+")
_REFERENCE = re.compile(
    r"\b(?:than|as(?! many\b| much\b| [a-z]+ as\b)|compared with|compared to|of what|that)\b", re.I
)
_ASKS = re.compile(
    r"\?\s*$|\b(?:how (?:many|much)|what (?:is|are|does|do|did)|who(?:'s| is)|[Ff]ind the)\b", re.I
)
_GIVES = re.compile(r"\b(?:gives?|gave|hands?|handed|sends?|sent|passes|passed|lends?|lent)\b", re.I)
_GETS = re.compile(r"\b(?:gets?|got|receives?|received|takes?|took|borrows?|borrowed)\b", re.I)


@dataclass(frozen=True, kw_only=True)
class Clause:
    """A stretch of text with at most one statement.

    source: which sentence or step it is of. topics: names, and things where the text knows several, in
    their order. relations: every kind of which a word occurs. loose: it leans on another clause, whose topics are then
    among its own. subject, reference: of a comparison; giver and receiver: of something handed over. is_vague: an amount in no numbers ("some").
    """

    source: int
    text: str
    topics: tuple[str, ...]
    numbers: tuple[Number, ...]
    relations: frozenset[Relation]
    loose: bool = False
    subject: str = ""
    reference: str = ""
    giver: str = ""
    receiver: str = ""
    is_vague: bool = False
    is_question: bool = False

    @property
    def values(self) -> frozenset[Fraction]:
        return frozenset(number.value for number in self.numbers)


@dataclass(frozen=True)
class Vocabulary:
    """The names and things of a question and the steps about it, lower case, things in the singular."""

    names: frozenset[str] = field(default_factory=frozenset)
    things: frozenset[str] = field(default_factory=frozenset)

    def topics(self, text: str) -> tuple[str, ...]:
        """Whom and what a text names, each once, in their order."""
        found: dict[str, None] = {}
        for match in _WORD.finditer(text):
            word = match[0].lower()
            if word in self.names:
                found[word] = None
            elif singular(word) in self.things:
                found[singular(word)] = None
        return tuple(found)


def vocabulary(sentences: Sequence[str], steps: Sequence[str]) -> Vocabulary:
    """Capitalised words that are no common ones; things only where the sentences count several kinds."""
    common = {singular(word) for text in (*sentences, *steps) for word in re.findall(r"\b[a-z]+\b", text)}
    is_lower = not any(letter.isupper() for text in sentences for letter in text)
    names = {name for text in (*sentences, *steps) for name in _capitals(text)}
    names = {name for name in names if is_lower or singular(name) not in common}
    things = {
        singular(thing.lower())
        for text in sentences
        for pair in _THING.findall(text)
        if (thing := pair[0] or pair[1]).lower() not in _NOT_THINGS
    } - names
    least = 1 if any(_PRICES.search(text) for text in sentences) else 2
    return Vocabulary(frozenset(names), frozenset(things if len(things) >= least else ()))


def clauses(text: str, source: int, known: Vocabulary, *, before: Sequence[Clause] = ()) -> list[Clause]:
    """The clauses of a sentence; ``before``: those of the text so far, which it may lean on."""
    found: list[Clause] = []
    if_told = _IF.match(text)
    asked = if_told.end() if if_told is not None else 0
    for part in _parts(if_told["told"]) if if_told is not None else ():
        found.append(_clause(part, source, known, [*before, *found], is_first=not found))
    is_question = if_told is not None or _ASKS.search(text) is not None
    for part in (text[asked:],) if is_question else _parts(text):
        clause = _clause(part, source, known, [*before, *found], is_first=not found)
        found.append(replace(clause, is_question=is_question))
    return found


@lru_cache(maxsize=4096)
def singular(word: str) -> str:
    """One of them: "cherries" as "cherry", "boxes" as "box", "pens" as "pen"."""
    if len(word) > 4 and word.endswith(("ies", "ie")):
        return f"{word.rstrip('s')[:-2]}y"
    if word.endswith(("xes", "ches", "shes", "sses")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 3 else word


def relations(text: str) -> frozenset[Relation]:
    """Every kind of relation of which a word occurs."""
    return frozenset(kind for kind, pattern in _KINDS.items() if pattern.search(text))


def hands_over(text: str) -> bool:
    """Whether a word of giving or getting occurs."""
    return _GIVES.search(text) is not None or _GETS.search(text) is not None


def _clause(text: str, source: int, known: Vocabulary, before: Sequence[Clause], *, is_first: bool) -> Clause:
    topics = known.topics(text)
    kinds = relations(text)
    said = numbers(text)
    # "and 7 oranges": what is said of the apples before it is said of them.
    is_item = not is_first and re.match(_AMOUNT, text, re.I) is not None
    bare_item = is_item and not any(topic in known.names for topic in topics)
    leans = bool(_PRONOUN.search(text)) or not topics
    related = bool(kinds & {"more", "less", "times", "part"}) and bool(said)
    if related and len(topics) < 2 and not _GAINS_ALONE.search(text):
        leans = True
    if not is_first and not bare_item and _OPENS.match(text) is None and not _opens_with_topic(text, known):
        leans = True
    if leans and before:
        topics = tuple(dict.fromkeys((*topics, *before[-1].topics)))
    elif bare_item and before:
        topics = (*topics, *(topic for topic in before[-1].topics if topic in known.names))
    subject, reference = _compared(text, known)
    giver, receiver = _handed(text, known)
    return Clause(
        source=source,
        text=text,
        topics=topics,
        numbers=said,
        relations=kinds,
        loose=leans and not bare_item,
        subject=subject,
        reference=reference,
        giver=giver,
        receiver=receiver,
        is_vague=not said and _VAGUE.search(text) is not None,
    )


# Something happens to one alone: no second one is left out.
_GAINS_ALONE = re.compile(
    r"\b(?:buys?|bought|finds?|found|gets?|got|receives?|received|loses?|lost|sells?|sold|eats?|ate|gives?|gave|"
    r"doubles?|doubled|triples?|tripled|given|keeps|comes? across|brings?|parts|find|saves?|coupon|discount|"
    r"takes|before|become|off|keeps?|halves|halved|earns?|earned)\b",
    re.I,
)


def _compared(text: str, known: Vocabulary) -> tuple[str, str]:
    """Subject and reference of "A has 3 more than B", "Compared with B, A has 3 more"; "" where unclear."""
    mark = _REFERENCE.search(text)
    if mark is None:
        return "", ""
    first, then = known.topics(text[: mark.start()]), known.topics(text[mark.end() :])
    if mark[0].lower().startswith("compared"):
        return (then[1], then[0]) if len(then) == 2 and not first else ("", "")
    return (first[0], then[0]) if len(first) == 1 and len(then) == 1 else ("", "")


def _handed(text: str, known: Vocabulary) -> tuple[str, str]:
    """Giver and receiver of "A gives 3 to B", "B gets 3 from A"; "" where unclear."""
    names = tuple(topic for topic in known.topics(text) if topic in known.names)
    if len(names) != 2:
        return "", ""
    if _GIVES.search(text):
        return names[0], names[1]
    return (names[1], names[0]) if _GETS.search(text) else ("", "")


def _parts(text: str) -> Iterable[str]:
    """The text cut at its conjunctions where both sides hold a number."""
    held = ""
    last = 0
    for match in _SPLIT.finditer(text):
        left, right = held + text[last : match.start()], text[match.end() :]
        if _has_amount(left) and _has_amount(right) and not re.match(r"(?:more|fewer|less)\b", right, re.I):
            yield left
            held, last = "", match.end()
    rest = held + text[last:]
    if rest.strip():
        yield rest


def _has_amount(text: str) -> bool:
    return bool(numbers(text)) or _VAGUE.search(text) is not None


def _opens_with_topic(text: str, known: Vocabulary) -> bool:
    lead = _LEAD.match(text)
    return bool(known.topics(" ".join(text[lead.end() if lead else 0 :].split()[:1])))


def _capitals(text: str) -> list[str]:
    found = []
    for match in _NAME.finditer(text):
        name = match[0].removesuffix("'s").lower()
        if name not in _NOT_NAMES and singular(name) not in _NOT_NAMES:
            found.append(name)
    return found
