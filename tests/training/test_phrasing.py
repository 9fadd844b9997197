"""Casual wordings change the text alone, and leave nothing out that the sentence before does not say."""

from __future__ import annotations

import json
import re
from collections import Counter
from functools import cache
from importlib import import_module
from itertools import islice
from pathlib import Path
from random import Random
from typing import get_args

import pytest

from training.curriculum import Mixture, problems
from training.families import FAMILIES
from training.families.writing import ITEMS, NAMES, match_pattern
from training.phrasing import casual
from training.phrasing.voice import MEN, WORDS
from training.problems import Kind, Level, Problem

NEWCOMERS = Path(__file__).parents[2] / "benchmarks" / "newcomers.jsonl"
NUMBERS = {word: str(number) for number, word in WORDS.items()}
# What is said with a number in one wording and without it in another.
FACTORS = {"twice": "2", "doubles": "2", "doubled": "2", "double": "2", "triples": "3", "tripled": "3"} | {
    "triple": "3"
}


@cache
def pairs(name: str) -> tuple[tuple[Problem, Problem], ...]:
    """Problems of a family in every kind and level, with their casual twins."""
    rng = Random(f"pairs/{name}")
    found = []
    for kind in get_args(Kind):
        for level in get_args(Level):
            for _ in range(120):
                problem = FAMILIES[name].problem(
                    rng, level=level, steps=rng.randint(1, 5), kind=kind, unseen_wording=False
                )
                found.append((problem, casual(problem, rng)))
    return tuple(found)


def numbers(text: str) -> set[str]:
    """Every number that is said, as digits."""
    words = re.findall(r"[a-z]+|\d+", text.lower())
    return {(NUMBERS | FACTORS).get(word, word) for word in words} & {str(n) for n in range(2, 1000)}


