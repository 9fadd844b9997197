"""``sage head fit``: what it refuses, and what it says of a model that knows nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from mch_runtime.fitting import collecting
from tests.gguf_samples import write_model
from tests.sage_cli.runner import Result, run


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "base.gguf")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "questions.jsonl"
    path.write_text(
        "".join(f'{{"question": "What is {k} and {k}?", "answer": "{2 * k}"}}\n' for k in range(240))
    )
    return path


def fit(model: Path, data: Path, *more: object) -> Result:
    words = ["head", "fit", str(model), "--data", str(data), "-n", "8", "--threads", "1", *map(str, more)]
    return run(*words)


def test_a_random_model_has_nothing_to_learn(
    model: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr(collecting, "HOPELESS", 10)
    out = tmp_path / "head.mch.gguf"
    found = fit(model, data, "-o", out, "--chains", 2)
    assert (found.code, found.out) == (1, "")
    assert "sage: there is nothing to learn: none of 20 chains for 10 questions" in found.err
    assert not out.exists()
    assert (tmp_path / "head.mch.gguf.work" / "chains.jsonl").exists()

    again = fit(model, data, "-o", out, "--chains", 2)
    assert "note: 10 of 240 questions are in" in again.err
    assert again.code == 1

    other = fit(model, data, "-o", out, "--chains", 3)
    assert other.code == 2
    assert "the work folder holds chains drawn with chains 2, and this is 3" in other.err


def test_bad_data_is_named(model: Path, data: Path) -> None:
    pytest.importorskip("torch")
    data.write_text(data.read_text() + '{"question": "What?"}\n')
    found = fit(model, data)
    assert found.code == 65
    assert found.err.startswith('sage: line 241: "answer" is missing\n')


def test_too_few_questions(model: Path, data: Path) -> None:
    pytest.importorskip("torch")
    data.write_text("".join(data.read_text().splitlines(keepends=True)[:50]))
    found = fit(model, data)
    assert found.code == 65
    assert "holds 50 different questions, and at least 200 are needed" in found.err


def test_torch_is_named_if_it_is_missing(model: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    found = fit(model, data)
    assert found.code == 2
    assert "fitting a head needs torch, which is not installed" in found.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--modes", "vote,slow"), "--modes 'slow' is not possible"),
        (("--width", "100"), "--width 100 is no multiple of 8"),
        (("-o", "nowhere/head.gguf"), "there is no folder nowhere"),
    ],
)
def test_what_cannot_be_is_said_at_once(model: Path, data: Path, words: tuple[str, ...], said: str) -> None:
    pytest.importorskip("torch")
    found = fit(model, data, *words)
    assert found.code in {2, 74}
    assert said in found.err


def test_the_model_is_not_overwritten(model: Path, data: Path) -> None:
    pytest.importorskip("torch")
    before = model.read_bytes()
    found = fit(model, data, "-o", model)
    assert found.code == 2
    assert model.read_bytes() == before


def test_a_missing_model(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    assert fit(tmp_path / "none.gguf", data).code == 66
