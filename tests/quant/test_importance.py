from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gguf
import numpy as np
import pytest

from convert.to_gguf import convert
from mch_runtime.errors import DataError, MissingInputError
from mch_runtime.gguf_file import open_checked, read_gguf
from mch_runtime.llama.model import open_model
from quant.importance import ImportanceMatrix, check_fits, compute, is_matrix_file, read, write
from quant.texts import Document, Text
from tests.gguf_samples import write_model


class TokenIds(Text):
    """A text whose tokens are given."""

    def documents(self, model: object) -> list[Document]:
        rng = np.random.default_rng(0)
        return [Document(token_ids=tuple(map(int, rng.integers(0, 300, n)))) for n in (40, 7, 25)]


def matrix(sums: dict[str, int], **changes: Any) -> ImportanceMatrix:
    values = {
        "sums": {name: np.arange(width, dtype=np.float32) for name, width in sums.items()},
        "counts": dict.fromkeys(sums, 4.0),
        "texts": ("a.txt",),
        "chunks": 2,
        "chunk_size": 128,
    }
    return ImportanceMatrix(**values | changes)


def test_it_is_the_sum_of_squared_inputs_of_every_weight(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from tests import hf_samples

    torch.set_num_threads(1)
    model = hf_samples.random_model(hf_samples.config())
    folder = hf_samples.save(tmp_path / "hf", model)
    convert(folder, tmp_path / "m.gguf", outtype="f32")
    expected: dict[str, Any] = {}
    names = {"q_proj": "attn_q", "k_proj": "attn_k", "v_proj": "attn_v", "o_proj": "attn_output"}
    names |= {"gate_proj": "ffn_gate", "up_proj": "ffn_up", "down_proj": "ffn_down"}

    def watch(name: str) -> Callable[..., None]:
        def hook(_module: object, inputs: tuple[Any, ...]) -> None:
            squares = inputs[0].double().square().sum(dim=(0, 1))
            expected[name] = expected.get(name, torch.zeros_like(squares)) + squares

        return hook

    for path, module in model.named_modules():
        part = path.rpartition(".")[2]
        if part in names:
            module.register_forward_pre_hook(watch(f"blk.{path.split('.')[2]}.{names[part]}.weight"))
    documents = TokenIds(name="ids").documents(None)
    model.eval().float()
    with torch.no_grad():
        for document in documents:
            model(torch.tensor([document.token_ids]))

    found = compute(tmp_path / "m.gguf", TokenIds(name="ids"), threads=1)
    assert set(found.sums) == set(expected)
    assert set(found.counts.values()) == {72.0}
    assert (found.texts, found.chunks, found.chunk_size) == (("ids",), 3, 40)
    for name, sums in found.sums.items():
        assert np.allclose(sums, expected[name].numpy(), rtol=2e-3, atol=1e-5), name


def test_progress_reaches_the_end(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m.gguf", n_layer=1)
    told: list[tuple[int, int]] = []
    compute(model, TokenIds(name="ids"), threads=1, progress=lambda *pair: told.append(pair))
    assert told[-1] == (72, 72)


def test_written_and_read_again(tmp_path: Path) -> None:
    before = matrix({"blk.0.ffn_up.weight": 64, "blk.0.ffn_down.weight": 96})
    write(before, tmp_path / "i.gguf")
    after = read(tmp_path / "i.gguf")
    assert after.counts == before.counts
    assert (after.texts, after.chunks, after.chunk_size) == (("a.txt",), 2, 128)
    for name, sums in before.sums.items():
        assert np.array_equal(after.sums[name], sums)
        assert np.allclose(after.means()[name], sums / 4)


def test_the_file_is_what_llama_imatrix_writes(tmp_path: Path) -> None:
    """Names, shapes and metadata of llama.cpp's tool, which its own quantizer reads."""
    write(matrix({"blk.0.ffn_up.weight": 64}), tmp_path / "i.gguf")
    reader = gguf.GGUFReader(tmp_path / "i.gguf")
    assert {t.name: tuple(t.shape) for t in reader.tensors} == {
        "blk.0.ffn_up.weight.in_sum2": (64, 1),
        "blk.0.ffn_up.weight.counts": (1, 1),
    }
    fd = os.open(tmp_path / "i.gguf", os.O_RDONLY)
    metadata = read_gguf(fd).metadata
    os.close(fd)
    assert metadata["general.type"] == "imatrix"
    assert metadata["imatrix.datasets"] == ("a.txt",)
    assert (metadata["imatrix.chunk_count"], metadata["imatrix.chunk_size"]) == (2, 128)


def test_reads_what_newer_tools_add(tmp_path: Path) -> None:
    """llama-imatrix also stores plain sums."""
    writer = gguf.GGUFWriter(tmp_path / "i.gguf", arch="")
    writer.add_type("imatrix")
    for suffix, values in {"in_sum": np.ones((1, 8)), "in_sum2": np.ones((1, 8)), "counts": [[2.0]]}.items():
        writer.add_tensor(f"blk.0.ffn_up.weight.{suffix}", np.array(values, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert list(read(tmp_path / "i.gguf").sums) == ["blk.0.ffn_up.weight"]


def test_a_weight_that_saw_no_token_counts_one() -> None:
    silent = matrix({"blk.0.ffn_up.weight": 8}, counts={"blk.0.ffn_up.weight": 0.0})
    assert np.array_equal(silent.means()["blk.0.ffn_up.weight"], np.ones(8))


@pytest.mark.parametrize(
    ("sums", "complaint"),
    [
        ({"blk.7.ffn_up.weight": 64}, "it has blk.7.ffn_up.weight, which m.gguf has not"),
        ({"blk.0.ffn_up.weight": 32}, "blk.0.ffn_up.weight has 32 columns in it and 64 in m.gguf"),
        ({"blk.0.ffn_up.weight": 64}, "it lacks blk.0.attn_q.weight, 6 in all"),
    ],
)
def test_of_another_model(tmp_path: Path, sums: dict[str, int], complaint: str) -> None:
    model = write_model(tmp_path / "m.gguf", n_layer=1)
    with open_checked(model) as (_, header), pytest.raises(DataError, match="another model's") as caught:
        check_fits(matrix(sums), header, model=model)
    assert complaint in caught.value.message


def test_a_model_is_no_matrix(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m.gguf", n_layer=1)
    assert is_matrix_file(model)
    with pytest.raises(DataError, match="not an importance matrix"):
        read(model)


def test_damaged_matrices(tmp_path: Path) -> None:
    path = tmp_path / "i.gguf"
    write(matrix({"blk.0.ffn_up.weight": 64}), path)
    whole = path.read_bytes()
    for length in (8, 100, len(whole) - 70):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError):
            read(path)
    write(matrix({"a.weight": 4}, counts={"a.weight": float("nan")}), path)
    with pytest.raises(DataError, match="not a finite number"):
        read(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError):
        is_matrix_file(tmp_path / "none.txt")
    with pytest.raises(MissingInputError):
        read(tmp_path / "none.gguf")


def test_notes_for_the_quantized_file() -> None:
    assert matrix({"blk.0.ffn_up.weight": 8}).notes() == {
        "quantize.imatrix.dataset": "a.txt",
        "quantize.imatrix.entries_count": 1,
        "quantize.imatrix.chunks_count": 2,
    }


def test_a_model_opens_in_the_scoped_pass_only(tmp_path: Path) -> None:
    """The pass leaves nothing behind: the same model can be opened and read again."""
    model = write_model(tmp_path / "m.gguf", n_layer=1)
    first = compute(model, TokenIds(name="ids"), threads=1)
    with open_model(model, probe=False):
        second = compute(model, TokenIds(name="ids"), threads=1)
    assert SimpleNamespace(**first.counts) == SimpleNamespace(**second.counts)
