"""What every session promises, shown on the scripted one and on llama.cpp."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from mch_runtime.errors import Interrupted, ResourceError
from mch_runtime.options import EngineOptions, SamplingOptions
from mch_runtime.session import Block, Branch, Feed, Interrupt, Session
from tests.fake_session import FakeSession
from tests.gguf_samples import write_model

PROMPT = [3, 1, 4, 1, 5, 9, 2, 6]
GREEDY = SamplingOptions()
WARM = SamplingOptions(temperature=1.5)


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    write_model(path)
    return path


@pytest.fixture(params=["fake", "llama"])
def made(request: pytest.FixtureRequest, model_file: Path) -> Iterator[tuple[Session, Interrupt]]:
    interrupt = Interrupt()
    if request.param == "fake":
        yield FakeSession({}, n_ctx=256, interrupt=interrupt), interrupt
        return
    from mch_runtime.llama.context import open_session
    from mch_runtime.llama.model import open_model

    options = EngineOptions(model=model_file, ctx_size=256, threads=1, kv_type="f32", flash_attention=False)
    with open_model(model_file, probe=False) as model, open_session(model, options, interrupt) as session:
        yield session, interrupt


@pytest.fixture
def session(made: tuple[Session, Interrupt]) -> Session:
    return made[0]


def outputs(session: Session, *feeds: Feed) -> list[tuple[int, int, np.ndarray, np.ndarray]]:
    found: list[tuple[int, int, np.ndarray, np.ndarray]] = []

    def read(block: Block) -> None:
        assert block.logits.dtype == block.hidden.dtype == np.float32
        assert block.logits.shape == (len(block.feeds), session.vocabulary.size)
        assert block.hidden.shape == (len(block.feeds), session.n_embd)
        rows = zip(block.feeds, block.offsets, block.logits.copy(), block.hidden.copy(), strict=True)
        found.extend((int(f), int(o), x, h) for f, o, x, h in rows)

    session.decode(feeds, read)
    return found


def same(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.allclose(a, b, atol=1e-3))


def test_only_the_outputs_asked_for(session: Session) -> None:
    with session.branch() as branch:
        assert [(f, o) for f, o, *_ in outputs(session, Feed.last(branch, PROMPT))] == [(0, 7)]
        assert branch.length == len(PROMPT)
        assert outputs(session, Feed(branch, [7, 8], first_output=2)) == []
        assert [o for _, o, *_ in outputs(session, Feed(branch, [1, 2, 3]))] == [0, 1, 2]
        assert branch.length == len(PROMPT) + 5


def test_without_states_the_logits_are_the_same(session: Session) -> None:
    with session.branch() as one, session.branch() as other:
        feeds = (Feed(one, PROMPT, first_output=5), Feed(other, PROMPT[:3], first_output=1))
        expected = outputs(session, *feeds)
    rows: list[tuple[int, int, np.ndarray]] = []

    def read(block: Block) -> None:
        assert block.hidden.shape == (len(block.feeds), 0)
        rows.extend(zip(block.feeds.tolist(), block.offsets.tolist(), block.logits.copy(), strict=True))

    with session.branch() as one, session.branch() as other, session.sampler(GREEDY, seed=0) as sampler:
        feeds = (Feed(one, PROMPT, first_output=5), Feed(other, PROMPT[:3], first_output=1))
        session.decode(feeds, read, states=False)
        assert (one.length, other.length) == (len(PROMPT), 3)
        with pytest.raises(ValueError, match="row"):
            sampler.sample(0)
        with_states = outputs(session, Feed(one, [7]))
    assert sorted((f, o) for f, o, _ in rows) == [(0, 5), (0, 6), (0, 7), (1, 1), (1, 2)]
    known = {(f, o): logits for f, o, logits, _ in expected}
    assert all(same(logits, known[f, o]) for f, o, logits in rows)
    assert len(with_states) == 1


def test_pieces_give_what_the_whole_gives(session: Session) -> None:
    with session.branch() as whole, session.branch() as parts:
        everything = outputs(session, Feed(whole, PROMPT))
        one_by_one = [outputs(session, Feed(parts, [token]))[0] for token in PROMPT]
    for (_, _, x, h), (_, _, y, k) in zip(everything, one_by_one, strict=True):
        assert same(x, y)
        assert same(h, k)


def test_a_fork_shares_its_prefix_and_nothing_else(session: Session) -> None:
    with session.branch() as parent:
        outputs(session, Feed.last(parent, PROMPT))
        with session.fork(parent) as child, session.fork(parent, length=3) as short:
            assert (child.length, short.length) == (len(PROMPT), 3)
            ours = outputs(session, Feed(child, [7]), Feed(short, PROMPT[3:]), Feed(parent, [8]))
    with session.branch() as fresh, session.branch() as other:
        alone = outputs(session, Feed.last(fresh, [*PROMPT, 7]), Feed.last(other, [*PROMPT, 8]))
        whole = outputs(session, Feed.last(fresh, [1]))
    assert same(ours[0][2], alone[0][2])
    assert same(ours[-1][2], alone[1][2])
    assert whole


def test_truncate_takes_tokens_back(session: Session) -> None:
    with session.branch() as branch:
        (first,) = outputs(session, Feed.last(branch, [*PROMPT, 7]))
        session.truncate(branch, len(PROMPT))
        outputs(session, Feed.last(branch, [8, 9]))
        session.truncate(branch, len(PROMPT))
        (again,) = outputs(session, Feed.last(branch, [7]))
    assert same(first[2], again[2])


def test_many_rows_in_one_batch_and_rows_that_finish_early(session: Session) -> None:
    texts = [[5, 6, 7], [8, 9], [1, 2, 3, 4]]
    expected = []
    for text in texts:
        with session.branch() as alone:
            expected.append([outputs(session, Feed(alone, [token]))[0][2] for token in text])
    with ExitStack() as stack:
        branches: list[Branch] = [stack.enter_context(session.branch()) for _ in texts]
        for place in range(4):
            live = [k for k, text in enumerate(texts) if place < len(text)]
            found = outputs(session, *(Feed(branches[k], [texts[k][place]]) for k in live))
            for feed, _, logits, _ in found:
                assert same(logits, expected[live[feed]][place])


def test_a_released_sequence_is_clean_when_used_again(session: Session) -> None:
    with session.branch() as branch:
        outputs(session, Feed.last(branch, [9] * 50))
    with session.branch() as branch:
        assert branch.length == 0
        (first,) = outputs(session, Feed.last(branch, PROMPT))
    with session.branch() as branch:
        (again,) = outputs(session, Feed.last(branch, PROMPT))
    assert same(first[2], again[2])


def test_it_says_how_much_room_there_is(session: Session) -> None:
    branches, tokens = session.free_branches, session.free_tokens
    assert (tokens, branches > 2) == (session.n_ctx, True)
    with session.branch() as branch:
        outputs(session, Feed.last(branch, PROMPT))
        with session.fork(branch, length=3):
            assert session.free_branches == branches - 2
            assert 0 <= session.free_tokens <= tokens - len(PROMPT)
    assert (session.free_branches, session.free_tokens) == (branches, tokens)


def test_greedy_takes_the_largest_logit(session: Session) -> None:
    with session.sampler(GREEDY, seed=0) as sampler, session.branch() as branch:
        pairs: list[tuple[int, int]] = []
        session.decode(
            [Feed.last(branch, PROMPT)],
            lambda block: pairs.append((sampler.sample(0), int(block.logits[0].argmax()))),
        )
    assert pairs[0][0] == pairs[0][1]


def draws(session: Session, sampling: SamplingOptions, seed: int, count: int = 40) -> list[int]:
    found: list[int] = []
    with session.sampler(sampling, seed=seed) as sampler, session.branch() as branch:
        session.decode(
            [Feed.last(branch, PROMPT)], lambda _: found.extend(sampler.sample(0) for _ in range(count))
        )
    return found


def test_a_seed_repeats_and_another_differs(session: Session) -> None:
    assert draws(session, WARM, 7) == draws(session, WARM, 7)
    assert draws(session, WARM, 7) != draws(session, WARM, 8)


def test_top_k_keeps_k(session: Session) -> None:
    narrow = SamplingOptions(temperature=5.0, top_k=3, top_p=1.0, min_p=0.0)
    assert len(set(draws(session, narrow, 1, 200))) <= 3


def test_a_sampler_speaks_only_while_a_block_is_read(session: Session) -> None:
    with session.sampler(GREEDY, seed=0) as sampler, session.branch() as branch:
        outputs(session, Feed.last(branch, PROMPT))
        with pytest.raises(ValueError, match="row"):
            sampler.sample(0)
        with pytest.raises(ValueError, match="row"):
            session.decode([Feed.last(branch, [1])], lambda _: [sampler.sample(5)])


def test_an_interrupt_stops_and_lengths_stay_true(made: tuple[Session, Interrupt]) -> None:
    session, interrupt = made
    with session.branch() as branch:
        outputs(session, Feed.last(branch, PROMPT))
        interrupt.request()
        with pytest.raises(Interrupted):
            outputs(session, Feed.last(branch, [1, 2, 3]))
        assert len(PROMPT) <= branch.length <= len(PROMPT) + 3
        interrupt.clear()
        session.truncate(branch, len(PROMPT))
        (after,) = outputs(session, Feed.last(branch, [4]))
    with session.branch() as fresh:
        (expected,) = outputs(session, Feed.last(fresh, [*PROMPT, 4]))
    assert same(after[2], expected[2])


@pytest.mark.parametrize("bad", [[-1], [1 << 20], [1, 2, 1 << 31]])
def test_ids_outside_the_vocabulary_never_reach_the_model(session: Session, bad: list[int]) -> None:
    with session.branch() as branch:
        with pytest.raises(ValueError, match="vocabulary"):
            outputs(session, Feed(branch, bad))
        with pytest.raises(ValueError):
            session.vocabulary.piece(bad[0] if bad[0] < 1 or bad[0] > 9 else bad[-1])


def test_misuse_is_refused(session: Session) -> None:
    with session.branch() as branch:
        outputs(session, Feed.last(branch, PROMPT))
        with pytest.raises(ValueError):
            session.truncate(branch, 99)
        with pytest.raises(ValueError), session.fork(branch, length=99):
            pass
        with pytest.raises(ValueError):
            outputs(session, Feed(branch, [1], first_output=2))
        with pytest.raises(ValueError, match="two feeds"):
            outputs(session, Feed(branch, [1]), Feed(branch, [2]))
    with pytest.raises(ValueError):
        outputs(session, Feed(branch, [1]))


def test_a_full_context_is_an_error_that_keeps_what_fits(session: Session) -> None:
    with session.branch() as branch:
        with pytest.raises(ResourceError):
            outputs(session, Feed.last(branch, [1] * (session.n_ctx + 1)))
        outputs(session, Feed.last(branch, PROMPT))
    with session.branch() as branch:
        outputs(session, Feed.last(branch, [1] * session.n_ctx))
        assert branch.length == session.n_ctx


def test_tokens_and_pieces_are_inverse(session: Session) -> None:
    vocabulary = session.vocabulary
    text = "Ann has 3 apples; grüße 🍎\n\tx"
    pieces = b"".join(vocabulary.piece(token) for token in vocabulary.tokenize(text))
    assert pieces.decode() == text


def test_specials_are_parsed_only_when_asked(session: Session) -> None:
    vocabulary = session.vocabulary
    assert list(vocabulary.specials) == sorted(vocabulary.specials, key=lambda s: (-len(s), s))
    for special in vocabulary.specials:
        assert len(vocabulary.tokenize(special, parse_special=True)) == 1


def test_thinning_closes_ranks_and_leaves_a_branch_like_any_other(session: Session) -> None:
    kept = [0, 1, 2, 4, 6, 7]
    with session.branch() as branch:
        outputs(session, Feed(branch, PROMPT, len(PROMPT)))
        session.thin(branch, kept)
        assert branch.length == len(kept)
        before = session.free_tokens
        (after,) = outputs(session, Feed(branch, [7]))
        assert branch.length == len(kept) + 1
        assert session.free_tokens == before - 1
        session.truncate(branch, 3)
        (thinned,) = outputs(session, Feed(branch, [7]))
    with session.branch() as plain:
        (expected,) = outputs(session, Feed.last(plain, [*PROMPT[:3], 7]))
    assert np.isfinite(after[2]).all()
    assert same(thinned[2], expected[2]), "what comes before the first gap is as it was"


def test_thinning_to_a_prefix_is_truncation(session: Session) -> None:
    with session.branch() as thin, session.branch() as plain:
        with pytest.raises(ValueError, match="branches"):
            session.thin(thin, [])
        (expected,) = outputs(session, Feed.last(plain, [*PROMPT[:4], 7]))
    with session.branch() as branch:
        outputs(session, Feed(branch, PROMPT, len(PROMPT)))
        session.thin(branch, range(4))
        assert same(outputs(session, Feed(branch, [7]))[0][2], expected[2])


@pytest.mark.parametrize("kept", [[1, 1], [2, 1], [-1, 0], [0, 8]])
def test_thinning_takes_ascending_places(session: Session, kept: list[int]) -> None:
    with session.branch() as branch:
        outputs(session, Feed(branch, PROMPT, len(PROMPT)))
        with pytest.raises(ValueError, match="ascend"):
            session.thin(branch, kept)
