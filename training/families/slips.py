"""How an equation step goes wrong: drafts of plausible wrong lines, which the family's judge still sifts.

Every method is an endless stream, or an empty one where there is nothing to draw from. A draft that came
to nothing is "".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from training.families.judging import Claim, EquationJudge
from training.families.prices.wording import SINGULARS, one
from training.families.writing import ARITHMETIC, EQUATION, FRACTIONS, ITEMS, NAMES, NUMBER_WORDS

LARGEST_RESULT = 400  # larger ones would give the mistake away

_NUMBER = re.compile(r"\d+")
_IN_WORDS = {word: number for number, word in NUMBER_WORDS.items()}
_THING = re.compile(r"\b([Aa])n? (\w+)")
_SINGULAR = frozenset(SINGULARS.values())
_PLURALS = {single: item for item, single in SINGULARS.items()}

# How one relation is taken for another: what its words become, and its sign.
_TAKEN_FOR = tuple(
    (re.compile(pattern), words, sign)
    for pattern, words, sign in (
        (r"has (\d+) more (\w+) than", r"has \1 fewer \2 than", "-"),
        (r"has (\d+) more (\w+) than", r"has \1 times as many \2 as", "*"),
        (r"has (\d+) fewer (\w+) than", r"has \1 more \2 than", "+"),
        (r"has (\d+) times as many (\w+) as", r"has \1 more \2 than", "+"),
        (r"has (\d+) times as many (\w+) as", r"has \1 fewer \2 than", "-"),
        (r"dollars more than", r"dollars less than", "-"),
        (r"dollars less than", r"dollars more than", "+"),
        (r"costs (\d+) times as much as", r"costs \1 dollars more than", "+"),
        (r"costs (\d+) dollars more than", r"costs \1 times as much as", "*"),
        (r"(?:buys|finds|gets) (\d+) more", r"loses \1", "-"),
        (r"(?:buys|finds|gets) (\d+) more", r"sells \1", "-"),
        (r"(?:loses|sells|eats|gives away) (\d+)", r"buys \1 more", "+"),
        (r"(?:loses|sells|eats|gives away) (\d+)", r"finds \1 more", "+"),
        (r"gives (\d+) (\w+) to", r"gets \1 \2 from", "+"),
        (r"gets (\d+) (\w+) from", r"gives \1 \2 to", "-"),
    )
)


class EquationSlips:
    """Wrong lines in the place of ``right``, after the lines that ``judge`` has read."""

    def __init__(self, judge: EquationJudge[Any], question: str, right: str, rng: Random) -> None:
        self._rng = rng
        self._judge = judge
        self._right = right
        self._question = question
        self._parsed = EQUATION.fullmatch(right)
        self._claims = list(judge.claims())
        self._stated: list[int] = [value for value in judge.stated.values() if value]
        self._pool = [*self._stated, *_numbers(question)]

    def operand(self) -> Iterator[str]:
        """Operands of somebody else: from the chain or from other facts."""
        if not self._pool:
            return
        excuses = self._excuses() if self._parsed is None else []
        while self._parsed is not None or self._claims or excuses:
            if self._parsed is not None and (not self._claims or self._rng.random() < 0.65):
                yield self._equation(*self._misread(self._parsed))
            elif excuses and (not self._claims or self._rng.random() < 0.5):
                yield self._rng.choice(excuses)
            else:
                claim = self._rng.choice(self._claims)
                a = self._looked_up() if claim.a is None else claim.a
                b = self._looked_up() if claim.b is None else claim.b
                yield self._equation(claim.words, claim.sign, a, b)

    def invented(self) -> Iterator[str]:
        """A relation, a number or a gap that the question does not have."""
        excuses: list[str] | None = None
        while self._parsed is not None or self._claims:
            if self._parsed is None:
                claim = self._rng.choice(self._claims)
                yield self._equation(claim.words, claim.sign, *self._made_up(claim))
            elif self._rng.random() < 0.2:
                excuses = self._excuses() if excuses is None else excuses
                if excuses:
                    yield self._rng.choice(excuses)
            else:
                words, sign, a, b = _parts(self._parsed)
                change = self._rng.choice((self._number, self._relation, self._relation, self._name))
                yield self._equation(*change(words, sign, a, b))

    def arithmetic(self) -> Iterator[str]:
        """The right line with a number that is off by a little."""
        if self._parsed is not None:
            words, sign, a, b = _parts(self._parsed)
            results = [*_near(int(self._parsed["c"])), *_neighbours(sign, a, b)]
            while True:
                yield f"{words}: {a} {sign} {b} = {self._rng.choice(results)}."
        numbers = list(_NUMBER.finditer(self._right))
        while numbers:
            number = self._rng.choice(numbers)
            near = self._rng.choice(_near(int(number[0])))
            yield f"{self._right[: number.start()]}{near}{self._right[number.end() :]}"

    def _equation(self, words: str, sign: str, a: int, b: int) -> str:
        """The equation; nothing if its result is no plausible whole number."""
        result = ARITHMETIC[sign](a, b)
        if not 0 < result <= LARGEST_RESULT or result != int(result):
            return ""
        return f"{words}: {a} {sign} {b} = {int(result)}."

    def _misread(self, parsed: re.Match[str]) -> tuple[str, str, int, int]:
        """The right step with one operand of somebody else; mostly one that its words leave open."""
        words, sign, a, b = _parts(parsed)
        claim = next((one for one in self._claims if one.words == words), Claim(words, sign))
        is_first = claim.a is None and (claim.b is not None or self._rng.random() < 0.5)
        if self._rng.random() < 0.1:
            is_first = not is_first
        return (words, sign, self._looked_up(), b) if is_first else (words, sign, a, self._looked_up())

    def _looked_up(self) -> int:
        """A number at hand; often the one worked out last."""
        if self._stated and self._rng.random() < 0.4:
            return self._stated[-1]
        return self._rng.choice(self._pool)

    def _made_up(self, claim: Claim) -> tuple[int, int]:
        """Operands of which the open ones are nowhere said."""
        a, b = (
            self._rng.choice([n for n in range(2, 60) if n not in self._pool]) if given is None else given
            for given in (claim.a, claim.b)
        )
        return a, b

    def _excuses(self) -> list[str]:
        return list(self._judge.excuses())

    def _number(self, words: str, sign: str, a: int, b: int) -> tuple[str, str, int, int]:
        """Another number in the words, and in the equation with it."""
        said = _NUMBER.search(words)
        if said is None:
            return self._fraction(words, sign, a, b)
        old = int(said[0])
        new = self._rng.choice([n for n in range(max(2, old - 4), old + 5) if n != old])
        words = f"{words[: said.start()]}{new}{words[said.end() :]}"
        return (words, sign, a, new) if b == old else (words, sign, new, b)

    def _fraction(self, words: str, sign: str, a: int, b: int) -> tuple[str, str, int, int]:
        """Another fraction in the words, and in the equation with it; else another name."""
        divisors = [n for n in FRACTIONS if n != b and a % n == 0]
        if b not in FRACTIONS or FRACTIONS[b] not in words or not divisors:
            return self._name(words, sign, a, b)
        new = self._rng.choice(divisors)
        return words.replace(FRACTIONS[b], FRACTIONS[new]), sign, a, new

    def _relation(self, words: str, sign: str, a: int, b: int) -> tuple[str, str, int, int]:
        """Another relation between the same; another number where the words name none."""
        fits = [(pattern, new, to) for pattern, new, to in _TAKEN_FOR if pattern.search(words)]
        if not fits:
            return self._number(words, sign, a, b)
        pattern, new, to = self._rng.choice(fits)
        return pattern.sub(new, words), to, a, b

    def _name(self, words: str, sign: str, a: int, b: int) -> tuple[str, str, int, int]:
        """Somebody or something else in the words, with whatever number is at hand."""
        words = self._renamed(words)
        return (words, sign, self._looked_up(), b) if self._rng.random() < 0.5 else (words, sign, a, b)

    def _renamed(self, words: str) -> str:
        asked = re.findall(r"\w+", self._question)
        here = _things(words)
        there = [thing for thing in dict.fromkeys(_things(" ".join(asked))) if thing not in here]
        kinds = [(old, [new for new in there if _kind(new) == _kind(old)]) for old in here]
        kinds = [(old, new) for old, new in kinds if new]
        if not kinds:
            return words
        old, candidates = self._rng.choice(kinds)
        return _replace(words, old, self._rng.choice(candidates))


def _parts(parsed: re.Match[str]) -> tuple[str, str, int, int]:
    return parsed["words"], parsed["sign"], int(parsed["a"]), int(parsed["b"])


_NAMES, _ITEMS = frozenset(NAMES), frozenset(ITEMS)


def _kind(thing: str) -> str:
    return "name" if thing in _NAMES else "items"


def _things(text: str) -> list[str]:
    """The names and things in a text; one thing counts as many."""
    words = (_PLURALS.get(word, word) for word in re.findall(r"\w+", text))
    return [word for word in words if word in _NAMES or word in _ITEMS]


def _replace(words: str, old: str, new: str) -> str:
    """Put one name or thing for another, with its article."""

    def article(thing: re.Match[str]) -> str:
        if thing[2] not in _SINGULAR or thing[2] != SINGULARS[old]:
            return thing[0]
        return one(new).capitalize() if thing[1] == "A" else one(new)

    if old in SINGULARS and new in SINGULARS:
        words = _THING.sub(article, words)
    return re.sub(rf"\b{old}\b", new, words)


def _numbers(text: str) -> list[int]:
    """The positive numbers in a text, in digits or in words."""
    found = ((word, _IN_WORDS.get(word.lower(), 0)) for word in re.findall(r"[a-zA-Z]+|\d+", text))
    numbers = (int(word) if word.isdecimal() else number for word, number in found)
    return [number for number in numbers if number]


def _near(number: int) -> Sequence[int]:
    """Numbers that are off by a little or have a digit wrong, all positive."""
    digits = str(number)
    near = {number - 2, number - 1, number + 1, number + 2, number - 10, number + 10}
    near |= {int(digits[:k] + digits[k + 1] + digits[k] + digits[k + 2 :]) for k in range(len(digits) - 1)}
    return sorted(n for n in near if n > 0 and n != number)


def _neighbours(sign: str, a: int, b: int) -> Sequence[int]:
    """The products next to the right one."""
    if sign != "*":
        return ()
    return [product for product in ((a - 1) * b, (a + 1) * b, a * (b - 1), a * (b + 1)) if product > 0]
