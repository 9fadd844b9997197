from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gguf
import numpy as np
import pytest

from mch_runtime.errors import (
    DataError,
    FileError,
    HeadError,
    MissingInputError,
    ModelError,
    NativeError,
    SageError,
    UsageError,
)
from mch_runtime.file_types import FILE_TYPES
from mch_runtime.gguf_file import open_checked
from mch_runtime.head.container import attach, encode_head, find_head, fingerprint, sidecar_path, verify
from mch_runtime.head.spec import Head
from mch_runtime.llama import abi, quantizer
from mch_runtime.llama.model import open_model
from quant.importance import ImportanceMatrix
from quant.quantize import plan, quantize
from quant.types import FOR_TRAINED, NEED_IMPORTANCE, Override, available_types
from tests.gguf_samples import write_model
from tests.head_samples import random_head


@pytest.fixture(scope="module")
def _model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    return write_model(folder / "base.gguf", n_embd=256, ffn=256, n_layer=1, tied=False)


@pytest.fixture
def model(_model: Path, tmp_path: Path) -> Path:
    """A model in F32 whose widths every type can divide."""
    return Path(shutil.copy(_model, tmp_path / "model.gguf"))


def ones(weight: float) -> ImportanceMatrix:
    """Every matrix of the layer; every other column weighs so much, the rest 1."""
    row = np.tile(np.array([weight, 1.0], dtype=np.float32), 128)
    parts = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
    names = [f"blk.0.{part}.weight" for part in parts]
    return ImportanceMatrix(
        sums=dict.fromkeys(names, row),
        counts=dict.fromkeys(names, 1.0),
        texts=("ones",),
        chunks=1,
        chunk_size=1,
    )


@pytest.fixture
def importance() -> ImportanceMatrix:
    return ones(1.0)


@pytest.fixture
def head(model: Path) -> Head:
    """A head that fits the model."""
    with open_checked(model) as (fd, header):
        return random_head(d=256, base_fingerprint=fingerprint(fd, header))


def head_bytes(path: Path) -> bytes:
    with open_checked(path) as (fd, header):
        found = find_head(path, fd, header, os.fstat(fd).st_size)
    assert found is not None
    assert found.place == "tail"
    return found.data


@pytest.mark.parametrize("type_name", available_types())
def test_every_type(model: Path, tmp_path: Path, type_name: str) -> None:
    output = tmp_path / "out.gguf"
    before = model.read_bytes()
    report = quantize(model, output, type_name=type_name, threads=1)
    assert model.read_bytes() == before
    assert report.before_bytes == len(before)
    assert report.after_bytes == output.stat().st_size
    assert (report.type_name, report.head_carried) == (type_name, False)
    assert bool(report.warnings) == (type_name in FOR_TRAINED)
    with open_model(output, probe=False) as opened:
        assert opened.gguf.metadata["general.file_type"] == FILE_TYPES[type_name]
        assert opened.vocabulary.size == 320
    assert type_name == "F32" or report.after_bytes < report.before_bytes


@pytest.mark.parametrize("type_name", sorted(NEED_IMPORTANCE))
def test_types_that_need_an_importance_matrix(
    model: Path, importance: ImportanceMatrix, tmp_path: Path, type_name: str
) -> None:
    with pytest.raises(NativeError, match="importance matrix"):
        abi.quantize(model, tmp_path / "raw.gguf", abi.QuantizeSettings(type_name=type_name))
    with pytest.raises(UsageError, match="needs an importance matrix") as caught:
        quantize(model, tmp_path / "out.gguf", type_name=type_name)
    assert "Q4_K_M" in caught.value.hint
    assert not (tmp_path / "out.gguf").exists()
    report = quantize(model, tmp_path / "out.gguf", type_name=type_name, threads=1, importance=importance)
    assert report.after_bytes < 300_000
    with open_model(tmp_path / "out.gguf", probe=False) as opened:
        assert opened.gguf.metadata["quantize.imatrix.entries_count"] == 7
        assert opened.gguf.metadata["quantize.imatrix.dataset"] == "ones"


def test_importance_decides_which_columns_are_kept(model: Path, tmp_path: Path) -> None:
    name, even = "blk.0.ffn_up.weight", slice(0, None, 2)
    source = {tensor.name: tensor.data for tensor in gguf.GGUFReader(model).tensors}[name]

    def error_of_even_columns(weight: float) -> float:
        matrix = ones(weight)
        quantize(model, tmp_path / "out.gguf", type_name="Q2_K", threads=1, importance=matrix)
        tensor = next(t for t in gguf.GGUFReader(tmp_path / "out.gguf").tensors if t.name == name)
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        return float(np.square(values - source)[:, even].mean())

    assert error_of_even_columns(1000.0) < 0.9 * error_of_even_columns(0.001)


