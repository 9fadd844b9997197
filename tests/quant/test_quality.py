from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mch_runtime.errors import DataError
from mch_runtime.gguf_file import open_checked
from mch_runtime.head.container import attach, fingerprint
from mch_runtime.llama.context import open_session
from mch_runtime.llama.model import open_model
from mch_runtime.options import EngineOptions
from mch_runtime.session import Block, Feed, Interrupt
from quant import divergence
from quant.divergence import compare_rows, log_softmax
from quant.measure import mean, quantile
from quant.quality import compare
from quant.quantize import quantize
from quant.texts import Text, bundled, read_text, read_traces
from tests.gguf_samples import write_model
from tests.head_samples import random_head

TEXT = "The harbour lay quiet before the boats came back. " * 12


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model in F32 with a head, and its Q4_0."""
    folder = tmp_path_factory.mktemp("quality")
    base = write_model(folder / "base.gguf", n_layer=1)
    with open_checked(base) as (fd, header):
        head = random_head(d=64, base_fingerprint=fingerprint(fd, header))
    attach(base, head, folder / "model.gguf")
    quantize(folder / "model.gguf", folder / "small.gguf", type_name="Q4_0", threads=1)
    return folder / "model.gguf", folder / "small.gguf"


@pytest.fixture
def text() -> Text:
    return Text(name="harbour", parts=(TEXT,), window=64)


@pytest.fixture
def traces(tmp_path: Path) -> Path:
    lines = [
        {
            "question": f"What is {n} and 1?",
            "text": f"Step 1: {n} + 1 = {n + 1}.\nAnswer: {n + 1}",
            "right": n < 3,
        }
        for n in range(5)
    ]
    path = tmp_path / "traces.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def naive(path: Path, token_ids: tuple[int, ...]) -> np.ndarray:
    """Log-probabilities (n, n_vocab) the slow way: the whole window at once, float64."""
    rows: list[np.ndarray] = []
    options = EngineOptions(model=path, ctx_size=256, max_sequences=1, threads=1)
    with (
        open_model(path, probe=False) as model,
        open_session(model, options, Interrupt()) as session,
        session.branch() as branch,
    ):
        session.decode([Feed(branch, token_ids)], lambda block: rows.append(_copied(block)))
    logits = np.concatenate(rows).astype(np.float64)
    return (
        logits
        - np.log(np.exp(logits - logits.max(axis=1, keepdims=True)).sum(axis=1, keepdims=True))
        - (logits.max(axis=1, keepdims=True))
    )


def _copied(block: Block) -> np.ndarray:
    return block.logits.copy()


def test_figures_are_those_of_whole_windows(models: tuple[Path, Path], text: Text) -> None:
    reference, other = models
    with open_model(reference, probe=False) as model:
        documents = text.documents(model)
    assert all(len(document.token_ids) <= 64 for document in documents)
    report = compare(reference, other, text=text, threads=1)
    nll, kl, same = [], [], []
    for document in documents:
        p, q = (naive(path, document.token_ids)[:-1] for path in models)
        targets = np.array(document.token_ids[1:])
        nll.append(-p[np.arange(len(targets)), targets])
        kl.append((np.exp(p) * (p - q)).sum(axis=1))
        same.append(p.argmax(axis=1) == q.argmax(axis=1))
    assert (report.tokens, report.windows) == (sum(map(len, kl)), len(documents))
    assert report.reference.perplexity.value == pytest.approx(np.exp(np.concatenate(nll).mean()), rel=1e-4)
    assert report.kl_mean.value == pytest.approx(np.concatenate(kl).mean(), rel=1e-3)
    assert report.kl_99.value == pytest.approx(np.quantile(np.concatenate(kl), 0.99), rel=1e-3)
    assert report.same_top.value == pytest.approx(np.concatenate(same).mean())
    ratio = report.other.perplexity.value / report.reference.perplexity.value
    assert report.perplexity_ratio.value == pytest.approx(ratio)


def test_pieces_change_nothing(
    models: tuple[Path, Path], text: Text, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = compare(*models, text=text, threads=1)
    monkeypatch.setattr(divergence, "PIECE_BYTES", 7 * 4 * 320)
    pieces = compare(*models, text=text, threads=1)
    assert pieces.kl_mean.value == pytest.approx(whole.kl_mean.value, rel=1e-3)
    assert pieces.tokens == whole.tokens


def test_a_model_against_itself(models: tuple[Path, Path], text: Text, traces: Path) -> None:
    report = compare(models[0], models[0], text=text, traces=read_traces(traces), threads=1)
    assert report.kl_mean.value == 0
    assert report.perplexity_ratio.value == 1
    assert report.same_top.value == 1
    assert report.head is not None
    assert (report.head.chains, report.head.labelled) == (5, 5)
    assert report.head.steps is not None
    assert report.head.steps.value == 0
    assert report.head.auroc is not None
    assert report.head.auroc[0] == report.head.auroc[1]


def test_the_head_drifts(models: tuple[Path, Path], traces: Path) -> None:
    """Without a text the chains themselves are what is measured on."""
    report = compare(*models, traces=read_traces(traces), threads=1)
    assert report.text == "traces.jsonl"
    assert report.head is not None
    assert report.head.steps is not None
    assert 0 < report.head.steps.value < 1
    assert report.head.ece is not None


def test_without_chains_nothing_is_said_of_the_head(models: tuple[Path, Path], text: Text) -> None:
    assert compare(*models, text=text, threads=1).head is None


def test_different_vocabularies(models: tuple[Path, Path], tmp_path: Path, text: Text) -> None:
    other = write_model(tmp_path / "other.gguf", n_layer=1, vocab=300)
    with pytest.raises(DataError, match=r"different vocabularies \(320 and 300 tokens\)"):
        compare(models[0], other, text=text)


def test_bundled_texts(models: tuple[Path, Path]) -> None:
    with open_model(models[0], probe=False) as model:
        text = bundled(model)
        assert text.name == "english.txt"
        assert len(text.documents(model)) > 8


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is empty"),
        (b" \n\f ", "is empty"),
        (b"\xff\xfe", "not UTF-8"),
        (b'{"question": "a"}', "line 1"),
        (b'{"question": "a?", "text": "Answer: 1", "right": 1}', "neither true nor false"),
    ],
)
def test_unusable_texts(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=complaint):
        read_text(path)


def test_a_text_shorter_than_a_window(models: tuple[Path, Path], tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("Too short.", encoding="utf-8")
    with pytest.raises(DataError, match="fewer than a window of 256") as caught:
        compare(*models, text=read_text(path))
    assert "--window" in caught.value.hint


def test_plain_text_holds_no_traces(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    with pytest.raises(DataError, match="holds no traces"):
        read_traces(path)


def test_form_feeds_part_documents(models: tuple[Path, Path], tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("one two\fthree four\f", encoding="utf-8")
    with open_model(models[0], probe=False) as model:
        assert len(read_text(path).documents(model)) == 2


def test_rows_of_extreme_logits() -> None:
    logits = np.array([[1e4, -1e4, 0.0]], dtype=np.float32)
    assert np.isfinite(log_softmax(logits)).all()
    rows = compare_rows(logits, logits[:, ::-1].copy(), np.array([0]))
    assert rows.kl[0] > 1e3
    assert not rows.same_top[0]


def test_errors_are_over_windows() -> None:
    rng = np.random.default_rng(0)
    levels = rng.normal(size=400)
    windows = [level + np.zeros(10) for level in levels]  # tokens of a window are all alike
    assert mean(windows).error == pytest.approx(levels.std(ddof=1) / 20, rel=0.02)
    assert mean(windows[:1]).error is None
    assert quantile(windows, 0.5).error == pytest.approx(1.25 * levels.std() / 20, rel=0.5)
