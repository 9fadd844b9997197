"""The sentences of ``changes``, and how its steps restate them."""

from __future__ import annotations

from dataclasses import dataclass

LARGEST = 99
SMALLEST = 2  # so that every amount is a plural

# Four wordings of each sentence are learned; the fifth, the last, is kept for the unseen-wording split.
# Where the number is not said, {n} is one of the words of "vague".
WORDINGS: dict[str, tuple[str, ...]] = {
    "start": (
        "{a} has {n} {x}.",
        "{a} starts with {n} {x}.",
        "At first {a} has {n} {x}.",
        "In the beginning {a} has {n} {x}.",
        "{a} owns {n} {x} to begin with.",
    ),
    "now": (
        "Now {a} has {n} {x}.",
        "{a} now has {n} {x}.",
        "After that {a} has {n} {x}.",
        "{a} counts the {x} and now has {n}.",
        "At this point {a} owns {n} {x}.",
    ),
    "buys": (
        "{a} buys {n} more {x}.",
        "Then {a} buys {n} {x}.",
        "{a} goes to a shop and buys {n} more {x}.",
        "Later {a} buys {n} more {x}.",
        "At the market {a} buys {n} more {x}.",
    ),
    "finds": (
        "{a} finds {n} more {x}.",
        "Then {a} finds {n} {x}.",
        "{a} looks around and finds {n} more {x}.",
        "Later {a} finds {n} {x}.",
        "By chance {a} comes across {n} more {x}.",
    ),
    "gets": (
        "{a} gets {n} more {x}.",
        "Then {a} gets {n} {x} as a present.",
        "{a} is given {n} more {x}.",
        "Later {a} gets {n} {x}.",
        "Somebody brings {a} {n} more {x}.",
    ),
    "loses": (
        "{a} loses {n} {x}.",
        "Then {a} loses {n} of the {x}.",
        "On the way home {a} loses {n} {x}.",
        "Later {a} loses {n} {x}.",
        "{a} can no longer find {n} of the {x}.",
    ),
    "sells": (
        "{a} sells {n} {x}.",
        "Then {a} sells {n} of the {x}.",
        "{a} sells {n} {x} to a stranger.",
        "Later {a} sells {n} {x}.",
        "{a} meets a buyer for {n} of the {x} and sells them.",
    ),
    "eats": (
        "{a} eats {n} {x}.",
        "Then {a} eats {n} of the {x}.",
        "For lunch {a} eats {n} {x}.",
        "Later {a} eats {n} {x}.",
        "{a} is hungry and eats up {n} of the {x}.",
    ),
    "gives away": (
        "{a} gives away {n} {x}.",
        "Then {a} gives {n} {x} away.",
        "{a} gives {n} of the {x} to a friend.",
        "Later {a} gives away {n} {x}.",
        "{a} parts with {n} of the {x}.",
    ),
    "gives": (
        "{a} gives {n} {x} to {b}.",
        "{a} gives {b} {n} {x}.",
        "Then {a} gives {n} of the {x} to {b}.",
        "Later {b} gets {n} {x} from {a}.",
        "{a} hands {n} {x} over to {b}.",
    ),
    "gives all": (
        "{a} gives all the {x} to {b}.",
        "{a} gives {b} all the {x}.",
        "Then {b} gets all the {x} of {a}.",
        "Later {a} gives all of the {x} to {b}.",
        "{a} hands every one of the {x} over to {b}.",
    ),
    "doubles": (
        "{a} doubles the number of {x}.",
        "Then {a} doubles the collection of {x}.",
        "{a} ends up with twice as many {x} as before.",
        "Later {a} has twice as many {x} as before.",
        "The {x} of {a} become twice as many.",
    ),
    "triples": (
        "{a} triples the number of {x}.",
        "Then {a} triples the collection of {x}.",
        "{a} ends up with three times as many {x} as before.",
        "Later {a} has three times as many {x} as before.",
        "The {x} of {a} become three times as many.",
    ),
    "halves": (
        "{a} gives half of the {x} away.",
        "Then {a} gives away half of the {x}.",
        "{a} gives half of the {x} to a friend.",
        "Later {a} gives half of all the {x} away.",
        "{a} keeps only half of the {x}.",
    ),
    "vague": ("some", "a few", "several", "many", "quite a few"),
    "ask amount": (
        "How many {x} does {a} have now?",
        "How many {x} does {a} have at the end?",
        "How many {x} does {a} have in the end?",
        "What is the number of {x} that {a} has now?",
        "Find the number of {x} {a} has when all is done.",
    ),
    "ask together": (
        "How many {x} do {a} and {b} have together now?",
        "How many {x} do {a} and {b} have together at the end?",
        "How many {x} do {a} and {b} have in total in the end?",
        "How many {x} do {a} and {b} now have in all?",
        "What is the sum of the {x} of {a} and {b} when all is done?",
    ),
}


@dataclass(frozen=True)
class Side:
    """What a change does to one of the people it names: to ``role``, "a" or "b"."""

    role: str
    sign: str
    restate: str


SIDES: dict[str, tuple[Side, ...]] = {
    "buys": (Side("a", "+", "{a} buys {n} more {x}"),),
    "finds": (Side("a", "+", "{a} finds {n} more {x}"),),
    "gets": (Side("a", "+", "{a} gets {n} more {x}"),),
    "loses": (Side("a", "-", "{a} loses {n} {x}"),),
    "sells": (Side("a", "-", "{a} sells {n} {x}"),),
    "eats": (Side("a", "-", "{a} eats {n} {x}"),),
    "gives away": (Side("a", "-", "{a} gives away {n} {x}"),),
    "gives": (Side("a", "-", "{a} gives {n} {x} to {b}"), Side("b", "+", "{b} gets {n} {x} from {a}")),
    "gives all": (Side("b", "+", "{b} gets all the {x} of {a}"),),
    "doubles": (Side("a", "*", "{a} doubles the number of {x}"),),
    "triples": (Side("a", "*", "{a} triples the number of {x}"),),
    "halves": (Side("a", "/", "{a} gives half of the {x} away"),),
}
GAINS = ("buys", "finds", "gets")
LOSSES = ("loses", "sells", "gives away")
FACTORS = {"doubles": 2, "triples": 3, "halves": 2}
EDIBLE = frozenset(("apples", "cherries", "cookies", "eggs", "lemons", "nuts", "oranges", "pears", "plums"))
TOGETHER = "{a} and {b} together"

# The closing steps where the facts give no answer, and what of a sentence can be left unsaid.
MISSING = "It is not said how many {x} {what}."
UNSAID = {verb: f"{{a}} {verb}" for verb in (*GAINS, *LOSSES, "eats")} | {
    "start": "{a} has at first",
    "gives": "{a} gives to {b}",
}
CONTRADICTED = "{a} has {v} {x}, but it is also said that {a} has {w} {x}."
