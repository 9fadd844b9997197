"""The sentences of ``order``, and how its steps restate them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Adjective:
    """The three forms: "tall", "taller", "tallest"."""

    plain: str
    than: str
    most: str


@dataclass(frozen=True)
class Dimension:
    """What people are compared by, and its two adjectives. A list of people starts with the most."""

    noun: str
    more: Adjective
    less: Adjective

    def word(self, *, more: bool) -> Adjective:
        return self.more if more else self.less


DIMENSIONS = (
    Dimension("height", Adjective("tall", "taller", "tallest"), Adjective("short", "shorter", "shortest")),
    Dimension("age", Adjective("old", "older", "oldest"), Adjective("young", "younger", "youngest")),
    Dimension("speed", Adjective("fast", "faster", "fastest"), Adjective("slow", "slower", "slowest")),
    Dimension(
        "strength", Adjective("strong", "stronger", "strongest"), Adjective("weak", "weaker", "weakest")
    ),
    Dimension("weight", Adjective("heavy", "heavier", "heaviest"), Adjective("light", "lighter", "lightest")),
)

# {w} is "taller", {p} "tall", {s} "tallest", {d} "height".
# Four wordings of each are learned; the fifth, the last, is kept for the unseen-wording split.
WORDINGS: dict[str, tuple[str, ...]] = {
    "fact": (
        "{a} is {w} than {b}.",
        "Compared with {b}, {a} is {w}.",
        "Of {a} and {b}, {a} is the {w} one.",
        "{b} is not as {p} as {a}.",
        "{a} turns out to be {w} than {b}.",
    ),
    "ask compare": (
        "Is {a} {w} than {b}?",
        "Is it true that {a} is {w} than {b}?",
        "Can you tell me if {a} is {w} than {b}?",
        "Is {a} the {w} one compared with {b}?",
        "Would you say that {a} is {w} than {b}?",
    ),
    "ask which": (
        "Who is {w}, {a} or {b}?",
        "Who is the {w} one, {a} or {b}?",
        "Of {a} and {b}, who is {w}?",
        "Which of {a} and {b} is {w}?",
        "Between {a} and {b}, who would be {w}?",
    ),
    "ask first": (
        "Who is the {s}?",
        "Who is the {s} of all?",
        "Which of them is the {s}?",
        "Of them all, who is the {s}?",
        "Name the {s} person.",
    ),
    "ask second": (
        "Who is the second {s}?",
        "Who is the second {s} of all?",
        "Which of them is the second {s}?",
        "Of them all, who is the second {s}?",
        "Name the second {s} person.",
    ),
    "ask group": (
        "Who is the {s} of {a}, {b} and {c}?",
        "Of {a}, {b} and {c}, who is the {s}?",
        "Which of {a}, {b} and {c} is the {s}?",
        "Who is the {s}, {a}, {b} or {c}?",
        "Among {a}, {b} and {c}, who would be the {s}?",
    ),
    "ask middle": (
        "Who is in the middle of {a}, {b} and {c} by {d}?",
        "Of {a}, {b} and {c}, who is in the middle by {d}?",
        "Which of {a}, {b} and {c} is between the other two in {d}?",
        "Who is between the other two in {d}, {a}, {b} or {c}?",
        "If {a}, {b} and {c} line up by {d}, who stands in the middle?",
    ),
}

# How a step restates a fact, and how it joins people, those with the most first.
STATEMENT = "{x} is {w} than {y}"
JOINED = " and "
ABOVE = " > "

# The step that closes the matter, for each question; {x} holds the place that is asked for.
CLOSINGS: dict[str, str] = {
    "compare": STATEMENT + ".",
    "first": "The {s} is {x}.",
    "second": "The second {s} is {x}.",
    "group": "Of {a}, {b} and {c}, the {s} is {x}.",
    "middle": "{x} is between {y} and {z}.",
}
# The same where the facts give no answer.
MISSING: dict[str, str] = {
    "compare": "It is not said whether {a} is {w} than {b}.",
    "first": "It is not said who is the {s}.",
    "second": "It is not said who is the second {s}.",
    "group": "It is not said who is the {s} of {a}, {b} and {c}.",
    "middle": "It is not said who is in the middle of {a}, {b} and {c}.",
}
CONTRADICTED = "{one}, but it is also said that {other}."
