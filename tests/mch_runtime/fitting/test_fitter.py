"""The whole fit on a scripted session: every stage runs, and a second run takes over what the first has left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mch_runtime.engine import Engine
from mch_runtime.errors import NothingLearnedError
from mch_runtime.evaluation.problems import Problem
from mch_runtime.fitting import fitter, making, quality
from mch_runtime.fitting.collecting import Settings, Standing
from mch_runtime.fitting.fitter import Fitted, fit_head
from mch_runtime.fitting.job import Job, Work
from mch_runtime.fitting.questions import Query
from mch_runtime.head.fit import FitConfig
from mch_runtime.head.format import decode_head, encode_head
from mch_runtime.head.spec import Probe
from mch_runtime.options import EngineOptions
from mch_runtime.session import Interrupt
from mch_runtime.trace import ModelInfo
from prompts.dialects import shipped
from tests.fake_session import END, FakeSession
from tests.mch_runtime.fitting.test_collecting import Lines

COUNT = 90
INFO = ModelInfo(name="fake", file="fake.gguf", quantization="F32", fingerprint="f", head=None)


class Watcher:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.resumed = 0
        self.notes: list[str] = []

    def sampled(self, standing: Standing) -> None:
        self.resumed = standing.resumed

    def working(self, what: str, done: int, total: int) -> None:
        if what not in self.stages:
            self.stages.append(what)

    def note(self, sentence: str) -> None:
        self.notes.append(sentence)


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every engine is a scripted one, which answers every other question wrongly."""
    replies = {query.problem.question: reply(k) for k, query in enumerate(queries())}

    def opened(options: EngineOptions, *, interrupt: Interrupt | None = None) -> Engine:
        head = decode_head(options.head.read_bytes()) if options.head else None
        session = FakeSession(replies, n_ctx=400, room=8000, max_sequences=options.max_sequences)
        return Engine(session, model=INFO, dialect=shipped()["sage-pico"], head=head)

    tied = making.Tie(
        architecture="qwen2",
        fingerprint="f" * 64,
        probe=Probe(
            token_ids=tuple(range(16)), state=np.ones(FakeSession.n_embd, dtype=np.float32), cosine=0.9
        ),
        template=shipped()["sage-pico"].sha256,
        end_token=END,
    )
    monkeypatch.setattr(Engine, "open", opened)
    monkeypatch.setattr(making, "tie", lambda *_args, **_kwargs: tied)
    monkeypatch.setattr(quality, "FEWEST", 2)
    monkeypatch.setattr(quality, "FEWEST_GREEDY", 1)
    monkeypatch.setattr(fitter, "FAMILIAR_FEWEST", 10)


def queries() -> list[Query]:
    return [
        Query(problem=Problem(id="", question=f"What is {k}?", kind="text", answer=str(k)))
        for k in range(COUNT)
    ]


def reply(k: int) -> str:
    said = k if k % 2 else k + 1
    return f"Step 1: {said}.\nAnswer: {said}"


def fitted(folder: Path, watcher: Watcher) -> Fitted:
    @contextmanager
    def journal(name: str) -> Iterator[Any]:
        path = folder / name
        lines = Lines([] if not path.exists() else [eval(line) for line in path.read_text().splitlines()])
        yield lines
        path.write_text("".join(f"{line!r}\n" for line in lines.lines))

    job = Job(
        options=EngineOptions(model=folder / "fake.gguf"),
        queries=queries(),
        settings=Settings(chains=2, rollouts=1, temperature=0.7, max_tokens=30),
        config=FitConfig(width=16, head_count=2, epochs=2),
        wanted=("vote",),
        data="sums",
        work=Work(folder=folder, journal=journal),
    )
    return fit_head(job, watcher, Interrupt())


@pytest.mark.usefixtures("scripted")
def test_from_questions_to_a_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    refused = Watcher()
    with pytest.raises(NothingLearnedError):  # the scripted states say nothing
        fitted(tmp_path, refused)
    monkeypatch.setattr(quality, "require_better", lambda _found: None)
    watcher = Watcher()
    found = fitted(tmp_path, watcher)
    assert watcher.resumed == COUNT
    assert watcher.stages == ["reading the questions", "measuring", "calibrating vote"]
    spec = found.head.spec
    assert spec.calibration.keys() == {"fast", "answer", "answer_at_end", "vote"}
    assert spec.template == shipped()["sage-pico"].sha256
    assert spec.provenance["questions"] == COUNT
    assert spec.provenance["test_answer_n"] == found.quality.answers.n
    again = fitted(tmp_path, Watcher())
    assert encode_head(again.head) == encode_head(found.head)
