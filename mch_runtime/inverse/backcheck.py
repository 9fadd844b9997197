"""The latent back-check: does a step agree with the question and with the steps before it?

Only text is read, no model. A step that restates a sentence must restate its numbers and its relation; what
it works with must belong to whom it names. What cannot be read is not judged.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from mch_runtime.inverse.arithmetic import Equation, equations
from mch_runtime.inverse.clauses import Clause, clauses, hands_over, vocabulary
from mch_runtime.inverse.excuses import check_clash, check_gap, is_clash, is_gap
from mch_runtime.inverse.ledger import RELATED, Ledger, sentence_name, step_name
from mch_runtime.inverse.numbers import numbers, plain
from mch_runtime.inverse.ordering import OrderCheck
from mch_runtime.trace import Verdict

_LABEL = re.compile(
    r"\A\s*(?:[>*_#(]{0,4}\s?(?:step\s{0,3}\d{1,6}|\d{1,4}(?=[.)]))[\s:.)\]*-]{0,4})", re.IGNORECASE
)
# Numbers that need no source where these words are near.
_CONSTANTS = {
    Fraction(7): re.compile(r"\b(?:weeks?|days?|daily|weekly)\b", re.I),
    Fraction(12): re.compile(r"\b(?:dozens?|months?|years?|monthly|yearly|inch|inches|foot|feet)\b", re.I),
    Fraction(24): re.compile(r"\b(?:hours?|days?)\b", re.I),
    Fraction(60): re.compile(r"\b(?:minutes?|hours?|seconds?)\b", re.I),
    Fraction(100): re.compile(r"%|\b(?:percent|cents?|meters?)\b", re.I),
    Fraction(1000): re.compile(r"\b(?:kilo\w*|km|kg|meters?|grams?)\b", re.I),
    Fraction(52): re.compile(r"\b(?:weeks?|years?)\b", re.I),
    Fraction(365): re.compile(r"\b(?:days?|years?)\b", re.I),
    Fraction(2): re.compile(r"\b(?:average|mean|half|both|couple|pairs?|triangle|two|split|round)\b", re.I),
}
_SIGNS = {"more": "+", "less": "-"}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What the text says for or against a step; confirmed: every part of it was found and agrees."""

    verdict: Verdict | None = None
    evidence: tuple[str, ...] = ()
    confirmed: bool = False


