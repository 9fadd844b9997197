"""How a step of ``order`` goes wrong: drafts of plausible wrong lines, which the judge still sifts.

Every method is an endless stream.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from random import Random

from training.families.order.content import PAIRED, Content, Fact
from training.families.order.judge import CLASH, ROW, Judge
from training.families.order.wording import ABOVE, CLOSINGS, CONTRADICTED, JOINED, MISSING


class OrderSlips:
    """Wrong lines in the place of ``right``, after the lines that ``judge`` has read."""

    def __init__(self, judge: Judge, right: str, rng: Random) -> None:
        self._rng = rng
        self._content: Content = judge.content
        self._right = right
        self._row = judge.stated[-1] if judge.stated else judge.content.facts[0].pair
        self._people = sorted(judge.people)
        # To exchange two people on both sides of a contradiction would leave one.
        self._clashes = CLASH.fullmatch(right) is not None
        self._gives_up = self._clashes or right.startswith("It is not said")
        parsed = ROW.fullmatch(right)
        self._parsed = (parsed["facts"], parsed["row"].split(ABOVE)) if parsed else None

    def operand(self) -> Iterator[str]:
        """The wrong people: two of them taken for each other, or a fact that does not belong here."""
        while True:
            if self._parsed is None and self._rng.random() < 0.7:
                yield self._renamed(self._right)
            elif self._parsed is not None and self._rng.random() < 0.5:
                facts, row = self._parsed
                yield f"{facts}: {self._exchanged(ABOVE.join(row))}."
            else:
                yield self._grafted(self._rng.choice(self._content.facts))

    def invented(self) -> Iterator[str]:
        """A comparison that is not told, or a gap or a contradiction that is not there."""
        while True:
            draw = self._rng.random()
            if self._parsed is None:
                goes_on = self._closing if draw < 0.3 and self._gives_up else self._made_up
                yield goes_on() if draw < 0.6 else self._excuse()
            elif draw < 0.2:
                yield self._excuse()
            else:
                yield self._turned(*self._parsed) if draw < 0.6 else self._renamed(self._right)

    def arithmetic(self) -> Iterator[str]:
        """The right facts and the wrong conclusion."""
        while True:
            if self._parsed is not None:
                facts, row = self._parsed
                yield f"{facts}: {ABOVE.join(self._moved(row))}."
            elif self._clashes or self._rng.random() < 0.5:
                yield self._flipped(self._right)
            else:
                yield self._exchanged(self._right)

    def _named(self, said: str) -> list[str]:
        return [word for word in dict.fromkeys(re.findall(r"\w+", said)) if word in self._people]

    def _renamed(self, said: str) -> str:
        """One person taken for another who is not in the line."""
        named = self._named(said)
        others = [name for name in self._people if name not in named]
        if not named or not others:
            return self._exchanged(said)
        return re.sub(rf"\b{self._rng.choice(named)}\b", self._rng.choice(others), said)

    def _exchanged(self, said: str) -> str:
        """Two people of the line taken for each other; the line itself if it names only one."""
        named = self._named(said)
        if len(named) < 2:
            return said
        one, other = self._rng.sample(named, 2)
        new = {one: other, other: one}
        return re.sub(rf"\b(?:{one}|{other})\b", lambda name: new[name[0]], said)

    def _flipped(self, said: str) -> str:
        """One "taller" or "tallest" of the line made "shorter" or "shortest"."""
        more, less = self._content.dimension.more, self._content.dimension.less
        new = {more.than: less.than, less.than: more.than, more.most: less.most, less.most: more.most}
        found = list(re.finditer("|".join(new), said))
        if not found:
            return said
        word = self._rng.choice(found)
        return f"{said[: word.start()]}{new[word[0]]}{said[word.end() :]}"

    def _moved(self, row: list[str]) -> list[str]:
        """The row with somebody at another place."""
        name = self._rng.choice(row)
        rest = [other for other in row if other != name]
        rest.insert(self._rng.randrange(len(row)), name)
        return rest

    def _turned(self, facts: str, row: list[str]) -> str:
        """A fact the wrong way round, and the row that would follow from it."""
        fact = self._rng.choice(facts.split(JOINED))
        one, other = self._named(fact)
        new = {one: other, other: one}
        turned = self._flipped(fact) if self._rng.random() < 0.5 else self._exchanged(fact)
        return f"{facts.replace(fact, turned)}: {ABOVE.join(new.get(name, name) for name in row)}."

    def _grafted(self, fact: Fact) -> str:
        """A fact, told or not, and the row so far with its two people at the ends."""
        high, low = fact.pair
        row = list(self._row)
        if low not in row:
            row.append(low)
        if high not in row:
            row.insert(0, high)
        return f"{fact.statement(self._content.dimension)}: {ABOVE.join(row)}."

    def _made_up(self) -> str:
        """A comparison that would lead on from the row."""
        others = [name for name in self._people if name not in self._row]
        if not others:
            return self._closing()
        more = self._rng.random() < 0.5
        return self._grafted(Fact(self._rng.choice(others), more, self._row[0 if more else -1]))

    def _excuse(self) -> str:
        """That the answer, or something on the way to it, is not said or said in two ways."""
        content = self._content
        if self._rng.random() < 0.5:
            asks = "compare" if content.asks in PAIRED else content.asks
            return MISSING[asks].format(**self._words(content.of))
        fact = self._rng.choice(content.facts)
        denied = Fact(fact.subject, not fact.more, fact.reference)
        return CONTRADICTED.format(
            one=denied.statement(content.dimension), other=fact.statement(content.dimension)
        )

    def _closing(self) -> str:
        """Somebody as the answer."""
        content = self._content
        if content.asks in PAIRED:
            one, other = self._rng.sample(content.of, 2)
            return f"{Fact(one, self._rng.random() < 0.5, other).statement(content.dimension)}."
        x, *others = self._rng.sample(content.of or self._people, 3)
        y, z = others
        return CLOSINGS[content.asks].format(**self._words(content.of), x=x, y=y, z=z)

    def _words(self, of: tuple[str, ...]) -> dict[str, str]:
        word = self._content.dimension.word(more=self._content.more)
        return {"w": word.than, "s": word.most, **dict(zip("abc", of, strict=False))}
