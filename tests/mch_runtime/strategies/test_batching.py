"""Rows of one batch: those that have said the same are read as one, and come out as if each were alone."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import pytest

from mch_runtime.chain import Chain
from mch_runtime.options import SamplingOptions
from mch_runtime.session import Feed
from mch_runtime.strategies.batching import Batch, Row, Trunk
from tests.fake_session import FakeSession

REPLIES = {"How many?": "Step 1: 2 + 2 = 4.\nStep 2: 4 + 1 = 5.\nAnswer: 5"}
PROMPT = list(b"How many?")


class Rows:
    """Chains of one prompt, with the session that they are written in."""

    def __init__(
        self,
        stack: ExitStack,
        seeds: Sequence[int],
        *,
        temperature: float,
        limits: Sequence[int] = (),
        **row: bool,
    ) -> None:
        self.session = FakeSession(REPLIES, n_ctx=200, room=4000, max_sequences=len(seeds) + 4)
        branch = stack.enter_context(self.session.branch())
        self.session.decode([Feed(branch, PROMPT[:-1], len(PROMPT) - 1)], lambda _block: None)
        trunk = Trunk(branch=branch, token_ids=PROMPT)
        sampling = SamplingOptions(temperature=temperature, top_k=0, top_p=1.0, min_p=0.0)
        self.rows = []
        for place, seed in enumerate(seeds):
            sampler = stack.enter_context(self.session.sampler(sampling, seed=seed))
            most = limits[place] if limits else 60
            chain = Chain(self.session.vocabulary, sampler, max_tokens=most)
            self.rows.append(Row(trunk, chain, **row))

    def written(self, *, most: int) -> list[list[int]]:
        batch = Batch(self.session, most=most)
        for row in self.rows:
            batch.add(row)
        for _ in range(1000):
            if all(row.ended for row in self.rows):
                break
            batch.step()
        assert all(row.ended for row in self.rows)
        return [row.chain.token_ids for row in self.rows]

    @property
    def decoded(self) -> int:
        return sum(map(sum, self.session.decodes[1:]))


@pytest.mark.parametrize("temperature", [0.8, 1.2])
def test_rows_read_as_one_say_what_each_would_say_alone(temperature: float) -> None:
    seeds = range(12)
    with ExitStack() as stack:
        together = Rows(stack, seeds, temperature=temperature)
        alone = Rows(stack, seeds, temperature=temperature)
        assert together.written(most=12) == alone.written(most=1)
        assert together.decoded < alone.decoded
        assert together.session.free_branches == together.session.max_sequences - 1


def test_the_same_chain_is_read_once() -> None:
    with ExitStack() as stack:
        rows = Rows(stack, [5] * 8, temperature=0.8)
        first, *others = rows.written(most=8)
        assert others == [first] * 7
        assert rows.decoded == len(first) + 1  # and the prompt's last token


def test_one_that_ends_earlier_leaves_the_others_what_it_has_read() -> None:
    with ExitStack() as stack:
        rows = Rows(stack, [5] * 3, temperature=0.0, limits=[4, 30, 9])
        written = rows.written(most=3)
        assert [len(ids) for ids in written] == [4, 30, 9]
        assert written[1][:9] == written[2]
        assert rows.decoded == 31


def test_what_is_held_has_read_all_it_says() -> None:
    with ExitStack() as stack:
        rows = Rows(stack, [5] * 3, temperature=0.0, hold=True)
        rows.written(most=3)
        for row in rows.rows:
            assert row.branch is not None
            assert row.branch.length == len(PROMPT) + len(row.chain.token_ids)
            row.close()
