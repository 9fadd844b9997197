"""Drawing from a large vocabulary: the same tokens as llama.cpp's own sampler draws from all of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mch_runtime.llama import sampling
from mch_runtime.llama.context import LlamaSession, open_session
from mch_runtime.llama.model import open_model
from mch_runtime.options import EngineOptions, SamplingOptions
from mch_runtime.session import Block, Feed, Interrupt
from tests.gguf_samples import write_model


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaSession]:
    path = write_model(tmp_path_factory.mktemp("model") / "wide.gguf", vocab=sampling.LARGE + 100)
    with (
        open_model(path, probe=False) as model,
        open_session(model, EngineOptions(model=path, ctx_size=256), Interrupt()) as opened,
    ):
        yield opened


def _drawn(session: LlamaSession, options: SamplingOptions, path: list[int]) -> list[int]:
    found: list[int] = []
    with session.sampler(options, seed=3) as sampler, session.branch() as branch:

        def read(block: Block) -> None:
            found.extend(sampler.sample(row) for row in range(len(block.logits)) for _ in range(5))

        session.decode([Feed(branch, path)], read)
    return found


@pytest.mark.parametrize(
    "options",
    [
        SamplingOptions(temperature=0),
        SamplingOptions(temperature=0.8),
        SamplingOptions(temperature=2.0, top_k=100, top_p=1.0, min_p=0.0),
        SamplingOptions(temperature=1.5, top_k=0, top_p=0.9),
    ],
)
def test_the_same_draws(
    session: LlamaSession, options: SamplingOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = [5, 60, 700, 8000]
    fast = _drawn(session, options, path)
    monkeypatch.setattr(sampling, "LARGE", 1 << 30)
    assert fast == _drawn(session, options, path)
    assert len(set(fast)) > 1
