"""What the families share: names, things, numbers in words, equations, and how a wording is chosen."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from random import Random

NAMES = tuple(
    "Ada Adam Alice Amir Ana Anna Ben Bella Carl Clara Dan Dora Eli Ella Emma Eva Finn Fred Grace Hana "
    "Hugo Ida Ivan Jack Jane John Kate Kim Lara Leo Lily Lucas Maria Mary Max Mia Nina Noah Nora Olga "
    "Omar Paul Peter Rosa Sam Sara Sofia Theo Tom Zoe".split()
)
ITEMS = tuple(
    "apples balls beads bells books bottles boxes buttons candles cards cherries coins cookies cups eggs "
    "flowers keys lemons marbles nuts oranges pears pencils pens plums rings seeds shells stamps stickers "
    "stones toys".split()
)
NUMBER_WORDS = dict(
    zip(range(2, 13), "two three four five six seven eight nine ten eleven twelve".split(), strict=True)
)
FRACTIONS = {2: "half", 3: "a third", 4: "a quarter"}

ARITHMETIC: dict[str, Callable[[int, int], float]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b if b else float("nan"),
}

# "Anna has 3 times as many eggs as Ben: 4 * 3 = 12." and the number in front of a line.
# The digits are bounded because a model's text is any text, and longer numbers fit no float.
EQUATION = re.compile(r"(?P<words>.+): (?P<a>\d{1,9}) (?P<sign>[-+*/]) (?P<b>\d{1,9}) = (?P<c>\d{1,9})\.")
NUMBERED = re.compile(r"Step \d+: (?P<body>.*)")


def wording(wordings: Mapping[str, Sequence[str]], kind: str, rng: Random, *, unseen: bool) -> str:
    """One of a kind's wordings. The last of each kind is never seen in training."""
    patterns = wordings[kind]
    return patterns[-1] if unseen else rng.choice(patterns[:-1])


def times_in_words(rng: Random, factor: int) -> str:
    """A factor in words: "twice", "three times" or "3 times"."""
    if factor == 2 and rng.random() < 0.7:
        return "twice"
    return f"{NUMBER_WORDS.get(factor, factor) if rng.random() < 0.6 else factor} times"


def body(line: str) -> str | None:
    """What a numbered line says; None if it is not one."""
    numbered = NUMBERED.fullmatch(line)
    return numbered["body"] if numbered else None


def match_pattern(pattern: str, text: str, **fixed: str) -> re.Match[str] | None:
    """``text`` against a pattern with {names} of one word; a name that comes twice is the same word."""
    seen: set[str] = set()

    def group(field: re.Match[str]) -> str:
        name = field[1]
        if name in fixed:
            return re.escape(fixed[name])
        if name in seen:
            return f"(?P={name})"
        seen.add(name)
        return rf"(?P<{name}>\w+)"

    return re.fullmatch(re.sub(r"\\\{(\w+)\\\}", group, re.escape(pattern)), text)
