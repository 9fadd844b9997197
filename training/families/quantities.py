"""``quantities``: who owns how many, told by relations between people.

    Jane has 2 apples. Hugo has four times as many apples as Jane. How many apples does Hugo have?

    Step 1: Hugo has 4 times as many apples as Jane: 2 * 4 = 8.
    Answer: 8

Every step restates the relation it uses, which gives the inverse direction more to hold on to.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random

from training.problems import (
    ANSWER_PREFIX,
    ChainLabels,
    Level,
    Problem,
    SolutionStep,
    Split,
    labels_from_reasons,
    split_of,
)

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
ARITHMETIC: dict[str, Callable[[int, int], float]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b if b else float("nan"),
}


@dataclass(frozen=True)
class Fact:
    """One sentence: ``subject`` owns ``amount`` ("is"), or stands in a relation to ``reference``."""

    subject: str
    relation: str
    amount: int
    reference: str = ""


@dataclass(frozen=True)
class Content:
    """The problem behind the words."""

    item: str
    facts: tuple[Fact, ...]
    asks: str
    of: tuple[str, ...]

    def values(self) -> dict[str, int]:
        """Everybody's true value."""
        values: dict[str, int] = {}
        pending = list(self.facts)
        while pending:
            fact = next(f for f in pending if f.relation == "is" or f.reference in values)
            pending.remove(fact)
            values[fact.subject] = (
                fact.amount
                if fact.relation == "is"
                else RELATIONS[fact.relation].apply(values[fact.reference], fact.amount)
            )
        return values


EQUATION = re.compile(r"(?P<words>.+): (?P<a>\d+) (?P<sign>[-+*/]) (?P<b>\d+) = (?P<c>\d+)\.")
NUMBERED = re.compile(r"Step \d+: (?P<body>.*)")


class Quantities:
    """The family of the first cut."""

    name = "quantities"

    def problem(self, rng: Random, *, level: Level, steps: int, unseen_wording: bool) -> Problem:
        """A problem with ``steps`` steps, in story order unless ``level`` says otherwise."""
        content = _content(rng, steps)
        distractors = () if level == "easy" else _distractors(rng, content)
        return _write(rng, content, level=level, distractors=distractors, unseen_wording=unseen_wording)

    def judge(self, problem: Problem, lines: Sequence[str]) -> ChainLabels:
        """Label every line against the facts and the chain's own earlier values."""
        assert isinstance(problem.content, Content)
        return _Judge(problem.content, problem.answer).judge(lines)


def split(problem: Problem) -> Split:
    """The split that owns this problem's names and numbers."""
    content = problem.content
    assert isinstance(content, Content)
    return split_of(repr([(f.subject, f.amount) for f in content.facts]))


def _content(rng: Random, steps: int) -> Content:
    """A chain of relations of which every link is needed for the answer."""
    asks = rng.choice(("amount", "amount", "together", "difference")) if steps > 1 else "amount"
    links = steps if asks == "amount" else steps - 1
    while True:
        people = rng.sample(NAMES, links + 1)
        value = rng.randint(2, 30)
        facts = [Fact(people[0], "is", value)]
        values = [value]
        for before, name in pairwise(people):
            link = _link(rng, values[-1])
            if link is None:
                break
            relation, amount = link
            facts.append(Fact(name, relation, amount, before))
            values.append(RELATIONS[relation].apply(values[-1], amount))
        else:
            of: tuple[str, ...] = (people[-1],)
            if asks != "amount":
                other = rng.randrange(links)
                of = (people[other], people[-1])
                if asks == "difference":
                    if values[other] == values[-1]:
                        continue
                    of = of if values[other] > values[-1] else of[::-1]
            return Content(item=rng.choice(ITEMS), facts=tuple(facts), asks=asks, of=of)


def _link(rng: Random, value: int) -> tuple[str, int] | None:
    """A relation that keeps the next value a whole number within 1..LARGEST."""
    relation = rng.choice(tuple(RELATIONS))
    amounts = {
        "more": [n for n in range(2, 21) if value + n <= LARGEST],
        "fewer": [n for n in range(2, 21) if value - n >= 1],
        "times": [n for n in range(2, 7) if value * n <= LARGEST],
        "fraction": [n for n in FRACTIONS if value % n == 0],
    }[relation]
    return (relation, rng.choice(amounts)) if amounts else None


def _distractors(rng: Random, content: Content) -> tuple[Fact, ...]:
    """One or two facts about other people that the answer does not need."""
    used = {fact.subject for fact in content.facts}
    others = rng.sample([name for name in NAMES if name not in used], rng.choice((1, 2)))
    values = content.values()
    facts: list[Fact] = []
    for name in others:
        reference = rng.choice(sorted(values))
        link = _link(rng, values[reference])
        facts.append(Fact(name, "is", rng.randint(2, 30)) if link is None else Fact(name, *link, reference))
    return tuple(facts)


def _write(
    rng: Random, content: Content, *, level: Level, distractors: tuple[Fact, ...], unseen_wording: bool
) -> Problem:
    """Put the problem into words, with its solution."""

    def pick(kind: str) -> str:
        wordings = WORDINGS[kind]
        return wordings[-1] if unseen_wording else rng.choice(wordings[:-1])

    def sentence(fact: Fact) -> str:
        return pick(fact.relation).format(
            a=fact.subject,
            b=fact.reference,
            n=fact.amount,
            k=_times(rng, fact.amount),
            f=FRACTIONS.get(fact.amount, ""),
            x=content.item,
        )

    told = list(content.facts)
    for distractor in distractors:
        told.insert(rng.randint(1, len(told)), distractor)
    if level != "easy" and rng.random() < 0.5:
        rng.shuffle(told)
    told_content = Content(content.item, tuple(told), content.asks, content.of)
    sentences = tuple(sentence(fact) for fact in told)
    asked = dict(zip("ab", content.of, strict=False))
    ask = pick(f"ask {content.asks}").format(x=content.item, **asked)
    steps = _solve(content, {fact: index for index, fact in enumerate(told)})
    answer = EQUATION.fullmatch(steps[-1].text)
    assert answer is not None
    return Problem(
        family=Quantities.name,
        level=level,
        question=" ".join((*sentences, ask)),
        facts=sentences,
        steps=steps,
        answer=answer["c"],
        content=told_content,
    )


