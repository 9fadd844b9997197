"""``python -m benchmarks.familiarity``: which questions are noticed to be unlike those of the training.

At the threshold stored with the head of a sage-pico: the share of test questions that are called unfamiliar,
by kind of shift. Wording is what it detects; a missing or contradictory fact is the answer's business.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random

from benchmarks.evaluation import DEFAULT_SEED, draw
from benchmarks.pico import ROWS, shipped_model
from benchmarks.record import RECORDS, print_table, write_record
from mch_runtime.errors import UsageError
from mch_runtime.evaluation.metrics import wilson
from mch_runtime.familiarity import read_questions
from training.families.writing import NAMES
from training.head import prompts

STRANGE_NAMES = ("Zbigniew", "Xanthippe", "Quetzalcoatl", "Ngozi", "Bjork", "Oyelaran", "Wolfgang", "Siobhan")
STRANGE_WORDS = (
    "gyroscopes",
    "kumquats",
    "zithers",
    "theodolites",
    "quinoa",
    "obelisks",
    "yurts",
    "vuvuzelas",
)
FOREIGN = (
    "Anna hat 5 Birnen. Ben hat 3 Birnen mehr als Anna. Wie viele Birnen hat Ben?",
    "Marie a 4 pommes. Paul en a deux fois plus. Combien de pommes a Paul ?",
    "Lucia tiene 7 naranjas y regala 2. \u00bfCu\u00e1ntas naranjas le quedan?",
    "What is the capital of France?",
    "Write a poem about the sea.",
    "Explain how a transformer attends to its input.",
    "asdf qwer zxcv 12 lkjh poiu",
    "Is 91 a prime number?",
    "Solve x^2 - 5x + 6 = 0.",
    "Tell me a joke about cats, please.",
    "import numpy as np; print(np.zeros(3))",
    "Who was the first person on the moon?",
)

Shift = Callable[[str, Random], str]


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.familiarity", description=__doc__)
    parser.add_argument("--model", type=Path, help="a GGUF with its head (default: the embedded one)")
    parser.add_argument("--problems", type=int, default=1000, help="of each kind of shift")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED)
    parser.add_argument("--records", type=Path, default=RECORDS, help="where the record goes")
    arguments = parser.parse_args(argv)
    table = {}
    with shipped_model(arguments.model) as (session, head):
        rule = head.spec.familiarity
        if rule is None:
            raise UsageError("the head has no threshold of familiarity", hint="fit it again")
        for name, questions in shifted(arguments.problems, arguments.seed):
            scores = list(read_questions(session, prompts(session, questions), window=rule.window, rows=ROWS))
            table[name] = wilson(sum(score < rule.threshold for score in scores), len(scores)), len(scores)
    print_table(
        f"Called unfamiliar, % with 95 % intervals (threshold {rule.threshold:.2f}, window {rule.window})",
        ["shift", "n", "unfamiliar"],
        [[name, str(count), share.percent] for name, (share, count) in table.items()],
    )
    results = {
        "model": arguments.model.name if arguments.model else "the embedded one",
        "problems": arguments.problems,
        "seed": arguments.seed,
        "threshold": round(rule.threshold, 4),
        "window": rule.window,
        "unfamiliar": {name: share.plain() | {"n": count} for name, (share, count) in table.items()},
    }
    print(f"\nrecord: {write_record('familiarity', results, directory=arguments.records)}")


def shifted(count: int, seed: int) -> Iterator[tuple[str, list[str]]]:
    """Questions of the test split by kind of shift; what a shift leaves as it is, is left out."""
    sets = {
        "none": "mixed",
        "casual phrasing": "casual",
        "longer than trained": "test-length",
        "missing fact": "unanswerable",
        "contradiction": "contradictory",
        "unseen wording": "test-wording",
    }
    for name, chosen in sets.items():
        yield name, [problem.question for problem in draw(chosen, count=count, seed=seed)]
    plain = [problem.question for problem in draw("easy", count=count, seed=seed)]
    for name, shift in SHIFTS.items():
        rng = Random(f"{seed}/{name}")
        changed = [shift(question, rng) for question in plain]
        yield name, [new for old, new in zip(plain, changed, strict=True) if new != old]
    yield "other languages, other requests", list(FOREIGN)


def absent_entity(question: str, rng: Random) -> str:
    """The last sentence asks about somebody of whom the others say nothing, by a name of the training."""
    facts, _, last = question.rpartition(". ")
    asked = [name for name in names_of(last) if name in names_of(facts)]
    others = [name for name in NAMES if name not in names_of(question)]
    if not asked or not others:
        return question
    return f"{facts}. {last.replace(rng.choice(asked), rng.choice(others))}"


def unknown_name(question: str, rng: Random) -> str:
    """One person has a name that no training question has."""
    names = [name for name in names_of(question) if name in NAMES]
    return question.replace(rng.choice(names), rng.choice(STRANGE_NAMES)) if names else question


def unknown_word(question: str, rng: Random) -> str:
    """One word of five letters or more becomes a thing that no training question has."""
    words = sorted(
        {word for word in question.split() if len(word) >= 5 and word.isalpha() and word.islower()}
    )
    return question.replace(rng.choice(words), rng.choice(STRANGE_WORDS)) if words else question


def shuffled(question: str, rng: Random) -> str:
    """The same words in any order."""
    words = question.split()
    rng.shuffle(words)
    return " ".join(words)


def names_of(text: str) -> list[str]:
    """Known names in a text, in order."""
    words = [word.strip(".,?!").removesuffix("'s") for word in text.split()]
    return [word for word in words if word in NAMES]


SHIFTS: dict[str, Shift] = {
    "absent entity": absent_entity,
    "unknown name": unknown_name,
    "unknown word": unknown_word,
    "shuffled words": shuffled,
}

if __name__ == "__main__":
    main()
