"""The embedded model, its head, and what they say together."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from mch_runtime.answering import Question
from mch_runtime.chain import Chain
from mch_runtime.effort import Effort, SelectionSettings
from mch_runtime.engine import Engine
from mch_runtime.gguf_file import open_checked
from mch_runtime.head.container import find_head
from mch_runtime.head.network import HeadRun
from mch_runtime.head.spec import Head
from mch_runtime.options import AskOptions, EngineOptions, SamplingOptions
from mch_runtime.session import FloatArray
from mch_runtime.statistics import FeatureTrack, TokenStatistics
from mch_runtime.strategies.fast import write_fast
from sage_cli.assets import DEFAULT_MODEL

TWO_STEPS = (
    "Ben has 4 apples. Anna has three times as many apples as Ben. Tom has 5 more apples than Anna. "
    "How many apples does Tom have?"
)
QUESTIONS = (
    TWO_STEPS,
    "Zoe has 9 coins. Max has 4 fewer coins than Zoe. How many coins do Zoe and Max have together?",
    "Kim has 12 pens. Leo has half as many pens as Kim. How many pens does Leo have?",
)
ANSWERS = ("17", "14", "6")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
    with Engine.open(EngineOptions(model=DEFAULT_MODEL)) as opened:
        yield opened
    if before is not None:
        os.environ["XDG_CACHE_HOME"] = before
    else:
        del os.environ["XDG_CACHE_HOME"]


@pytest.mark.parametrize(("question", "answer"), list(zip(QUESTIONS, ANSWERS, strict=True)))
def test_simple_questions_are_answered_right_and_surely(engine: Engine, question: str, answer: str) -> None:
    trace = engine.ask(question, AskOptions())
    assert (trace.answer, trace.finish_reason) == (answer, "stop")
    assert trace.confidence is not None
    assert trace.confidence > 0.5
    assert trace.steps[-1].text == f"Answer: {answer}"
    assert all(step.confidence is not None for step in trace.steps)


def test_it_says_what_it_is(engine: Engine) -> None:
    assert (engine.model.name, engine.model.quantization) == ("sage-pico", "Q8_0")
    assert engine.model.head == "sage-pico-mch"
    assert engine.notices == ()


class _Recorder:
    def __init__(self, head: Head) -> None:
        self.run = HeadRun(head)
        self.track = FeatureTrack(head.spec.statistics)
        self.hidden: list[FloatArray] = []
        self.features: list[FloatArray] = []
        self.ends: list[int] = []
        self.logits: list[FloatArray] = []

    def push(self, hidden: FloatArray, statistics: TokenStatistics | None) -> None:
        features = self.track.push(statistics)
        self.hidden.append(hidden.copy())
        self.features.append(features)
        self.run.push(hidden, features)

    def judge(self, *, ended: bool) -> None:
        self.ends.append(len(self.hidden) - 1)
        self.logits.append(self.run.logits())
        self.track.end_step()


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_numpy_head_agrees_with_torch_on_real_traces(engine: Engine, question: str) -> None:
    torch = pytest.importorskip("torch")
    from mch_runtime.head.fit import FitConfig, build_network

    head = engine.head
    assert head is not None
    spec = head.spec
    config = FitConfig(
        width=spec.width,
        head_count=spec.head_count,
        rope_freq_base=spec.rope_freq_base,
        rms_epsilon=spec.rms_epsilon,
    )
    network = build_network(spec.embedding_length, len(spec.statistics), config)
    names = {"mch.in.": "inward.", "mch.": ""}
    state = {}
    for name, tensor in head.tensors.items():
        prefix = next(prefix for prefix in names if name.startswith(prefix))
        state[names[prefix] + name.removeprefix(prefix)] = torch.from_numpy(np.array(tensor))
    network.load_state_dict(state)
    recorder = _Recorder(head)
    prompt = engine.session.vocabulary.tokenize(f"<|user|>{question}<|assistant|>", parse_special=True)
    with ExitStack() as stack, engine.session.sampler(AskOptions().sampling, seed=0) as sampler:
        chain = Chain(engine.session.vocabulary, sampler, max_tokens=200, witness=recorder)
        write_fast(engine.session, stack, prompt, chain)
    with torch.no_grad():
        hidden = torch.from_numpy(np.stack(recorder.hidden))[None]
        features = torch.from_numpy(np.stack(recorder.features))[None]
        expected = network.eval()(hidden, features, torch.tensor([recorder.ends]))[0].numpy()
    assert len(recorder.ends) == len(chain.steps) >= 2
    assert np.allclose(np.stack(recorder.logits), expected, atol=1e-4)


def test_stock_llama_cpp_opens_the_one_file(engine: Engine, tmp_path: Path) -> None:
    """llama-cpp-python's own class: the file with the head gives the logits of the file without."""
    llama_cpp = pytest.importorskip("llama_cpp")
    with open_checked(DEFAULT_MODEL) as (fd, gguf):
        found = find_head(DEFAULT_MODEL, fd, gguf, os.fstat(fd).st_size)
        assert found is not None
        assert found.place == "tail"
        base = tmp_path / "base.gguf"
        base.write_bytes(DEFAULT_MODEL.read_bytes()[: gguf.end])
    prompt = engine.session.vocabulary.tokenize(f"<|user|>{QUESTIONS[0]}<|assistant|>", parse_special=True)
    rows = []
    for path in (DEFAULT_MODEL, base):
        model = llama_cpp.Llama(str(path), n_ctx=256, logits_all=True, use_mmap=True, verbose=False)
        model.eval(prompt)
        rows.append(np.array(model.scores[: len(prompt)]))
        model.close()
    assert np.array_equal(rows[0], rows[1])


def test_deterministic_chains_are_the_same_to_the_last_bit() -> None:
    questions = (
        "Tom has 12 apples. Ann has 3 fewer apples than Tom. How many apples does Ann have?",
        "Max has 7 apples. Ida has twice as many apples as Max. How many apples do they have together?",
    )
    effort = Effort(mode="vote", votes=3, settings=SelectionSettings(stop_at=2.0, temperature=1.2))
    options = AskOptions(effort=effort, sampling=SamplingOptions(seed=5), max_tokens=60)
    found = []
    for rows in (1, 6):
        engine_options = EngineOptions(model=DEFAULT_MODEL, deterministic=True).side_by_side(rows)
        with Engine.open(engine_options) as engine:
            answers = list(engine.answers(Question(text=text, options=options) for text in questions))
        found.append([answered.chains for answered in answers])
    assert found[0] == found[1]
