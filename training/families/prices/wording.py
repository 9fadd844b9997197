"""The sentences of ``prices``, and how its steps restate them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from training.families.writing import FRACTIONS, ITEMS

# Things with a price; a price in coins and a coin's price would be confused.
WARES = tuple(item for item in ITEMS if item != "coins")
SINGULARS = {item: {"boxes": "box", "cherries": "cherry"}.get(item, item[:-1]) for item in WARES}


def one(item: str) -> str:
    """One of a kind of things: "a pen"."""
    single = SINGULARS[item]
    return f"{'an' if single[0] in 'aeiou' else 'a'} {single}"


def one_first(item: str) -> str:
    """The same at the start of a sentence: "A pen"."""
    return one(item).capitalize()


def listing(parts: Sequence[str]) -> str:
    """All parts in a row: "pens, cups and books"."""
    *others, last = parts
    return f"{', '.join(others)} and {last}" if others else last


# Four wordings of each kind are learned; the fifth, the last, is kept for the unseen-wording split.
# {a}, {b}: one thing ("a pen"); {A}, {B}: the same at the start; {x}: things ("pens"); {p}: a person.
WORDINGS: dict[str, tuple[str, ...]] = {
    "costs": (
        "{A} costs {n} dollars.",
        "The price of {a} is {n} dollars.",
        "{A} is sold for {n} dollars.",
        "The shop sells {x} for {n} dollars each.",
        "The price tag on {a} says ${n}.",
    ),
    "more": (
        "{A} costs {n} dollars more than {b}.",
        "{A} is {n} dollars more expensive than {b}.",
        "The price of {a} is {n} dollars more than the price of {b}.",
        "Compared with {b}, {a} costs {n} dollars more.",
        "For {a} the shop asks ${n} more than for {b}.",
    ),
    "less": (
        "{A} costs {n} dollars less than {b}.",
        "{A} is {n} dollars cheaper than {b}.",
        "The price of {a} is {n} dollars less than the price of {b}.",
        "Compared with {b}, {a} costs {n} dollars less.",
        "For {a} the shop asks ${n} less than for {b}.",
    ),
    "times": (
        "{A} costs {k} as much as {b}.",
        "{A} is {k} as expensive as {b}.",
        "The price of {a} is {k} the price of {b}.",
        "Compared with {b}, {a} costs {k} as much.",
        "For {a} the shop asks {k} as much as for {b}.",
    ),
    "fraction": (
        "{A} costs {f} as much as {b}.",
        "{A} is {f} as expensive as {b}.",
        "The price of {a} is {f} of the price of {b}.",
        "Compared with {b}, {a} costs {f} as much.",
        "For {a} the shop asks {f} as much as for {b}.",
    ),
    "buys": (
        "{p} buys {g}.",
        "{p} gets {g} at the shop.",
        "{p} puts {g} in the basket.",
        "{p} takes {g} to the till.",
        "{p} has {g} in the shopping cart.",
    ),
    "off": (
        "{p} gets {n} dollars off.",
        "{p} has a coupon for {n} dollars off.",
        "The shop takes {n} dollars off for {p}.",
        "The shop gives {p} a discount of {n} dollars.",
        "A voucher saves {p} ${n}.",
    ),
    "pays": (
        "{p} pays {n} dollars in all.",
        "{p} spends {n} dollars in all.",
        "In all, {p} pays {n} dollars.",
        "Everything together costs {p} {n} dollars.",
        "The whole purchase costs {p} ${n}.",
    ),
    "note": (
        "{p} pays with a {n} dollar note.",
        "{p} hands over a {n} dollar note.",
        "{p} gives the cashier {n} dollars.",
        "{p} pays with a note of {n} dollars.",
        "{p} puts a ${n} bill on the counter.",
    ),
    "ask price": (
        "How much does {a} cost?",
        "What does {a} cost?",
        "What is the price of {a}?",
        "How many dollars does {a} cost?",
        "Find the price of {a}.",
    ),
    "ask difference": (
        "How much more does {a} cost than {b}?",
        "How many dollars more does {a} cost than {b}?",
        "By how much is {a} more expensive than {b}?",
        "How much cheaper is {b} than {a}?",
        "Find the difference between the prices of {a} and {b}.",
    ),
    "ask cost": (
        "How much do {p}'s {x} cost?",
        "How much does {p} pay for the {x}?",
        "How many dollars do {p}'s {x} cost?",
        "What do {p}'s {x} cost?",
        "Find the cost of {p}'s {x}.",
    ),
    "ask pay": (
        "How much does {p} pay?",
        "How much does {p} have to pay?",
        "How many dollars does {p} pay?",
        "What does {p} pay in all?",
        "Find the sum that {p} has to pay.",
    ),
    "ask change": (
        "How much change does {p} get?",
        "How many dollars does {p} get back?",
        "How much money does {p} get back?",
        "What is {p}'s change?",
        "Find the change that {p} is given.",
    ),
}


@dataclass(frozen=True)
class Relation:
    """How a relation turns its reference's price into its subject's, and how a step restates it."""

    sign: str
    apply: Callable[[int, int], int]
    restate: str

    def statement(self, item: str, amount: int, reference: str) -> str:
        fraction = FRACTIONS.get(amount, "")
        return self.restate.format(A=one_first(item), n=amount, f=fraction, b=one(reference))


RELATIONS: dict[str, Relation] = {
    "more": Relation("+", lambda value, n: value + n, "{A} costs {n} dollars more than {b}"),
    "less": Relation("-", lambda value, n: value - n, "{A} costs {n} dollars less than {b}"),
    "times": Relation("*", lambda value, n: value * n, "{A} costs {n} times as much as {b}"),
    "fraction": Relation("/", lambda value, n: value // n, "{A} costs {f} as much as {b}"),
}

# How the other steps begin. TOGETHER's {g} is a listing of things.
COST = "{p}'s {n} {x} cost"
TOGETHER = "{p}'s {g} together"
OFF = "{p} gets {n} dollars off"
CHANGE = "{p}'s change from {n}"
DIFFERENCE = "{A} costs more than {b}"

# The closing steps where the facts give no answer, by what is missing or told twice.
MISSING = {
    "price": "It is not said what {a} costs.",
    "count": "It is not said how many {x} {p} buys.",
    "note": "It is not said what note {p} pays with.",
}
CONTRADICTED = {
    "price": "{A} costs {v} dollars, but it is also said that {a} costs {w} dollars.",
    "pays": "{p} pays {v} dollars, but it is also said that {p} pays {w} dollars.",
}