def names(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", text.lower())) & {name.lower() for name in NAMES}


def sentences(question: str) -> list[str]:
    return [part if part[-1] in ".?" else f"{part}?" for part in re.split(r"(?<=[.?]) ", question)]


families = pytest.mark.parametrize("name", FAMILIES)


@families
def test_nothing_but_the_text_changes(name: str) -> None:
    for problem, other in pairs(name):
        assert (other.solution, other.answer, other.key) == (problem.solution, problem.answer, problem.key)
        assert (other.kind, other.level, other.steps) == (problem.kind, problem.level, problem.steps)
        assert other.content == problem.content
        assert len(other.facts) == len(problem.facts)


@families
def test_the_solution_is_still_judged_right(name: str) -> None:
    for _, other in pairs(name):
        labels = FAMILIES[name].judge(other, other.solution.splitlines())
        assert labels.answer
        assert all(step.valid for step in labels.steps)


@families
def test_the_same_seed_says_the_same(name: str) -> None:
    for problem, _ in pairs(name)[::20]:
        assert casual(problem, Random(3)) == casual(problem, Random(3))


@families
def test_numbers_and_names_are_all_said(name: str) -> None:
    for problem, other in pairs(name):
        # In "order" only questions have one: "between the other two".
        if name != "order":
            assert numbers(problem.question) == numbers(other.question), (problem.question, other.question)
        assert names(problem.question) == names(other.question), (problem.question, other.question)


@families
def test_facts_say_the_numbers_of_the_facts_they_stand_for(name: str) -> None:
    for problem, other in pairs(name):
        for one, twin in zip(problem.facts, other.facts, strict=True):
            assert numbers(one) == numbers(twin), (one, twin)
            assert names(twin) <= names(one), (one, twin)


@families
def test_print(name: str) -> None:
    for _, other in pairs(name):
        question = other.question
        assert not re.search(r"  | [.,?]|[{}]", question), question
        assert question.strip() == question
        assert not re.search(rf"\b(1|one) ({'|'.join(ITEMS)})\b", question, re.IGNORECASE), question
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", question), question
        assert question == question.lower() or all(part[0].isupper() for part in sentences(question))


@families
def test_held_out_wordings_stay_unseen(name: str) -> None:
    table = import_module(f"training.families.{name}.wording").WORDINGS
    held_out = [options[-1] for kind, options in table.items() if kind != "vague"]
    for _, other in pairs(name):
        for sentence in (*other.facts, *sentences(other.question)):
            for pattern in held_out:
                assert match_pattern(pattern, sentence) is None, sentence
                assert not re.fullmatch(re.sub(r"\\{\w+\\}", ".+", re.escape(pattern)), sentence), sentence
    assert all("quite a few" not in other.question for _, other in pairs(name))


@families
def test_wordings_vary(name: str) -> None:
    problem, _ = pairs(name)[5]
    rng = Random(0)
    assert len({casual(problem, rng).question for _ in range(100)}) > 20


def test_a_reference_is_left_out_only_behind_its_amount() -> None:
    relative = re.compile(r"(more|fewer|less)( [a-z]+)?$|as many( [a-z]+)?$")
    for problem, other in pairs("quantities"):
        for index, fact in enumerate(other.facts):
            if relative.search(fact.removesuffix(".")):
                told = problem.content.facts  # type: ignore[attr-defined]
                assert told[index - 1].relation == "is"
                assert told[index - 1].subject == told[index].reference


def test_a_pronoun_means_somebody_of_the_sentence_before() -> None:
    for _, other in pairs("order"):
        for before, fact in zip(other.facts, other.facts[1:], strict=False):
            found = re.search(r"\b(he|him|she|her)\b", fact.lower())
            if found is not None:
                man = found[1] in ("he", "him")
                people = [name for name in re.findall(r"[A-Z][a-z]+", before) if (name in MEN) == man]
                assert len(set(people) & set(NAMES)) <= 1 or before.split()[0] in ("He", "She")


def test_every_name_of_a_man_is_a_name() -> None:
    assert set(NAMES) >= MEN


def test_a_mixture_rephrases_its_share_and_no_other_stream_changes() -> None:
    plain, *others = (
        list(islice(problems(Mixture(casual=share), split_name="train", seed=0), 400))
        for share in (0, 0.5, 1)
    )
    canonical = re.compile(r"(starts with|Compared with|keeps|What is the number)")
    counts = Counter(bool(canonical.search(problem.question)) for problem in others[1])
    assert not counts[True]
    assert sum(bool(canonical.search(problem.question)) for problem in others[0]) > 0
    assert plain == list(islice(problems(Mixture(), split_name="train", seed=0), 400))


def test_a_stranger_is_refused() -> None:
    problem, _ = pairs("order")[0]
    stranger = Problem(**{**vars(problem), "content": object()})
    with pytest.raises(TypeError, match="no casual phrasing"):
        casual(stranger, Random(0))


def newcomers() -> list[dict[str, str]]:
    return [json.loads(line) for line in NEWCOMERS.read_text().splitlines()]


def test_the_newcomers_questions_are_well_formed() -> None:
    rows = newcomers()
    assert len(rows) >= 30
    assert all(set(row) == {"question", "answer"} and all(row.values()) for row in rows)
    assert len({re.sub(r"[A-Z]\w+|\d+", "_", row["question"]) for row in rows}) == len(rows)
    assert 2 <= sum(row["answer"] == "unknown" for row in rows) <= 5


def test_the_newcomers_questions_are_no_training_texts() -> None:
    stream = problems(Mixture(tuple(FAMILIES), casual=1.0), split_name="train", seed=11)
    seen = {problem.question.lower().rstrip("?") for problem in islice(stream, 3000)}
    assert not seen & {row["question"].lower().rstrip("?") for row in newcomers()}


def test_the_newcomers_questions_use_no_held_out_wording() -> None:
    for name in FAMILIES:
        table = import_module(f"training.families.{name}.wording").WORDINGS
        for options in table.values():
            pattern = re.sub(r"\\{\w+\\}", ".+", re.escape(options[-1]))
            for row in newcomers():
                assert not any(re.fullmatch(pattern, part) for part in sentences(row["question"]))
