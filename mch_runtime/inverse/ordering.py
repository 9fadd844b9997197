"""Steps about who is taller, older or faster, checked against what the question says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from copy import copy

from mch_runtime.inverse.comparisons import Comparison, Order, comparisons, dimension, rows
from mch_runtime.inverse.ledger import sentence_name
from mch_runtime.trace import Verdict

_SUPERLATIVE = re.compile(r"\b(?:second\s)?(?P<word>\w+est|best|worst)\b")
_NAMES = re.compile(r"\b[A-Z][\w-]*")
_N = r"[A-Z][\w-]*"
_BETWEEN = re.compile(rf"\b({_N}) is (?:in the middle of|between) ({_N}) and ({_N})")
_MIDDLE = re.compile(r"\b(?:in the middle of|between)\b")
_ASKS = re.compile(
    rf"\b(?:[Ii]s|[Tt]hat|(?:me|know|say) if) (?P<a>{_N}) (?:is )?(?:the )?(?P<w>\w+er) "
    rf"(?:one )?(?:than|compared with) (?P<b>{_N})"
)
_IF = re.compile(r"\s*[Ii]f\b(?P<told>.+),\s*(?=(?:is|who|which|can|of)\b)", re.DOTALL)
_COMPARES = re.compile(
    r"\b(?!after|her\b|never|other|ever|over|under|another|together|number|whether)[a-z]{3,}er\b|\bnot (?:as|so|quite as)\b"
)
_WHO = re.compile(r",? who (?=is\b|was\b)")
_AND_IS = re.compile(r",? (?:and|but) (?=(?:is|was)\b)")
_PRONOUN = re.compile(r"\b(?:[Hh]e|[Ss]he|[Tt]hey|[Hh]im|[Hh]er|[Tt]hem)\b")

Checked = tuple[Verdict | None, tuple[str, ...]]
Remark = tuple[Verdict | None, str]


class OrderCheck:
    """Reads a question's comparisons, then a chain's.

    What hangs on a pronoun counts in favour of a step and never against it.
    """

    def __init__(self, question: Sequence[str], names: Iterable[str]) -> None:
        spelled = {name: name.capitalize() for name in names}
        pattern = re.compile(rf"\b(?:{'|'.join(map(re.escape, spelled)) or '(?!)'})\b")
        texts = [pattern.sub(lambda match: spelled[match[0]], text) for text in question]
        self._people = set(spelled.values())
        self._firm, self._likely = Order(), Order()
        self._vague = False
        asks = [text for text in texts if "?" in text] or texts
        self._asked = _IF.sub("", asks[-1]) if asks else ""
        before = ""
        for index, text in enumerate(texts):
            said = _IF.match(text)
            if said is not None:
                self._tell(said["told"], before, sentence_name(index))
            elif "?" not in text and (index < len(texts) - 1 or _ASKS.search(text) is None):
                self._tell(text, before, sentence_name(index))
            before = next(iter(self._named(text)), before)
        self._before = copy(self._firm.told), copy(self._likely.told)

    @property
    def is_known(self) -> bool:
        """Whether the question compares anybody."""
        return bool(self._likely.told)

    def begin(self) -> None:
        self._before = copy(self._firm.told), copy(self._likely.told)

    def forget(self) -> None:
        """What was stated since :meth:`begin`."""
        self._firm.told, self._likely.told = self._before

    def read(self, said: str, step: str) -> Checked | None:
        """Judge a step; None if it is none about an order."""
        if not self.is_known:
            return None
        stated = comparisons(said)
        kinds = {one.dimension for one in stated} or self._likely.dimensions()
        row = rows(said, next(iter(kinds))) if len(kinds) == 1 else ()
        if not stated and not row:
            return self._superlative(said) or self._between(said)
        own = Order(dict.fromkeys(stated, step))
        evidence: list[str] = []
        for one in (*stated, *row):
            verdict, remark = self._comparison(one)
            if verdict is None and one in row and own.follows(one.reverse) and not own.follows(one):
                verdict, remark = "contradicts", f"puts {one}, but itself says {one.reverse}"
            if verdict is not None:
                return verdict, (remark,)
            evidence += [remark] if remark else []
        if len(evidence) < len(stated) + len(row):
            return None
        return None, tuple(dict.fromkeys(evidence))[:3]

    def excuse(self, said: str) -> Remark | None:
        """Judge a step that says that an order is not known, or that it contradicts itself."""
        if not self.is_known:
            return None
        found = comparisons(said)
        if "also" in said:
            return self._clash(found)
        if not found:
            return self._open(said)
        one = found[0]
        if not {one.more, one.less} <= self._people:
            return "unsupported", f"the question does not compare {one.more} and {one.less}"
        for way in (one, one.reverse):
            if self._firm.follows(way):
                return "contradicts", f"what is said leads to {way}"
        if self._vague or self._likely.follows(one) or self._likely.follows(one.reverse):
            return None
        return None, f"nothing compares {one.more} and {one.less}"

    def answer(self, said: str) -> Checked | None:
        """Judge "yes" or "no"; None where that is not asked, or not known."""
        asked = _ASKS.search(self._asked)
        if asked is None or said.lower() not in ("yes", "no"):
            return None
        name, is_more = dimension(asked["w"])
        a, b = asked["a"], asked["b"]
        one = Comparison(name, a, b) if is_more else Comparison(name, b, a)
        for way, right in ((one, "yes"), (one.reverse, "no")):
            if self._firm.follows(way) and not self._firm.follows(way.reverse):
                evidence = (f"what is said leads to {way}",)
                return (None if said.lower() == right else "contradicts"), evidence
        return None

    def _tell(self, text: str, before: str, source: str) -> None:
        """Take in a sentence; ``before``: whom the one before it was about."""
        named = self._named(text)
        found = list(comparisons(text))
        resolved = _PRONOUN.sub(before, text) if before else text
        for pattern, name in ((_WHO, None), (_AND_IS, (named or [""])[0])):
            resolved = pattern.sub(lambda match, name=name: _subject(resolved, match, name), resolved)  # type: ignore[misc]  # noqa: B023
        likely = comparisons(resolved)
        for one in found:
            self._firm.add(one, source)
        for one in (*found, *likely):
            self._likely.add(one, source)
        said = len(_COMPARES.findall(text))
        self._vague |= (
            bool(_PRONOUN.search(text))
            or set(likely) != set(found)
            or (len(named) > 1 and said > max(len(found), len(likely)))
        )

    def _named(self, text: str) -> list[str]:
        return [name for name in dict.fromkeys(_NAMES.findall(text)) if name in self._people]

    def _comparison(self, one: Comparison) -> Remark:
        if self._likely.follows(one):
            source = self._likely.told.get(one)
            return None, f"{source} says {one}" if source else f"{one} follows from what is said"
        if self._firm.follows(one.reverse):
            said = self._firm.told.get(one.reverse, "what is said")
            return "contradicts", f"says {one}, but {said} gives {one.reverse}"
        return (None, "") if self._vague else ("unsupported", f"nothing that is said leads to {one}")

    def _clash(self, found: tuple[Comparison, ...]) -> Remark | None:
        if len(found) != 2:
            return None
        one, other = found
        if other != one.reverse:
            return "contradicts", f"{one} and {other} do not contradict each other"
        if self._likely.follows(one) and other in self._likely.told:
            return None, f"both {one} and {other} are said"
        wanted = one if not self._likely.follows(one) else other
        return None if self._vague else ("unsupported", f"nothing that is said leads to {wanted}")

    def _open(self, said: str) -> Remark | None:
        """Judge "It is not said who is the tallest"."""
        placed = self._placed(said)
        if placed is None:
            return None
        label, who = placed
        if who:
            return "contradicts", f"what is said makes {who} the {label}"
        return None if self._vague else (None, "what is said leaves it open")

    def _superlative(self, said: str) -> Checked | None:
        placed = self._placed(said)
        names = self._named(said)
        if placed is None or not names or _BETWEEN.search(said):
            return None
        label, who = placed
        if self._vague and len(names) < 2:
            return None
        if not who:
            open_ = (f"what is said leaves open who is the {label}",)
            return None if self._vague else ("unsupported", open_)
        last = [name for name in _NAMES.findall(said) if name in self._people][-1]
        if who not in (names[0], last) or (len(names) > 1 and who != last):
            return "contradicts", (f"says {last}, but what is said makes {who} the {label}",)
        return None, (f"what is said makes {who} the {label}",)

    def _placed(self, said: str) -> tuple[str, str] | None:
        """The place that a text speaks of and who holds it, "" if that is open; None: not read."""
        match, middle = _SUPERLATIVE.search(said), _MIDDLE.search(said)
        named = self._named(said)
        kinds = self._firm.dimensions()
        if match is None:
            if middle is None or len(named) != 3 or len(kinds) != 1:
                return None
            return "middle one", self._ranked(next(iter(kinds)), set(named), 1, is_more=True)
        name, is_more = dimension(match["word"])
        if name not in kinds:
            return None
        people = set(named) if len(named) > 1 else self._firm.people(name) | self._likely.people(name)
        return match[0], self._ranked(name, people, int(match[0].startswith("second")), is_more=is_more)

    def _ranked(self, name: str, people: set[str], rank: int, *, is_more: bool) -> str:
        """Who certainly has ``rank`` of the people above; "" if that is open."""
        for one in sorted(people):
            rest = people - {one}
            above = {other for other in rest if self._is_above(name, other, one, is_more=is_more)}
            below = {other for other in rest if self._is_above(name, one, other, is_more=is_more)}
            if len(above) == rank and above | below == rest:
                return one
        return ""

    def _is_above(self, name: str, a: str, b: str, *, is_more: bool) -> bool:
        return self._firm.follows(Comparison(name, a, b) if is_more else Comparison(name, b, a))

    def _between(self, said: str) -> Checked | None:
        match = _BETWEEN.search(said)
        kinds = self._firm.dimensions()
        if match is None or len(kinds) != 1:
            return None
        (name,) = kinds
        x, y, z = match.groups()
        for a, b in ((y, z), (z, y)):
            if all(self._likely.follows(one) for one in (Comparison(name, a, x), Comparison(name, x, b))):
                return None, (f"{a} > {x} > {b} follows from what is said",)
        remark = f"nothing that is said puts {x} between {y} and {z}"
        return None if self._vague else ("unsupported", (remark,))


def _subject(text: str, match: re.Match[str], name: str | None) -> str:
    """What ", who is" and " and is" stand for: a new sentence about the last, or the first, one named."""
    named = _NAMES.findall(text[: match.start()])
    return f". {name or (named[-1] if named else '')} "
