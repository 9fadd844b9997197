"""Places that a step can rest on, what is lost without them, and which of them are named."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from mch_runtime.inverse.ablation import Ablation, ablate, mean_loss
from mch_runtime.inverse.premises import find_premises, gather_evidence, shares
from mch_runtime.inverse.reading import Read, read_chain, text_ends
from mch_runtime.inverse.segment import segments, sentences
from mch_runtime.inverse.sources import content, find_places
from mch_runtime.llama.context import open_session
from mch_runtime.llama.model import LlamaModel, open_model
from mch_runtime.llama.taps import LlamaAttention
from mch_runtime.options import EngineOptions
from mch_runtime.prompting import make_prompt, plain_tokens
from mch_runtime.session import Block, Feed, Interrupt, Session
from mch_runtime.statistics import token_statistics
from prompts.dialects import shipped
from sage_cli.assets import DEFAULT_MODEL
from tests.fake_session import FakeSession

QUESTION = (
    "Ben has 4 apples. Zoe has 9 apples. Anna has three times as many apples as Ben. "
    "Tom has 5 more apples than Anna. How many apples does Tom have?"
)
CHAIN = (
    "Step 1: Anna has 3 times as many apples as Ben: 4 * 3 = 12.\n"
    "Step 2: Tom has 5 more apples than Anna: 12 + 5 = 17.\n"
    "Answer: 17"
)
DIALECT = shipped()["sage-pico"]


@contextmanager
def reading(session: Session, *, question: str = QUESTION, chain: str = CHAIN) -> Iterator[Read]:
    token_ids = plain_tokens(session.vocabulary, chain)
    text, _ = text_ends(session.vocabulary, token_ids)
    prompt = make_prompt(session.vocabulary, DIALECT, [{"role": "user", "content": question}])
    found = segments(text, dialect=DIALECT)
    with read_chain(session, prompt=prompt, token_ids=token_ids, segments=found, head=None) as read:
        yield read


def written(session: Session, read: Read, tokens: tuple[int, int]) -> str:
    whole = [*read.prompt.token_ids, *read.token_ids][slice(*tokens)]
    return text_ends(session.vocabulary, whole)[0]


@pytest.fixture
def fake() -> FakeSession:
    return FakeSession({}, n_ctx=4096)


def test_places_are_what_they_say(fake: FakeSession) -> None:
    with reading(fake, question=f"  {QUESTION}\n") as read:
        places = find_places(fake.vocabulary, read, question=f"  {QUESTION}\n", sentences=told(2))
        assert [place.text for place in places] == [
            "Ben has 4 apples.",
            "Zoe has 9 apples.",
            "Anna has three times as many apples as Ben.",
            "Tom has 5 more apples than Anna.",
            *CHAIN.split("\n"),
        ]
        assert all(written(fake, read, place.tokens).strip() == place.text for place in places)
        assert [written(fake, read, content(read, step)) for step in range(3)] == [
            " has 3 times as many apples as Ben: 4 * 3 = 12.\n",
            " has 5 more apples than Anna: 12 + 5 = 17.\n",
            " 17",
        ]


def told(shift: int = 0) -> list[tuple[int, int]]:
    return [(first + shift, last + shift) for first, last in sentences(QUESTION)]


def test_a_question_of_one_sentence_is_a_place(fake: FakeSession) -> None:
    question = "How many apples do Ben's 4 apples and Zoe's 9 apples make?"
    with reading(fake, question=question) as read:
        places = find_places(fake.vocabulary, read, question=question, sentences=sentences(question))
    assert [place.text for place in places[:1]] == [question]


def test_a_question_that_the_prompt_does_not_show_has_no_places(fake: FakeSession) -> None:
    with reading(fake) as read:
        places = find_places(fake.vocabulary, read, question="Another one. Or two.", sentences=[(0, 12)])
    assert {place.source for place in places} == {"step"}


def test_ablation_equals_reading_what_is_left(fake: FakeSession) -> None:
    with reading(fake) as read:
        places = find_places(fake.vocabulary, read, question=QUESTION, sentences=told())
        chain, end = len(read.prompt.token_ids), read.length(len(read.token_ids))
        cases = [(places[0],), (places[4],), (places[1], places[3], places[4])]
        asked = [Ablation(removed=tuple(p.tokens for p in case), until=end - 3) for case in cases]
        for ablation, lost in zip(asked, ablate(fake, read, asked), strict=True):
            assert np.allclose(lost, slow_losses(fake, read, ablation), atol=1e-4, equal_nan=True)
            assert np.isnan(lost[-3:]).all()
            assert not np.isnan(lost[max(p[1] for p in ablation.removed) - chain : -3]).any()


def slow_losses(session: Session, read: Read, ablation: Ablation) -> np.ndarray:
    whole = [*read.prompt.token_ids, *read.token_ids]
    chain = len(read.prompt.token_ids)
    left = [i for i in range(ablation.until) if not any(a <= i < b for a, b in ablation.removed)]
    rows: list[np.ndarray] = []

    def keep(block: Block) -> None:
        rows.extend(block.logits.copy())

    with session.branch() as branch:
        session.decode([Feed(branch, [whole[i] for i in left])], keep)
    lost = np.full(len(read.token_ids), np.nan)
    for before, i in enumerate(left[1:]):
        if i >= max(chain, ablation.removed[0][1]):
            after = token_statistics(rows[before], whole[i]).logprob
            lost[i - chain] = read.statistics[i - chain].logprob - after
    return lost


def test_nothing_is_lost_below_nothing() -> None:
    assert mean_loss(np.array([-2.0, 1.0, 3.0], dtype=np.float32)) == pytest.approx(4 / 3)
    assert mean_loss(np.empty(0, dtype=np.float32)) == 0.0
    assert shares(np.array([1.0, 3.0], dtype=np.float32)).tolist() == [0.25, 0.75]
    assert shares(np.zeros(2, dtype=np.float32)).tolist() == [0.0, 0.0]


def test_a_step_rests_on_what_comes_before_it(fake: FakeSession) -> None:
    with reading(fake) as read:
        evidence = gather_evidence(fake, read, question=QUESTION, sentences=told())
    assert [len(one.places) for one in evidence] == [4, 5, 6]
    assert all(one.attention is None and (one.ablation >= 0).all() for one in evidence)
    assert evidence[2].ablation.max() > 0


def test_an_empty_chain_has_no_premises(fake: FakeSession) -> None:
    with reading(fake, chain="") as read:
        assert find_premises(fake, read, question=QUESTION, sentences=told()) == ()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaModel]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", os.fspath(tmp_path_factory.mktemp("cache")))
        with open_model(Path(DEFAULT_MODEL)) as opened:
            yield opened


def test_true_premises_on_the_shipped_model(model: LlamaModel) -> None:
    options = EngineOptions(model=model.path, threads=1, max_sequences=16)
    source = LlamaAttention(model, options, Interrupt())
    with open_session(model, options, Interrupt()) as session, reading(session) as read:
        found = find_premises(session, read, question=QUESTION, sentences=told(), attention=source)
    named = {(premise.step, premise.source, premise.index) for premise in found}
    true = {(0, "question", 0), (0, "question", 2), (1, "question", 3), (1, "step", 0), (2, "step", 1)}
    assert len(named & true) >= 4
    assert len(named - true) <= 2
    assert (0, "question", 1) not in named  # Zoe has nothing to do with it
    for premise in found:
        text = QUESTION if premise.source == "question" else CHAIN
        assert text[slice(*premise.span)] == premise.text
        assert premise.ablation is not None
        assert premise.ablation >= 0
        assert premise.attention is not None
        assert 0 <= premise.attention <= 1
    assert any(premise.agreed for premise in found)
