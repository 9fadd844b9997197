from __future__ import annotations

import json
from pathlib import Path

import pytest

from mch_runtime.errors import UsageError
from sage_cli.quantizing import parse_size
from tests.gguf_samples import write_model
from tests.sage_cli.runner import run


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_model(tmp_path / "f32.gguf", n_layer=1)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text("The harbour lay quiet before the boats came back. " * 10, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("word", "n_bytes"),
    [("4GB", 4 * 10**9), ("1.5g", 1_500_000_000), ("700MiB", 700 << 20), ("12 kB", 12_000), ("99", 99)],
)
def test_sizes(word: str, n_bytes: int) -> None:
    assert parse_size(word) == n_bytes


@pytest.mark.parametrize("word", ["", "GB", "4 PB", "-1GB", "0", "nan", "4GBs"])
def test_what_is_no_size(word: str) -> None:
    with pytest.raises(UsageError, match="--target-size"):
        parse_size(word)


def test_report_page_and_json(source: Path, text: Path, tmp_path: Path) -> None:
    small, page = tmp_path / "small.gguf", tmp_path / "r.html"
    common = ("--text", str(text), "--window", "64", "--threads", "1")
    result = run("quantize", str(source), "Q4_0", "-o", str(small), "--report", "--html", str(page), *common)
    assert result.code == 0, result.err
    for words in (
        "perplexity",
        "KL divergence, 99 %",
        "same first choice",
        "of text.txt",
        "by share of tokens",
    ):
        assert words in result.out
    assert page.read_text(encoding="utf-8").count("<svg") == 1
    result = run("quality", str(source), str(small), "--json", *common)
    report = json.loads(result.out)
    assert report["schema"] == "sage.quality/1"
    assert report["kl_mean"]["value"] > 0
    assert report["kl_mean"]["standard_error"] > 0
    assert report["head"] is None


def test_dry_run_with_imatrix_saved(source: Path, text: Path, tmp_path: Path) -> None:
    matrix = tmp_path / "i.gguf"
    result = run(
        "quantize", str(source), "--imatrix", str(text), "--save-imatrix", str(matrix), "--window", "64"
    )
    assert result.code == 0, result.err
    assert "importance of 7 tensors" in result.err
    result = run("quantize", str(source), "Q4_K", "--imatrix", str(matrix), "--dry-run")
    assert result.code == 0, result.err
    assert "blk.0.ffn_down.weight" in result.out
    assert "Q4_K_M" in result.out
    result = run("quantize", str(source), "iq2_xs", "--dry-run", "--json")
    plan = json.loads(result.out)
    assert plan["type"] == "IQ2_XS"
    assert {row["name"]: row["type"] for row in plan["tensors"]}["output_norm.weight"] == "F32"
    assert not (tmp_path / "out.gguf").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "TYPE is missing"),
        (("Q4_0",), "-o/--output is missing"),
        (("Q4_0", "--max-kl", "1", "-o", "x"), "TYPE and --max-kl contradict"),
        (("--target-size", "1GB", "--max-kl", "1", "-o", "x"), "--target-size and --max-kl contradict"),
        (("--max-kl", "0", "-o", "x"), "--max-kl 0.0 is out of range"),
        (("Q4_0", "--save-imatrix", "i", "-o", "x"), "--save-imatrix has nothing to save"),
        (("Q4_0", "--dry-run", "--report"), "--dry-run writes nothing"),
        (("Q4_0", "--html", "x.html", "-o", "x"), "--html is a page of the report"),
        (("--max-kl", "1", "-o", "x", "--tensor-type", "a=Q8_0"), "--tensor-type goes with a TYPE"),
        (("Q4_KX", "-o", "x"), "Q4_KX is not a type"),
        (("IQ1_S", "-o", "x"), "IQ1_S needs an importance matrix"),
        (("Q4_0", "-o", "x", "--tensor-type", "nope=Q8_0"), "no matrix of the model has 'nope'"),
    ],
)
def test_contradictions(source: Path, words: tuple[str, ...], said: str) -> None:
    result = run("quantize", str(source), *words)
    assert (result.code, result.out) == (2, "")
    assert said in result.err