def test_the_plan_is_what_is_written(model: Path, importance: ImportanceMatrix, tmp_path: Path) -> None:
    overrides = [Override("ffn_down", "Q8_0"), Override("^token_embd", "Q5_0")]
    settings: dict[str, Any] = {"type_name": "IQ3_XS", "importance": importance, "overrides": overrides}
    planned = plan(model, **settings)
    report = quantize(model, tmp_path / "out.gguf", threads=1, **settings)
    with open_checked(tmp_path / "out.gguf") as (_, header):
        assert {t.name: (t.type, t.n_bytes) for t in header.tensors} == {
            t.name: (t.after, t.after_bytes) for t in planned.tensors
        }
    types = {tensor.name: tensor.after for tensor in planned.tensors}
    assert (types["blk.0.ffn_down.weight"], types["token_embd.weight"]) == ("Q8_0", "Q5_0")
    assert 0 <= planned.after_bytes - report.after_bytes <= 1024
    assert planned.before_bytes == report.before_bytes


def test_a_plan_may_imagine_the_matrix(model: Path) -> None:
    assert plan(model, type_name="IQ2_XS", imagine_importance=True).bits_per_weight < 4
    with pytest.raises(UsageError, match="needs an importance matrix"):
        plan(model, type_name="IQ2_XS")


def test_an_override_may_need_a_matrix(model: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="IQ2_XS needs an importance matrix"):
        quantize(model, tmp_path / "o.gguf", type_name="Q4_K_M", overrides=[Override("ffn_up", "IQ2_XS")])


