from __future__ import annotations

from itertools import islice
from random import Random

import pytest

from training.corpus import build_corpus, train_tokenizer
from training.curriculum import Mixture, Phase, phase_problems
from training.dialect import Mix, check, example, reflection
from training.overlap import corpus_questions, short_hash, structure, words

PHASES = (Phase(1.0, ((1.0, Mixture()),)),)


def test_questions_are_read_back_from_every_kind_of_example() -> None:
    tokenizer = train_tokenizer(PHASES, seed=0, vocab_size=400, documents=200)
    for mix in (Mix(), Mix(forward=0, forced=0, inverse=0, check=0.5, reflection=0.5)):
        corpus = build_corpus(PHASES, tokenizer, seed=3, tokens=1000, mix=mix)
        told = islice(phase_problems(PHASES[0], seed=3), len(corpus))
        assert list(corpus_questions(corpus, tokenizer)) == [problem.question for problem in told]


def test_a_corpus_of_another_tokenizer_is_refused() -> None:
    tokenizer = train_tokenizer(PHASES, seed=0, vocab_size=400, documents=200)
    other = train_tokenizer(PHASES, seed=0, vocab_size=300, documents=200)
    corpus = build_corpus(PHASES, tokenizer, seed=3, tokens=1000, mix=Mix())
    with pytest.raises(ValueError, match="without a question"):
        list(corpus_questions(corpus, other))


def test_every_kind_of_example_names_its_question_first() -> None:
    problem = next(phase_problems(PHASES[0], seed=1))
    rng = Random(0)
    for made in (check(problem, rng), reflection(problem, rng), example(problem, rng, Mix())):
        assert (made.context + made.target).count(f"<|user|>{problem.question}") == 1


def test_words_are_all_that_counts() -> None:
    assert words("Ben has 4 apples.  How many?") == words("ben has 4 apples, how many")
    assert words("Ben has 4 apples.") != words("Ben has 5 apples.")


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("Ben has 4 apples. Anna has 2 more.", "Zoe has twelve pens. Leo has three more.", True),
        ("Ben has 4 apples. Anna has 4 more.", "Ben has 4 apples. Anna has 2 more.", True),
        ("A cherry costs 3 dollars.", "An egg costs 18 dollars.", True),
        ("Ben has half as many. He pays.", "Anna has half as many. She pays.", True),
        ("Ben is taller than Anna. Is Ben tall?", "Ben is taller than Anna. Is Anna tall?", False),
        ("Ben has 4 apples. Anna has 2 more.", "Ben has 4 apples. Anna has 2 fewer.", False),
        ("4 pens and 2 cups: how many pens?", "4 pens and 2 cups: how many cups?", False),
    ],
)
def test_structures_leave_out_names_things_and_numbers(one: str, other: str, alike: bool) -> None:
    assert (structure(one) == structure(other)) is alike


def test_a_hash_has_eight_bytes_and_never_changes() -> None:
    assert short_hash("Ben has 4 apples") == short_hash("Ben has 4 apples") < 1 << 64
    assert short_hash("Ben has 4 apples") != short_hash("Ben has 5 apples")
