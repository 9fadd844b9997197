"""The sentences of ``quantities``, and how its steps restate them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from training.families.writing import FRACTIONS

LARGEST = 99

# Four wordings of each relation are learned; the fifth, the last, is kept for the unseen-wording split.
WORDINGS: dict[str, tuple[str, ...]] = {
    "is": (
        "{a} has {n} {x}.",
        "{a} owns {n} {x}.",
        "There are {n} {x} in {a}'s bag.",
        "{a} starts with {n} {x}.",
        "{a} keeps {n} {x} at home.",
    ),
    "more": (
        "{a} has {n} more {x} than {b}.",
        "{a} owns {n} more {x} than {b}.",
        "{a} has {n} {x} more than {b}.",
        "Compared with {b}, {a} has {n} more {x}.",
        "{a} has as many {x} as {b} and {n} more.",
    ),
    "fewer": (
        "{a} has {n} fewer {x} than {b}.",
        "{a} owns {n} fewer {x} than {b}.",
        "{a} has {n} less {x} than {b}.",
        "Compared with {b}, {a} has {n} fewer {x}.",
        "{a} is {n} {x} short of what {b} has.",
    ),
    "times": (
        "{a} has {k} as many {x} as {b}.",
        "{a} owns {k} as many {x} as {b}.",
        "{a} has {k} as many {x} as {b} has.",
        "Compared with {b}, {a} has {k} as many {x}.",
        "{a} has {k} the number of {x} that {b} has.",
    ),
    "fraction": (
        "{a} has {f} as many {x} as {b}.",
        "{a} owns {f} as many {x} as {b}.",
        "{a} has {f} as many {x} as {b} has.",
        "Compared with {b}, {a} has {f} as many {x}.",
        "{a} has {f} of the number of {x} that {b} has.",
    ),
    "ask amount": (
        "How many {x} does {a} have?",
        "How many {x} has {a}?",
        "What is the number of {x} that {a} has?",
        "How many {x} does {a} own?",
        "Find the number of {x} {a} has.",
    ),
    "ask together": (
        "How many {x} do {a} and {b} have together?",
        "How many {x} do {a} and {b} have in total?",
        "How many {x} do they have together, {a} and {b}?",
        "How many {x} do {a} and {b} have in all?",
        "What is the sum of the {x} of {a} and {b}?",
    ),
    "ask difference": (
        "How many more {x} does {a} have than {b}?",
        "How many {x} more does {a} have than {b}?",
        "By how many {x} does {a} have more than {b}?",
        "{a} has how many more {x} than {b}?",
        "How much larger is the number of {x} of {a} than that of {b}?",
    ),
}


@dataclass(frozen=True)
class Relation:
    """How a relation turns its reference's value into its subject's, and how a step restates it."""

    sign: str
    apply: Callable[[int, int], int]
    restate: str

    def statement(self, a: str, amount: int, b: str, item: str) -> str:
        return self.restate.format(a=a, n=amount, f=FRACTIONS.get(amount, ""), b=b, x=item)


RELATIONS: dict[str, Relation] = {
    "more": Relation("+", lambda value, n: value + n, "{a} has {n} more {x} than {b}"),
    "fewer": Relation("-", lambda value, n: value - n, "{a} has {n} fewer {x} than {b}"),
    "times": Relation("*", lambda value, n: value * n, "{a} has {n} times as many {x} as {b}"),
    "fraction": Relation("/", lambda value, n: value // n, "{a} has {f} as many {x} as {b}"),
}
# What a closing step computes from two people's values: its sign and its words.
CLOSINGS: dict[str, tuple[str, str]] = {
    "together": ("+", "{a} and {b} together"),
    "difference": ("-", "{a} has more {x} than {b}"),
}

# The closing steps where the facts give no answer.
MISSING = "It is not said how many {x} {a} has."
CONTRADICTED = "{a} has {v} {x}, but it is also said that {a} has {w} {x}."