class BackCheck:
    """Reads a chain step by step beside its question."""

    def __init__(self, question: Sequence[str], steps: Sequence[str]) -> None:
        self._known = vocabulary(question, steps)
        self._told: list[Clause] = []
        self._ledger = Ledger()
        for index, sentence in enumerate(question):
            for clause in clauses(sentence, index, self._known, before=self._told):
                self._told.append(clause)
                self._ledger.tell(clause)
        self._order = OrderCheck(question, self._known.names)
        self._question = " ".join(question)
        self._loose = [clause for clause in self._told if clause.loose and not clause.is_question]
        self._restating: dict[str, int] = {}
        self._index = -1
        self._gave_up = ""
        self._before = (self._ledger.copied(), "")

    def read(self, text: str) -> Finding:
        """Judge the next step and take in what it states."""
        self._index += 1
        self._before = (self._ledger.copied(), self._gave_up)
        self._order.begin()
        said = _LABEL.sub("", text, count=1)
        earlier, self._ledger.mentioned = self._ledger.mentioned, set(self._ledger.mentioned)
        finding = self._judged(said)
        if finding.verdict is None:
            self._ledger.mentioned |= {one.value for one in numbers(said)}
        else:
            self._ledger.mentioned = earlier
        return finding

    def _judged(self, said: str) -> Finding:
        if is_gap(said) or is_clash(said):
            return self._excuse(said)
        found = equations(said)
        if found:
            return self._equations(said, found)
        return self._order_finding(said)

    def withdraw(self) -> None:
        """Forget what the last step stated."""
        self._ledger, self._gave_up = self._before
        self._order.forget()

    def blame(self, text: str) -> None:
        """The step just read is wrong: what it worked out is not to be relied on."""
        for equation in equations(text):
            if equation.right not in self._ledger.asserted:
                self._ledger.wrong[equation.right] = self._index

    def answer(self, said: str | None) -> Finding:
        """Judge the line that states the answer."""
        self._index += 1
        if said is None:
            return Finding()
        by_order = self._order.answer(said)
        if by_order is not None:
            return Finding(verdict=by_order[0], evidence=by_order[1], confirmed=by_order[0] is None)
        value = _as_number(said)
        if value is None:
            return self._answer_in_words(said)
        if self._gave_up and not any(step > self._gave_up_at() for step in self._ledger.results.values()):
            return _wrong(
                "contradicts", f"{self._gave_up} says that there is no answer, the answer is {said}"
            )
        step = self._ledger.results.get(value)
        if step is not None:
            if value in self._ledger.wrong:
                return _wrong("inherits_error", f"uses {plain(value)}, which {step_name(step)} got wrong")
            return Finding(evidence=(f"{step_name(step)} works out {plain(value)}",), confirmed=True)
        if self._ledger.results and not self._ledger.mentions(value):
            last = list(self._ledger.results)[-1]
            return _wrong("contradicts", f"the steps work out {plain(last)}, the answer is {plain(value)}")
        return Finding()

    def _gave_up_at(self) -> int:
        return int(self._gave_up.rpartition(" ")[2]) - 1

    def _answer_in_words(self, said: str) -> Finding:
        is_none = said.lower() in ("unknown", "contradiction", "undetermined", "not enough information")
        if is_none and not self._gave_up and self._index > 0:
            return _wrong("unsupported", f"no step says why the answer is {said}")
        return Finding(confirmed=is_none and bool(self._gave_up))

    def _excuse(self, said: str) -> Finding:
        parts = clauses(said, -1, self._known)
        self._gave_up = step_name(self._index)
        checked = self._order.excuse(said)
        if checked is None and not self._order.is_known:
            check = check_gap if is_gap(said) else check_clash
            checked = check(said, parts, self._told, self._ledger, self._known)
        if checked is None:
            return Finding()
        verdict, evidence = checked
        return Finding(verdict=verdict, evidence=(evidence,), confirmed=verdict is None)

    def _order_finding(self, said: str) -> Finding:
        checked = self._order.read(said, step_name(self._index))
        if checked is None:
            return Finding()
        return Finding(verdict=checked[0], evidence=checked[1], confirmed=checked[0] is None)

    def _equations(self, said: str, found: tuple[Equation, ...]) -> Finding:
        wrong = next((equation for equation in found if not equation.holds), None)
        # An annotation says what the formula around it says, and shorter.
        held = {(one.left, one.right, one.operands): one.text for one in found if one.holds}
        evidence = [f"{_short(text)} holds" for text in held.values()][:2]
        single = len({equation.operands for equation in found}) == 1
        start, end = min(one.span[0] for one in found), max(one.span[1] for one in found)
        words = f"{said[:start]} {said[end:]}"
        single = single and words.rstrip(" .").endswith(":")
        parts = clauses(words, self._index, self._known)
        clause = parts[-1] if parts else None
        checked = self._checked(words, clause, found, single=single)
        if clause is not None:
            self._take_in(clause, found[-1].right)
        else:
            self._ledger.work_out((), found[-1].right, self._index, owned=False)
        if wrong is not None:
            text = f"{_short(wrong.text)} does not hold: the left side is {plain(wrong.left)}"
            return _wrong("wrong_arithmetic", text)
        if checked.verdict is not None:
            return checked
        return Finding(evidence=(*evidence, *checked.evidence), confirmed=checked.confirmed)

    def _checked(
        self, words: str, clause: Clause | None, found: tuple[Equation, ...], *, single: bool
    ) -> Finding:
        inherited = self._inherited(found)
        if inherited is not None:
            return inherited
        if clause is None or not clause.topics or not single or len(clauses(words, 0, self._known)) > 1:
            return self._sourced(words, found)
        for check in (self._restated, self._operands):
            finding = check(words, clause, found[0])
            if finding.verdict is not None:
                return finding
        sourced = self._sourced(words, found)
        return sourced if sourced.verdict is not None else finding

    def _inherited(self, found: tuple[Equation, ...]) -> Finding | None:
        for equation in found:
            for operand in equation.operands:
                if operand in self._ledger.wrong:
                    step = step_name(self._ledger.wrong[operand])
                    return _wrong("inherits_error", f"uses {plain(operand)}, which {step} got wrong")
        return None

    def _sourced(self, words: str, found: tuple[Equation, ...]) -> Finding:
        """Every number that is worked with must be told or worked out somewhere."""
        made: set[Fraction] = set()
        for equation in found:
            for operand in equation.operands:
                if not self._has_source(operand, words, made):
                    return _wrong("unsupported", f"no fact or earlier step names {plain(operand)}")
            made |= {equation.right, equation.left}
        return Finding()

    def _has_source(self, operand: Fraction, words: str, made: set[Fraction]) -> bool:
        ledger = self._ledger
        if operand in made or operand in (0, 1) or ledger.mentions(operand):
            return True
        if operand * 100 in ledger.asserted or (operand and 1 / operand in ledger.asserted):
            return True
        nearby = _CONSTANTS.get(operand)
        if nearby is not None and nearby.search(f"{words} {self._question}"):
            return True
        if not words.rstrip(" .").endswith(":") and any(operand == one.value for one in numbers(words)):
            return True
        return operand < 1 or operand.denominator != 1

    def _restated(self, words: str, clause: Clause, equation: Equation) -> Finding:
        """A step that restates a sentence says its number and its relation."""
        said = clause.numbers
        if len(said) != 1:
            return Finding()
        value = said[0].value
        topics = set(clause.topics)
        about = [c for c in self._told if topics <= set(c.topics) and not c.is_question]
        same = [c for c in about if value in c.values]
        if not same:
            return self._misquoted(clause, value, about)
        wanted = clause.relations & RELATED
        kinds = [c.relations & RELATED for c in same]
        unclear = any(c.loose for c in same) or (clause.giver and any(hands_over(c.text) for c in same))
        if wanted and all(kind and not kind & wanted for kind in kinds) and not unclear:
            source = sentence_name(same[0].source)
            return _wrong(
                "contradicts", f'says "{clause.text.strip(" :")}", {source} "{same[0].text.strip()}"'
            )
        if _reversed(clause, same):
            source = sentence_name(same[0].source)
            return _wrong(
                "contradicts", f"takes {clause.topics[0]} and {clause.topics[1]} of {source} for each other"
            )
        return self._again(words, clause, same) or self._operator(words, wanted, equation)

    def _again(self, words: str, clause: Clause, same: list[Clause]) -> Finding | None:
        """What happens once may not be counted twice."""
        if clause.reference or not clause.relations & RELATED or not words.rstrip(" .").endswith(":"):
            return None
        told = words.strip()
        times = self._restating.get(told, 0)
        self._restating[told] = times + 1
        if times < len(same):
            return None
        return _wrong("contradicts", f"counts {sentence_name(same[0].source)} once more")

    def _may_be_meant(self, value: Fraction, clause: Clause) -> bool:
        """Whether a clause that leans on others may be the one that is restated."""
        wanted = clause.relations & RELATED
        return any(value in c.values and (not wanted or c.relations & wanted) for c in self._loose)

    def _misquoted(self, clause: Clause, value: Fraction, about: list[Clause]) -> Finding:
        relates = bool(clause.relations & RELATED) or len(clause.topics) > 1
        if value in self._ledger.values(clause.topics) and not relates:
            return Finding()
        counts = len(clause.topics) > 1 and not clause.relations & RELATED
        related = [c for c in about if c.numbers and (counts or c.relations & RELATED & clause.relations)]
        who = " and ".join(topic.capitalize() for topic in clause.topics)
        if any(value in c.values for c in self._told if c.is_question):
            return Finding()
        unclear = self._may_be_meant(value, clause)
        if related and not unclear:
            other = related[-1]
            numbers = " and ".join(plain(v) for v in sorted(other.values))
            return _wrong(
                "contradicts", f"says {plain(value)} where {sentence_name(other.source)} says {numbers}"
            )
        elsewhere = value in self._ledger.asserted
        if unclear and elsewhere:
            return Finding()
        if not elsewhere or relates:
            return _wrong("unsupported", f"no sentence says {plain(value)} of {who}")
        return Finding()

    def _operator(self, words: str, wanted: frozenset[str], equation: Equation) -> Finding:
        """Such as "Clara has 3 more than Anna: 5 - 3": it does the opposite of what it says."""
        if len(wanted) != 1 or not words.rstrip(" .").endswith(":") or equation.sign not in ("+", "-"):
            return Finding(confirmed=True)
        (kind,) = wanted
        a_sum = _SIGNS.get(kind, "* or /")
        if equation.sign != a_sum and len(set(equation.operands)) > 1:
            return _wrong("contradicts", f'the words ask for "{a_sum}", the equation has "{equation.sign}"')
        return Finding(confirmed=True)

    def _operands(self, words: str, clause: Clause, equation: Equation) -> Finding:
        """What the words do not say themselves must be a value of those they name."""
        if not clause.numbers and not clause.relations:
            return Finding()
        unsaid = list(equation.operands)
        for value in sorted(clause.values):
            meant = next((one for one in (value, 1 / value if value else value) if one in unsaid), None)
            if meant is not None:
                unsaid.remove(meant)
            elif len(clause.numbers) == 1 and len(unsaid) == 2 and _binds(clause):
                return _wrong(
                    "contradicts", f"says {plain(value)} and works with {_listed(equation.operands)}"
                )
        if set(clause.topics) & self._ledger.unsure:
            return Finding()
        topics = self._lookup(clause)
        values = self._ledger.values(topics)
        who = " and ".join(topic.capitalize() for topic in topics)
        twice = self._same_twice(clause, unsaid)
        if twice is not None:
            return twice
        for operand in unsaid:
            if operand in values:
                continue
            if not values:
                return self._without_value(clause, operand, who)
            has = " and ".join(f"{plain(value)} ({source})" for value, source in list(values.items())[:3])
            return _wrong("contradicts", f"uses {plain(operand)}, but of {who} is known {has}")
        evidence = tuple(f"{plain(value)} is from {values[value]}" for value in unsaid if value in values)
        return Finding(evidence=evidence, confirmed=bool(unsaid))

    def _lookup(self, clause: Clause) -> tuple[str, ...]:
        """Whose values a step works with: its words give one operand, and the other is of one of its topics."""
        if not clause.numbers:
            return clause.topics
        if clause.reference:
            return (clause.reference,)
        if clause.giver:
            return clause.topics[:1]
        priced = tuple(topic for topic in clause.topics if topic in self._known.things)
        # "Olga's 2 stones cost": what one of them costs, and not what else is Olga's.
        return priced if not clause.relations & RELATED and self._ledger.values(priced) else clause.topics

    def _same_twice(self, clause: Clause, unsaid: list[Fraction]) -> Finding | None:
        """As in "Anna and Ben together: 8 + 8" where they do not have the same."""
        if len(unsaid) != 2 or unsaid[0] != unsaid[1] or len(clause.topics) != 2:
            return None
        each = [self._ledger.values((topic,)) for topic in clause.topics]
        if not all(each) or all(unsaid[0] in values for values in each):
            return None
        other = next(
            topic for topic, values in zip(clause.topics, each, strict=True) if unsaid[0] not in values
        )
        return _wrong(
            "contradicts", f"uses {plain(unsaid[0])} twice, but {other.capitalize()} has another value"
        )

    def _without_value(self, clause: Clause, operand: Fraction, who: str) -> Finding:
        if len(clause.topics) > 1 and not clause.reference and operand in self._ledger.asserted:
            return Finding()
        if any(operand in c.values for c in self._loose):
            return Finding()
        return _wrong("unsupported", f"uses {plain(operand)}, but nothing gives a value for {who}")

    def _take_in(self, clause: Clause, result: Fraction) -> None:
        happens = bool(clause.relations & RELATED) and not clause.relations & {"together"}
        owned = happens and (bool(clause.numbers) or bool(clause.giver) or len(clause.topics) == 1)
        topics = clause.topics[:1] if clause.reference else clause.topics
        self._ledger.work_out(topics, result, self._index, owned=owned or len(clause.topics) == 1)


def _binds(clause: Clause) -> bool:
    return bool(clause.relations & RELATED) or len(clause.topics) > 1


def _reversed(clause: Clause, same: list[Clause]) -> bool:
    pairs = ((clause.subject, clause.reference), (clause.giver, clause.receiver))
    others = [((c.subject, c.reference), (c.giver, c.receiver)) for c in same]
    for k, (one, other) in enumerate(pairs):
        if one and others and all(pair[k] == (other, one) for pair in others):
            return True
    return False


def _as_number(said: str) -> Fraction | None:
    match = re.fullmatch(r"[$€£]?\s?(-?\d{1,30}(?:,\d{3})*(?:\.\d{1,30})?)\s?%?(?:\s[A-Za-z ]{1,40})?", said)
    return Fraction(match[1].replace(",", "")) if match else None


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def _listed(values: tuple[Fraction, ...]) -> str:
    return " and ".join(plain(value) for value in values)


def _wrong(verdict: Verdict, evidence: str) -> Finding:
    return Finding(verdict=verdict, evidence=(evidence,))
