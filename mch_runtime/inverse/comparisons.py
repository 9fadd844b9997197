"""Who is taller, older, faster than whom: comparisons read from text, and what follows from them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

# More first. A comparison by another adjective has a dimension of its own.
_OPPOSITES = (
    "tall short, old young, fast slow, strong weak, heavy light, big small, large little, high low, rich poor, "
    "long brief, expensive cheap, far near, hot cold, wide narrow, deep shallow, bright dark, early late"
)
_IRREGULAR = {"better": "good", "best": "good", "worse": "bad", "worst": "bad"} | {
    "farther": "far",
    "farthest": "far",
}
_N = r"([A-Z][\w-]*)"
_MUCH = r"(?:a\s(?:bit|little|lot)\s|much\s|far\s|slightly\s|turns out to be\s)?"
_THAN = re.compile(rf"\b{_N}\s(?:is|was|turns out to be)\s{_MUCH}(\w+er|better|worse)\sthan\s{_N}")
_COMPARED = re.compile(rf"[Cc]ompared\s(?:with|to)\s{_N},\s{_N}\sis\s{_MUCH}(\w+er)\b")
_OF_TWO = re.compile(rf"[Oo]f\s{_N}\sand\s{_N},\s{_N}\sis\sthe\s(\w+er)\b")
_NOT_AS = re.compile(rf"\b{_N}\sis\snot\s(?:as|so|quite as)\s(\w+)\sas\s{_N}")
_ROW = re.compile(r"[A-Z][\w-]*(?:\s*[<>]\s*[A-Z][\w-]*){1,63}")
_CAPITAL = re.compile(r"\b[A-Z][\w-]*")


def _dimensions() -> dict[str, tuple[str, bool]]:
    table: dict[str, tuple[str, bool]] = {}
    for pair in _OPPOSITES.split(", "):
        more, less = pair.split()
        table[more], table[less] = (more, True), (more, False)
    return table


_DIMENSIONS = _dimensions()


@dataclass(frozen=True, order=True)
class Comparison:
    """``more`` is above ``less`` in a dimension: (dimension, more, less)."""

    dimension: str
    more: str
    less: str

    @property
    def reverse(self) -> Comparison:
        return Comparison(self.dimension, self.less, self.more)

    def __str__(self) -> str:
        return f"{self.more} > {self.less}"


def dimension(adjective: str) -> tuple[str, bool]:
    """What a form of an adjective compares by, and whether it means more of it: "shorter" is less tall."""
    word = adjective.lower()
    word = _IRREGULAR.get(word, word)
    for ending in ("est", "er", ""):
        if ending and not word.endswith(ending):
            continue
        stem = word.removesuffix(ending) if ending else word
        for form in (stem, f"{stem}e", stem[:-1], f"{stem[:-1]}y"):
            if form in _DIMENSIONS:
                return _DIMENSIONS[form]
    return re.sub(r"(?:er|est)$", "", word), True


def comparisons(text: str) -> tuple[Comparison, ...]:
    """Every comparison of two that a text states, in order."""
    found: list[tuple[int, Comparison]] = []
    for pattern, order in ((_THAN, (1, 2, 3)), (_COMPARED, (2, 3, 1))):
        for match in pattern.finditer(text):
            a, word, b = (match[group] for group in order)
            found.append((match.start(), _made(a, word, b)))
    for match in _OF_TWO.finditer(text):
        one, other, chosen, word = match.groups()
        if chosen in (one, other):
            found.append((match.start(), _made(chosen, word, other if chosen == one else one)))
    found += [(match.start(), _made(match[3], match[2], match[1])) for match in _NOT_AS.finditer(text)]
    return tuple(one for _, one in sorted(found, key=lambda pair: pair[0]))


def rows(text: str, dimension_name: str) -> tuple[Comparison, ...]:
    """The neighbours of every row "Kate > Sofia > Ella"."""
    found = []
    for match in _ROW.finditer(text):
        names = _CAPITAL.findall(match[0])
        signs = re.findall(r"[<>]", match[0])
        for one, sign, other in zip(names, signs, names[1:], strict=False):
            pair = (one, other) if sign == ">" else (other, one)
            found.append(Comparison(dimension_name, *pair))
    return tuple(found)


def _made(a: str, word: str, b: str) -> Comparison:
    name, is_more = dimension(word)
    return Comparison(name, a, b) if is_more else Comparison(name, b, a)


@dataclass
class Order:
    """What is known of who is above whom; ``told``: as it was said, with its sentence or step."""

    told: dict[Comparison, str] = field(default_factory=dict)

    def add(self, comparison: Comparison, source: str) -> None:
        self.told.setdefault(comparison, source)

    def follows(self, wanted: Comparison) -> bool:
        """Whether it is told, or a chain of what is told leads there."""
        seen, waiting = {wanted.more}, [wanted.more]
        while waiting:
            for below in self._below(waiting.pop(), wanted.dimension):
                if below == wanted.less:
                    return True
                if below not in seen:
                    seen.add(below)
                    waiting.append(below)
        return False

    def people(self, dimension_name: str) -> set[str]:
        pairs = (one for one in self.told if one.dimension == dimension_name)
        return {name for one in pairs for name in (one.more, one.less)}

    def dimensions(self) -> set[str]:
        return {one.dimension for one in self.told}

    def _below(self, name: str, dimension_name: str) -> Iterator[str]:
        for one in self.told:
            if one.dimension == dimension_name and one.more == name:
                yield one.less