def _times(rng: Random, amount: int) -> str:
    """A factor in words: "twice", "three times" or "3 times"."""
    if amount == 2 and rng.random() < 0.7:
        return "twice"
    word = NUMBER_WORDS.get(amount, str(amount))
    return f"{word if rng.random() < 0.6 else amount} times"


def _solve(content: Content, place: dict[Fact, int]) -> tuple[SolutionStep, ...]:
    """The exact solution: one step per relation, then the closing step if there is one."""
    values: dict[str, int] = {}
    source: dict[str, int] = {}  # whose value comes from which step
    given: dict[str, int] = {}  # whose value comes from which fact
    steps: list[SolutionStep] = []

    def add(words: str, sign: str, a: int, b: int, c: int, people: Sequence[str], fact: int | None) -> None:
        facts = [given[p] for p in people if p in given] + ([fact] if fact is not None else [])
        steps.append(
            SolutionStep(
                text=f"{words}: {a} {sign} {b} = {c}.",
                facts=tuple(sorted(facts)),
                steps=tuple(sorted(source[p] for p in people if p in source)),
            )
        )

    for fact in content.facts:
        if fact.relation == "is":
            values[fact.subject] = fact.amount
            given[fact.subject] = place[fact]
            continue
        relation = RELATIONS[fact.relation]
        before = values[fact.reference]
        after = relation.apply(before, fact.amount)
        words = relation.statement(fact.subject, fact.amount, fact.reference, content.item)
        add(words, relation.sign, before, fact.amount, after, [fact.reference], place[fact])
        values[fact.subject] = after
        source[fact.subject] = len(steps) - 1
    if content.asks in CLOSINGS:
        sign, pattern = CLOSINGS[content.asks]
        a, b = content.of
        words = pattern.format(a=a, b=b, x=content.item)
        total = round(ARITHMETIC[sign](values[a], values[b]))
        add(words, sign, values[a], values[b], total, content.of, None)
    return tuple(steps)


class _Judge:
    """Reads a chain line by line, keeping the values that the chain itself has stated."""

    def __init__(self, content: Content, answer: str) -> None:
        self.content = content
        self.answer = answer
        self.values = {f.subject: f.amount for f in content.facts if f.relation == "is"}
        self.result: int | None = None

    def judge(self, lines: Sequence[str]) -> ChainLabels:
        has_answer = bool(lines) and lines[-1].startswith(ANSWER_PREFIX)
        steps = lines[:-1] if has_answer else lines
        reasons = [self._step(line) for line in steps]
        if not has_answer:
            return labels_from_reasons(reasons, has_answer=False, answer_right=False)
        said = lines[-1].removeprefix(ANSWER_PREFIX).strip()
        reasons.append("" if self._follows(said) else "does not follow from the steps")
        return labels_from_reasons(reasons, has_answer=True, answer_right=said == self.answer)

    def _follows(self, said: str) -> bool:
        if self.content.asks == "amount":
            return said == str(self.values.get(self.content.of[0]))
        return self.result is not None and said == str(self.result)

    def _step(self, line: str) -> str:
        """Why the step is not valid, or "" if it is."""
        numbered = NUMBERED.fullmatch(line)
        parsed = EQUATION.fullmatch(numbered["body"]) if numbered else None
        if parsed is None:
            return "not a step"
        a, b, c = int(parsed["a"]), int(parsed["b"]), int(parsed["c"])
        right = ARITHMETIC[parsed["sign"]](a, b) == c
        words, sign = parsed["words"], parsed["sign"]
        for reason in (self._relation(words, sign, a, b, c), self._closing(words, sign, a, b, c)):
            if reason is not None:
                return reason or ("" if right else "wrong arithmetic")
        return "invented fact"

    def _relation(self, words: str, sign: str, a: int, b: int, c: int) -> str | None:
        """Judge a step that restates a fact; None if no fact reads like this."""
        for fact in self.content.facts:
            relation = RELATIONS.get(fact.relation)
            if relation is None:
                continue
            if words != relation.statement(fact.subject, fact.amount, fact.reference, self.content.item):
                continue
            known = self.values.get(fact.reference)
            self.values[fact.subject] = c
            return "" if sign == relation.sign and a == known and b == fact.amount else "wrong operand"
        return None

    def _closing(self, words: str, sign: str, a: int, b: int, c: int) -> str | None:
        """Judge a step that adds or compares two people; None if it does neither."""
        people = {fact.subject for fact in self.content.facts}
        for asks, (closing_sign, pattern) in CLOSINGS.items():
            regex = re.escape(pattern).replace(r"\{a\}", "(?P<a>.+)").replace(r"\{b\}", "(?P<b>.+)")
            match = re.fullmatch(regex.replace(r"\{x\}", re.escape(self.content.item)), words)
            if match is None or not {match["a"], match["b"]} <= people:
                continue
            if asks == self.content.asks and {match["a"], match["b"]} == set(self.content.of):
                self.result = c
            values = (self.values.get(match["a"]), self.values.get(match["b"]))
            return "" if sign == closing_sign and values == (a, b) else "wrong operand"
        return None