def test_overrides_go_with_quantized_types(model: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no effect with F16"):
        quantize(model, tmp_path / "o.gguf", type_name="F16", overrides=[Override("ffn_up", "Q8_0")])


def test_a_matrix_of_another_model(model: Path, importance: ImportanceMatrix, tmp_path: Path) -> None:
    other = write_model(tmp_path / "other.gguf", n_embd=256, ffn=512, n_layer=1, tied=False)
    with pytest.raises(DataError, match=r"blk\.0\.ffn_down\.weight has 256 columns in it and 512"):
        quantize(other, tmp_path / "o.gguf", type_name="Q4_K_M", importance=importance)


def test_a_disk_without_room_is_known_before(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quant.quantize.shutil.disk_usage", lambda _path: SimpleNamespace(free=1000))
    with pytest.raises(FileError, match="bytes are needed and 1,000 are free"):
        quantize(model, tmp_path / "o.gguf", type_name="Q4_K_M")


def test_types_for_trained_models_come_with_a_warning(model: Path, tmp_path: Path) -> None:
    report = quantize(model, tmp_path / "o.gguf", type_name="Q1_0", threads=1)
    assert "for models trained with such weights" in report.warnings[0]


def test_q8_0_is_what_gguf_py_makes(model: Path, tmp_path: Path) -> None:
    quantize(model, tmp_path / "out.gguf", type_name="q8_0", threads=1)
    source = {tensor.name: tensor.data for tensor in gguf.GGUFReader(model).tensors}
    for tensor in gguf.GGUFReader(tmp_path / "out.gguf").tensors:
        if tensor.tensor_type == gguf.GGMLQuantizationType.Q8_0:
            values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
            assert np.abs(values - source[tensor.name]).max() < 0.01 * np.abs(source[tensor.name]).max()
        else:
            assert np.array_equal(tensor.data, source[tensor.name])


def test_the_head_is_carried_over_byte_for_byte(model: Path, head: Head, tmp_path: Path) -> None:
    attach(model, head, tmp_path / "with.gguf")
    report = quantize(tmp_path / "with.gguf", tmp_path / "out.gguf", type_name="Q4_K_M", threads=1)
    assert report.head_carried
    assert head_bytes(tmp_path / "out.gguf") == head_bytes(tmp_path / "with.gguf")
    checked = verify(tmp_path / "out.gguf")
    assert checked.problem == ""
    assert checked.fingerprint == head.spec.base_fingerprint
    with open_model(tmp_path / "out.gguf", probe=False):
        pass


def test_a_sidecar_head_goes_into_the_file(model: Path, head: Head, tmp_path: Path) -> None:
    sidecar_path(model).write_bytes(encode_head(head))
    report = quantize(model, tmp_path / "out.gguf", type_name="Q4_0", threads=1)
    assert report.head_carried
    assert head_bytes(tmp_path / "out.gguf") == encode_head(head)


def test_a_head_of_another_model_is_refused(model: Path, head: Head, tmp_path: Path) -> None:
    sidecar_path(model).write_bytes(encode_head(random_head(d=256, base_fingerprint="1" * 64)))
    with pytest.raises(HeadError, match="was fitted on"):
        quantize(model, tmp_path / "out.gguf", type_name="Q4_0")
    assert not (tmp_path / "out.gguf").exists()


def test_a_damaged_head_is_refused(model: Path, head: Head, tmp_path: Path) -> None:
    attach(model, head, tmp_path / "with.gguf")
    raw = bytearray((tmp_path / "with.gguf").read_bytes())
    raw[-10] ^= 1
    (tmp_path / "with.gguf").write_bytes(raw)
    with pytest.raises(HeadError, match="damaged"):
        quantize(tmp_path / "with.gguf", tmp_path / "out.gguf", type_name="Q4_0")


def test_unexplained_bytes_are_mentioned(model: Path, tmp_path: Path) -> None:
    with model.open("ab") as file:
        file.write(b"something else entirely")
    report = quantize(model, tmp_path / "out.gguf", type_name="Q4_0", threads=1)
    assert not report.head_carried
    assert len(report.warnings) == 1


@pytest.mark.parametrize("how", ["same", "hardlink", "symlink"])
def test_never_onto_the_source(model: Path, tmp_path: Path, how: str) -> None:
    output = model if how == "same" else tmp_path / "other.gguf"
    if how == "hardlink":
        output.hardlink_to(model)
    elif how == "symlink":
        output.symlink_to(model)
    before = model.read_bytes()
    with pytest.raises(UsageError, match="is the source itself"):
        quantize(model, output, type_name="Q4_0")
    assert model.read_bytes() == before


def test_quantized_sources_only_on_request(model: Path, tmp_path: Path) -> None:
    quantize(model, tmp_path / "q8.gguf", type_name="Q8_0", threads=1)
    with pytest.raises(UsageError, match=r"quantized already \(Q8_0\)") as caught:
        quantize(tmp_path / "q8.gguf", tmp_path / "q4.gguf", type_name="Q4_0")
    assert "--allow-requantize" in caught.value.hint
    quantize(tmp_path / "q8.gguf", tmp_path / "q4.gguf", type_name="Q4_0", threads=1, allow_requantize=True)
    with open_checked(tmp_path / "q4.gguf") as (_, header):
        assert header.metadata["general.file_type"] == FILE_TYPES["Q4_0"]


@pytest.mark.parametrize("type_name", ["f16", "bf16"])
def test_half_precision_is_no_quantization(model: Path, tmp_path: Path, type_name: str) -> None:
    quantize(model, tmp_path / "half.gguf", type_name=type_name, threads=1)
    quantize(tmp_path / "half.gguf", tmp_path / "q4.gguf", type_name="q4_k_m", threads=1)
    assert (tmp_path / "q4.gguf").stat().st_size < (tmp_path / "half.gguf").stat().st_size


@pytest.mark.parametrize("type_name", ["Q4_K_XXL", "", "12", "Q4_K_M\n"])
def test_unknown_type(model: Path, tmp_path: Path, type_name: str) -> None:
    with pytest.raises(UsageError, match="is not a type of quantization") as caught:
        quantize(model, tmp_path / "out.gguf", type_name=type_name)
    assert "Q4_K_M" in caught.value.hint


@pytest.mark.parametrize("threads", [0, -1, 100_000])
def test_threads_out_of_range(model: Path, tmp_path: Path, threads: int) -> None:
    with pytest.raises(UsageError, match="threads"):
        quantize(model, tmp_path / "out.gguf", type_name="Q4_0", threads=threads)


def test_bad_sources(model: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingInputError):
        quantize(tmp_path / "nowhere.gguf", tmp_path / "out.gguf", type_name="Q4_0")
    os.truncate(model, model.stat().st_size - 100_000)
    with pytest.raises(ModelError):
        quantize(model, tmp_path / "out.gguf", type_name="Q4_0")
    assert not (tmp_path / "out.gguf").exists()


def test_failure_leaves_the_output_as_it_was(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out.gguf"
    output.write_bytes(b"before")

    def damage(_fd: int, source: Path, target: Path, _settings: object, **options: object) -> None:
        target.write_bytes(source.read_bytes()[:-1000])

    monkeypatch.setattr("quant.quantize.llama_quantize", damage)
    with pytest.raises(SageError):
        quantize(model, output, type_name="Q4_0")
    assert output.read_bytes() == b"before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.gguf", "out.gguf"]


def test_a_result_with_another_fingerprint_is_refused(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = write_model(tmp_path / "other.gguf", n_embd=256, ffn=256, n_layer=1, tied=True)

    def swap(_fd: int, source: Path, target: Path, _settings: object, **options: object) -> None:
        shutil.copy(other, target)

    monkeypatch.setattr("quant.quantize.llama_quantize", swap)
    with pytest.raises(NativeError, match="more than the weights"):
        quantize(model, tmp_path / "out.gguf", type_name="Q4_0")


def test_a_crash_of_the_quantizer_is_an_error_here(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "crash.py").write_text("import os; os.abort()")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    run = quantizer.run_child
    monkeypatch.setattr(quantizer, "run_child", lambda _module, *_, **options: run("crash", **options))
    with pytest.raises(NativeError, match="SIGABRT"):
        quantize(model, tmp_path / "out.gguf", type_name="Q4_0")
    assert not (tmp_path / "out.gguf").exists()


FULL = """
import resource, signal, sys
from pathlib import Path
from mch_runtime.errors import SageError
from quant.quantize import quantize
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    quantize(Path(sys.argv[1]), Path(sys.argv[2]), type_name="Q8_0", threads=1)
except SageError as error:
    print(error.exit_code, error.message)
"""


def test_no_room_for_the_output(model: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.gguf"
    output.write_bytes(b"before")
    child = subprocess.run(
        [sys.executable, "-c", FULL, str(model), str(output)], capture_output=True, text=True, check=True
    )
    assert child.stdout == f"74 cannot write {output}: the disk is full or failing\n"
    assert output.read_bytes() == b"before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.gguf", "out.gguf"]
