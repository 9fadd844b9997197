"""Chains read again: the same numbers as when they were written."""

from __future__ import annotations

import numpy as np
import pytest

from mch_runtime.inverse.kept import Kept
from mch_runtime.inverse.reading import kept_read, step_tokens, text_ends
from mch_runtime.inverse.segment import Segment, segments
from mch_runtime.session import Feed
from mch_runtime.statistics import token_statistics
from tests.fake_session import END, FakeSession
from tests.head_samples import random_head
from tests.mch_runtime.inverse.chains import CHAIN, PICO, ForkingSession, reading, slow_scores


def cut(text: str, *spans: tuple[int, int]) -> list[Segment]:
    return [Segment(text=text[a:b], span=(a, b), kind="step") for a, b in spans]


def test_one_decode_reads_prompt_and_chain() -> None:
    session = FakeSession({})
    with reading(session) as read:
        assert session.decodes == [[len(read.prompt.token_ids) + len(read.token_ids)]]
        assert read.text == CHAIN
        assert read.branch.length == read.length(len(read.token_ids))
        assert len(read.statistics) == len(read.ends) == len(read.token_ids) == len(read.states) - 1
        logprobs, entropies = slow_scores(
            session, [*read.prompt.token_ids, *read.token_ids], len(read.prompt.token_ids)
        )
    assert np.allclose([s.logprob for s in read.statistics], logprobs, atol=1e-5)
    assert np.allclose([s.entropy for s in read.statistics], entropies, atol=1e-5)
    assert session.free_branches == 8


def test_steps_cover_the_tokens_and_end_with_their_delimiter() -> None:
    with reading(FakeSession({})) as read:
        spans = [step.tokens for step in read.steps]
    assert [CHAIN[a:b] for a, b in spans] == ["Step 1: 2 + 2 = 4.\n", "Step 2: 4 + 3 = 7.\n", "Answer: 7"]
    assert spans[-1][1] == len(read.token_ids) == len(CHAIN) + 1
    assert [step.segment.kind for step in read.steps] == ["step", "step", "answer"]


@pytest.mark.parametrize(
    ("pieces", "spans", "expected"),
    [
        (["a b", ".\n", "c"], [(0, 4), (5, 6)], [(0, 2), (2, 3)]),
        (["a.", "\n\n", "c."], [(0, 2), (4, 6)], [(0, 2), (2, 3)]),
        (["a.", "\n", "\n", "c."], [(0, 2), (4, 6)], [(0, 2), (2, 4)]),
        (["a.", " ", "b.", " c."], [(0, 2), (3, 5), (6, 8)], [(0, 1), (1, 3), (3, 4)]),
        (["a. b.", " c."], [(0, 2), (3, 5), (6, 8)], [(0, 1), (0, 1), (1, 2)]),
        (["a.", ""], [(0, 2)], [(0, 2)]),
    ],
)
def test_a_step_ends_with_the_token_that_completes_it(
    pieces: list[str], spans: list[tuple[int, int]], expected: list[tuple[int, int]]
) -> None:
    text = "".join(pieces)
    ends = np.cumsum([len(piece) for piece in pieces]).tolist()
    assert step_tokens(cut(text, *spans), text, ends) == expected


def test_characters_of_several_tokens_are_complete_with_the_last() -> None:
    vocabulary = FakeSession({}).vocabulary
    text, ends = text_ends(vocabulary, list("é🍎".encode()))
    assert (text, ends) == ("é🍎", (0, 1, 1, 1, 1, 2))
    assert text_ends(vocabulary, "🍎".encode()[:2])[0] == "\ufffd"


def test_options_are_the_likely_tokens_that_were_not_taken() -> None:
    other = CHAIN.replace("2 + 2 = 4", "2 * 9 = 18")
    place = CHAIN.index("+")
    with reading(ForkingSession(CHAIN, other)) as read:
        assert read.options is not None
        (option,) = read.options[place]
        assert (option.token_id, sum(map(len, read.options))) == (ord("*"), 1)
        assert 0.05 < option.probability < np.exp(read.statistics[place].logprob)
    with reading(ForkingSession(CHAIN, other), other) as read:
        assert read.options is not None
        assert [option.token_id for option in read.options[place]] == [ord("+")]
        (option,) = read.options[place]
        assert option.statistics.margin > 0 > read.statistics[place].margin


def test_the_head_is_asked_at_every_step_and_trusted_only_if_calibrated() -> None:
    head = random_head(d=FakeSession.n_embd)
    for calibrated in (True, False):
        with reading(FakeSession({}), head=head, calibrated=calibrated) as read:
            assert all(step.channels for step in read.steps)
            assert [step.confidence for step in read.steps] == [
                step.channels if calibrated else None for step in read.steps
            ]
            assert 0 < (read.confidence_raw or 0) < 1
    with reading(FakeSession({})) as read:
        assert read.confidence_raw is None
        assert read.steps[0].channels is None


@pytest.mark.parametrize("chain", ["", "Answer: 7", "no answer here", "\n\n"])
def test_chains_of_little(chain: str) -> None:
    with reading(FakeSession({}), chain, end=False) as read:
        assert len(read.steps) == len(segments(chain, dialect=PICO))
        assert len(read.states) == len(chain) + 1


@pytest.mark.parametrize("known", [True, False])
def test_a_kept_chain_is_read_without_decoding(known: bool) -> None:
    session, head = FakeSession({}), random_head(d=FakeSession.n_embd)
    with reading(session, head=head) as read:
        kept = Kept(
            prompt=read.prompt,
            token_ids=read.token_ids,
            branch=read.branch,
            states=read.states,
            statistics=read.statistics,
        )
        judged = {step.tokens[1]: step.confidence for step in read.steps if known and step.confidence}
        again = kept_read(
            session.vocabulary,
            kept,
            segments=[step.segment for step in read.steps],
            head=head,
            calibrated=lambda: True,
            judged=judged,
        )
    assert len(session.decodes) == 1
    assert again.options is None
    assert (again.steps, again.text, again.statistics) == (read.steps, read.text, read.statistics)


def test_statistics_are_those_of_generation() -> None:
    session = FakeSession({})
    with reading(session) as read:
        rows: list[np.ndarray] = []
        with session.fork(read.branch, length=read.length(0) - 1) as fork:
            session.decode(
                [Feed(fork, read.prompt.token_ids[-1:])], lambda b: rows.append(b.logits[0].copy())
            )
    assert read.statistics[0] == token_statistics(rows[0], read.token_ids[0])
    assert read.token_ids[-1] == END
