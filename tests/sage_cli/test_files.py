from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from sage_cli.render.amounts import count, size
from tests.gguf_samples import write_model
from tests.sage_cli.runner import run


@pytest.mark.parametrize(
    ("number", "shown"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (2_716_544, "2.7 MB"), (3 * 10**9, "3.0 GB")],
)
def test_sizes(number: int, shown: str) -> None:
    assert size(number) == shown


@pytest.mark.parametrize(
    ("number", "shown"), [(7, "7"), (99_715, "99.7 k"), (2_100_000, "2.1 M"), (7 * 10**9, "7.0 G")]
)
def test_counts(number: int, shown: str) -> None:
    assert count(number) == shown


def test_quantize(tmp_path: Path) -> None:
    source, output = write_model(tmp_path / "f32.gguf"), tmp_path / "q8.gguf"
    old = os.umask(0o022)
    try:
        result = run("quantize", str(source), "q8_0", "-o", str(output))
    finally:
        os.umask(old)
    assert (result.code, result.out) == (0, ""), result.err
    assert result.err.startswith(f"{output}: Q8_0, ")
    assert result.err.endswith("no head\n")
    assert stat.S_IMODE(output.stat().st_mode) == 0o644
    assert run("-q", "quantize", str(source)).code == 2
    assert run("quantize", "-q", str(source), "F16", "-o", str(output)).err == ""


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["quantize", "SOURCE", "Q9_9", "-o", "x.gguf"], 2),
        (["quantize", "SOURCE", "Q8_0", "-o", "SOURCE"], 2),
        (["quantize", "SOURCE", "Q8_0", "-o", "x.gguf", "--threads", "0"], 2),
        (["quantize", "none.gguf", "Q8_0", "-o", "x.gguf"], 66),
        (["convert", ".", "-o", "x.gguf"], 66),
        (["convert", ".", "-o", "x.gguf", "--outtype", "q3"], 2),
    ],
)
def test_what_cannot_be_done(
    args: list[str], code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = write_model(tmp_path / "f32.gguf")
    before = source.read_bytes()
    result = run(*[str(source) if arg == "SOURCE" else arg for arg in args])
    assert result.code == code
    assert result.out == ""
    assert result.err.startswith("sage: ")
    assert len(result.err.splitlines()) <= 2
    assert source.read_bytes() == before
    assert not (tmp_path / "x.gguf").exists()


def test_convert_passes_its_flags_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from convert import to_gguf

    given: list[Any] = []

    def fake(source: Path, output: Path, **options: Any) -> to_gguf.ConvertReport:
        given.extend([source, output, options])
        options["progress"](1, 2)
        output.write_text("x")
        return to_gguf.ConvertReport(
            architecture="qwen2",
            tensors=3,
            parameters=2_100_000,
            bytes_written=2_310_400,
            fingerprint="f",
            head="h",
        )

    monkeypatch.setattr(to_gguf, "convert", fake)
    output = tmp_path / "out.gguf"
    result = run(
        "convert", "folder", "-o", str(output), "--outtype", "q8_0", "--head", "h.safetensors", "--name", "n"
    )
    assert result.code == 0
    assert given[:2] == [Path("folder"), output]
    assert {k: v for k, v in given[2].items() if k != "progress"} == {
        "outtype": "q8_0", "head": Path("h.safetensors"), "name": "n",
    }  # fmt: skip
    assert result.err == f"{output}: qwen2, 2.1 M parameters as q8_0, 2.3 MB, head h\n"
