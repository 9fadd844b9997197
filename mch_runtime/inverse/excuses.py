"""Steps that say why there is no answer: something is not said, or two things said cannot both be."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mch_runtime.inverse.clauses import Clause, Vocabulary
from mch_runtime.inverse.ledger import RELATED, Ledger, sentence_name
from mch_runtime.inverse.numbers import plain
from mch_runtime.trace import Verdict

_GAP = re.compile(
    r"\b(?:not|never|n't)\s(?:said|given|stated|told|known|specified|mentioned|provided)\b|"
    r"\b(?:don't|do not|cannot|can't) know\b",
    re.IGNORECASE,
)
_CLASH = re.compile(r"\b(?:also said|also says|contradict(?:s|ion|ory)?|cannot both)\b", re.IGNORECASE)
_PARTS = re.compile(r",?\s*\bbut\b|\balso\b", re.IGNORECASE)
_OF_AMOUNT = re.compile(r"\b(?:has|have|had|owns?|costs?|weighs?|buys?|is|are)\s*\.?$", re.I)
_OF_CHANGE = re.compile(
    r"\bhow (?:many|much)\b.*\b(?:buys|finds|gets|loses|sells|eats|gives|has at first)\b", re.I
)

Checked = tuple[Verdict | None, str]


def is_gap(said: str) -> bool:
    """Whether a step says that something is not said."""
    return _GAP.search(said) is not None


def is_clash(said: str) -> bool:
    """Whether a step says that two things contradict each other."""
    return _CLASH.search(said) is not None


def check_gap(
    said: str, parts: Sequence[Clause], told: Sequence[Clause], ledger: Ledger, known: Vocabulary
) -> Checked | None:
    """Of "It is not said how many apples Alice has": nothing may tell or lead to it. None: not read."""
    topics = [topic for part in parts for topic in part.topics]
    if not topics:
        return None
    asked = {topic for clause in told for topic in clause.topics}
    strange = [topic for topic in topics if topic not in asked]
    who = " and ".join(topic.capitalize() for topic in topics)
    if strange:
        return "unsupported", f"the question does not name {strange[0].capitalize()}"
    about = [c for c in told if set(topics) <= set(c.topics) and not c.is_question]
    vague = next((c for c in about if c.is_vague), None)
    if _OF_CHANGE.search(said):
        return _gap_of_change(said, topics, told, who)
    if vague is not None:
        return None, f"{sentence_name(vague.source)} gives no number"
    if _OF_AMOUNT.search(said) is None:
        return None
    if len(topics) > 1:
        counted = next((c for c in about if c.numbers), None)
        if counted is not None:
            return "contradicts", f"{sentence_name(counted.source)} says it of {who}"
        return (None, f"no sentence says it of {who}") if not any(c.loose for c in told) else None
    return _gap_of_value(topics[0], told, ledger, who)


def _gap_of_value(topic: str, told: Sequence[Clause], ledger: Ledger, who: str) -> Checked | None:
    if topic in ledger.unsure:
        return None
    if ledger.history(topic):
        source = next(iter(ledger.values((topic,)).values()), "an earlier step")
        return "contradicts", f"{source} gives a value for {who}"
    if topic in derivable(told, ledger):
        return "contradicts", f"what the question says leads to a value for {who}"
    return (None, f"no sentence gives a value for {who}") if not any(c.loose for c in told) else None


def _gap_of_change(said: str, topics: list[str], told: Sequence[Clause], who: str) -> Checked | None:
    verb = re.search(r"\b(buys|finds|gets|loses|sells|eats|gives)\b", said, re.IGNORECASE)
    if verb is None:
        values = [c for c in told if set(topics) <= set(c.topics) and c.numbers and not c.relations & RELATED]
        if values and not values[0].loose:
            return "contradicts", f"{sentence_name(values[0].source)} says it of {who}"
        return (None, f"no sentence says it of {who}") if not values else None
    stem = verb[1].lower().rstrip("s")
    named = [c for c in told if set(topics) <= set(c.topics) and not c.is_question]
    vague = [c for c in named if c.is_vague]
    about = [c for c in named if re.search(rf"\b{stem}", c.text, re.I)]
    if about and not vague:
        return "contradicts", f"{sentence_name(about[0].source)} says it of {who}"
    return (None, f"{sentence_name(vague[0].source)} gives no number") if vague else None


def check_clash(
    said: str, parts: Sequence[Clause], told: Sequence[Clause], ledger: Ledger, known: Vocabulary
) -> Checked | None:
    """Of "Alice has 5, but it is also said that Alice has 8": both must be told or worked out of Alice."""
    numbers = [number.value for part in parts for number in part.numbers]
    topics = {topic for part in parts for topic in part.topics}
    if len(numbers) != 2 or not topics:
        return None
    one, other = numbers
    if one == other:
        return "contradicts", f"{plain(one)} and {plain(other)} are the same"
    if topics & ledger.unsure:
        return None
    said_of = {value for topic in topics for value in ledger.told.get(frozenset((topic,)), ())}
    now = set(ledger.values(sorted(topics))) | said_of
    if len(topics) > 1:
        said_of, now = ledger.asserted, now | ledger.asserted
    missing = [value for value, kept in ((one, now), (other, said_of)) if value not in kept]
    if not missing:
        return None, f"{plain(one)} and {plain(other)} are both said"
    who = " and ".join(topic.capitalize() for topic in sorted(topics))
    if any(c.loose for c in told) and all(value in ledger.asserted for value in missing):
        return None
    return "unsupported", f"nothing gives {who} {plain(missing[0])}"


def derivable(told: Sequence[Clause], ledger: Ledger) -> set[str]:
    """Topics whose values are told, or follow by comparisons from such."""
    found = {topic for owner in (*ledger.told, *ledger.worked) if len(owner) == 1 for topic in owner}
    relations = [c for c in told if c.subject and c.reference and c.numbers and not c.is_question]
    while new := {c.subject for c in relations if c.reference in found} - found:
        found |= new
    return found
