"""The bounded reader and the guard: what they return, what they refuse, and that nothing else happens."""

from __future__ import annotations

import os
import random
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf import GGUFValueType, GGUFWriter
from hypothesis import given, settings
from hypothesis import strategies as st

from mch_runtime.errors import AccessError, MissingInputError, ModelError
from mch_runtime.gguf.architectures import ARCHITECTURES
from mch_runtime.gguf.types import TENSOR_TYPES, WEIGHTS
from mch_runtime.gguf_file import GgufFile, check_model, open_checked, read_gguf, read_tensor
from tests.gguf_samples import Tensors, make_tensors, write_model

UINT32, FLOAT32, STRING, ARRAY, UINT8 = 4, 6, 8, 9, 0


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("gguf") / "model.gguf")


def check(path: Path) -> GgufFile:
    with open_checked(path) as checked:
        return checked.gguf


def refused(action: Callable[[], object]) -> str:
    with pytest.raises(ModelError) as caught:
        action()
    assert caught.value.message
    return caught.value.rule


# The reader


def test_type_table_is_that_of_gguf_py() -> None:
    ours = {name: (type_id, block, size) for type_id, (name, block, size) in TENSOR_TYPES.items()}
    theirs = {kind.name: (kind.value, *sizes) for kind, sizes in gguf.GGML_QUANT_SIZES.items()}
    assert set(ours) - set(theirs) <= {"Q2_0"}  # llama.cpp has it, and not every gguf-py
    assert {name: kind for name, kind in ours.items() if name in theirs} == {
        name: kind for name, kind in theirs.items() if name in ours
    }
    assert set(theirs) - set(ours) <= {"NVFP4", "Q1_0"}
    assert not {"F64", "I8", "I32", "Q8_K"} & WEIGHTS


def test_reads_what_gguf_py_reads(model: Path) -> None:
    ours, theirs = check(model), gguf.GGUFReader(model)
    assert ours.data_offset == theirs.data_offset
    assert [tensor.name for tensor in ours.tensors] == [tensor.name for tensor in theirs.tensors]
    for mine, other in zip(ours.tensors, theirs.tensors, strict=True):
        assert mine.shape == tuple(int(size) for size in reversed(other.shape))
        assert (mine.type, mine.offset, mine.n_bytes) == (
            other.tensor_type.name,
            int(other.data_offset),
            int(other.n_bytes),
        )
    for key, field in theirs.fields.items():
        if not key.startswith("GGUF."):
            value = field.contents()
            assert ours.metadata[key] == (tuple(value) if isinstance(value, list) else value)


def test_reads_tensors_and_types(model: Path) -> None:
    expected = make_tensors("qwen2", n_layer=2, n_embd=64, n_head=4, n_head_kv=2, ffn=96, vocab=320)
    with open_checked(model) as (fd, header):
        assert header.types["qwen2.block_count"] == "uint32"
        assert header.types["tokenizer.ggml.tokens"] == "[string]"
        for name, tensor in expected.items():
            np.testing.assert_array_equal(read_tensor(fd, header, name), tensor)
        with pytest.raises(KeyError):
            read_tensor(fd, header, "no.such.tensor")


def test_offset_and_bytes_give_the_same(model: Path, tmp_path: Path) -> None:
    data = model.read_bytes()
    whole = read_gguf(data)
    behind = tmp_path / "behind"
    behind.write_bytes(bytes(4096) + data + b"tail")
    with behind.open("rb") as file:
        moved = read_gguf(file.fileno(), offset=4096, length=len(data))
        np.testing.assert_array_equal(
            read_tensor(file.fileno(), moved, "output_norm.weight"),
            read_tensor(data, whole, "output_norm.weight"),
        )
    assert moved.metadata == whole.metadata
    assert (moved.end, moved.data_offset) == (whole.end + 4096, whole.data_offset + 4096)


def test_f16_and_alignment(tmp_path: Path) -> None:
    path = tmp_path / "f16.gguf"
    writer = GGUFWriter(path, "x")
    writer.add_custom_alignment(64)
    writer.add_tensor("a", np.arange(3, dtype=np.float16))
    writer.add_tensor("b", np.arange(5, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    data = path.read_bytes()
    header = read_gguf(data)
    assert header.alignment == 64
    assert header.tensors[1].offset - header.tensors[0].offset == 64
    assert header.end == header.tensors[1].offset + 20
    assert read_tensor(data, header, "a").tolist() == [0.0, 1.0, 2.0]


def text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(data)) + data


def field(key: str, kind: int, payload: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + payload


def array(key: str, kind: int, count: int, payload: bytes = b"") -> bytes:
    return field(key, ARRAY, struct.pack("<IQ", kind, count) + payload)


def tensor(name: str, *shape: int, kind: int = 0, offset: int = 0) -> bytes:
    dimensions = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
    return text(name) + dimensions + struct.pack("<IQ", kind, offset)


def raw(
    *fields: bytes, tensors: tuple[bytes, ...] = (), version: int = 3, n_fields: int | None = None
) -> bytes:
    count = len(fields) if n_fields is None else n_fields
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), count)
    return head + b"".join(fields) + b"".join(tensors)


HUGE = (1 << 63, (1 << 64) - 1)
HOSTILE = {
    "not-gguf": [b"", b"GG", b"GGML" + bytes(20), b"\x7fELF" + bytes(100)],
    "version": [raw(version=1), raw(version=4), raw(version=0x03000000)],
    "truncated": [
        b"GGUF",
        raw()[:-1],
        raw(n_fields=1),
        raw(field("a", UINT32, b"\1\0")),
        raw(field("a", STRING, struct.pack("<Q", 100))),
        raw(array("a", UINT8, 100)),
        raw(array("a", STRING, 1 << 20)),
        raw(array("a", STRING, 2, text("x") + struct.pack("<Q", 4000))),
    ],
    "tensor-count": [b"GGUF" + struct.pack("<IQQ", 3, count, 0) for count in HUGE],
    "field-count": [raw(n_fields=count) for count in (4097, *HUGE)],
    "key": [
        raw(field("", UINT32, bytes(4))),
        raw(field("a\nb", UINT32, bytes(4))),
        raw(field("é", UINT32, bytes(4))),
    ],
    "duplicate-key": [raw(*[field("a", UINT32, bytes(4))] * 2)],
    "value-type": [raw(field("a", 13, b"")), raw(field("a", 2**32 - 1, b"")), raw(array("a", 13, 0))],
    "nested-array": [raw(array("a", ARRAY, 1 << 60)), raw(array("a", ARRAY, 1))],
    "array-length": [raw(array("a", kind, count)) for kind in (UINT8, STRING) for count in (5 << 20, *HUGE)],
    "string-length": [
        *(raw(field("a", STRING, struct.pack("<Q", count))) for count in (5 << 20, *HUGE)),
        raw(struct.pack("<Q", 257) + b"k" * 257, n_fields=1),
        raw(tensors=(tensor("n" * 64, 1),)),
        raw(array("a", STRING, 2, text("x") + struct.pack("<Q", 1 << 63) + bytes(64))),
    ],
    "utf-8": [
        raw(field("a", STRING, text(b"\xff"))),
        raw(array("a", STRING, 1, text(b"\xc3"))),
        raw(text(b"\x80") + bytes(8), n_fields=1),
    ],
    "alignment": [
        *(raw(field("general.alignment", UINT32, struct.pack("<I", n))) for n in (0, 1, 8, 16, 33, 1 << 17)),
        raw(field("general.alignment", FLOAT32, struct.pack("<f", 32))),
        raw(field("general.alignment", STRING, text("32"))),
    ],
    "tensor-name": [raw(tensors=(tensor("", 1),)), raw(tensors=(tensor("a", 1), tensor("a", 1, offset=32)))],
    "tensor-shape": [
        raw(tensors=(tensor("a"),)),
        raw(tensors=(tensor("a", 1, 1, 1, 1, 1),)),
        raw(tensors=(tensor("a", 0),)),
        raw(tensors=(tensor("a", 1 << 63),)),
        raw(tensors=(tensor("a", 33, kind=8),)),
    ],
    "tensor-type": [raw(tensors=(tensor("a", 1, kind=kind),)) for kind in (4, 31, 43, 999, 2**32 - 1)],
    "tensor-offset": [
        raw(tensors=(tensor("a", 1, offset=1),)),
        raw(tensors=(tensor("a", 1), tensor("b", 1, offset=0))),
        raw(tensors=(tensor("a", 1), tensor("b", 1, offset=2**64 - 32))),
    ],
}


@pytest.mark.parametrize(
    ("rule", "data"), [(rule, data) for rule, cases in HOSTILE.items() for data in cases]
)
def test_hostile_headers_are_refused(rule: str, data: bytes) -> None:
    assert refused(lambda: read_gguf(data)) == rule


def test_header_size_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "long"
    strings = raw(*(array(f"a{n}", UINT8, 4 << 20, bytes(4 << 20)) for n in range(16)), n_fields=20)
    path.write_bytes(strings)
    os.truncate(path, 1 << 30)
    with path.open("rb") as file:
        assert refused(lambda: read_gguf(file.fileno())) == "header-size"


def test_every_truncation_is_refused(model: Path) -> None:
    data = model.read_bytes()
    header = read_gguf(data)
    for end in [*range(0, 2000, 7), *range(2000, header.data_offset - 32, 997)]:
        assert refused(lambda end=end: read_gguf(data[:end])) in ("not-gguf", "truncated")
    assert refused(lambda: check_model(header, header.end - 1)) == "truncated"


def test_large_vocabularies_are_read(tmp_path: Path) -> None:
    path = tmp_path / "large.gguf"
    writer = GGUFWriter(path, "qwen2")
    writer.add_token_list([f"token {n}" for n in range(150_000)])
    writer.add_token_merges([f"tok {n}" for n in range(150_000)])
    writer.add_token_types([1] * 150_000)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    with path.open("rb") as file:
        header = read_gguf(file.fileno())
    tokens = header.metadata["tokenizer.ggml.tokens"]
    assert isinstance(tokens, tuple)
    assert tokens[149_999] == "token 149999"


# Opening


def test_refusal_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "text.gguf"
    path.write_text("hello, I am no model")
    with pytest.raises(ModelError, match=r"text\.gguf: not a GGUF file \[not-gguf\]"):
        check(path)


def test_what_cannot_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingInputError):
        check(tmp_path / "none.gguf")
    assert refused(lambda: check(tmp_path)) == "not-a-file"
    os.mkfifo(tmp_path / "pipe")
    assert refused(lambda: check(tmp_path / "pipe")) == "not-a-file"
    (tmp_path / "empty").touch()
    assert refused(lambda: check(tmp_path / "empty")) == "not-gguf"

    def denied(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(AccessError):
        check(tmp_path / "empty")


def test_descriptor_is_closed(model: Path) -> None:
    with open_checked(model) as (fd, _):
        pass
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


# The guard


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
@pytest.mark.parametrize("tied", [True, False])
def test_accepts_every_architecture(tmp_path: Path, architecture: str, *, tied: bool) -> None:
    never_untied = architecture in ("gemma", "gemma2")
    path = write_model(tmp_path / "m.gguf", architecture=architecture, tied=tied or never_untied)
    check(path)


@pytest.mark.parametrize("tokenizer", ["gpt2", "llama"])
def test_accepts_both_tokenizers(tmp_path: Path, tokenizer: str) -> None:
    check(write_model(tmp_path / "m.gguf", tokenizer=tokenizer))


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0", "Q4_0", "Q5_1"])
def test_accepts_weight_types(tmp_path: Path, kind: str) -> None:
    check(write_model(tmp_path / "m.gguf", weight_type=gguf.GGMLQuantizationType[kind]))


def uint(key: str, value: int) -> Callable[[GGUFWriter], object]:
    return lambda writer: writer.add_uint32(key, value)


def real(key: str, value: float) -> Callable[[GGUFWriter], object]:
    return lambda writer: writer.add_float32(key, value)


def string(key: str, value: str) -> Callable[[GGUFWriter], object]:
    return lambda writer: writer.add_key_value(key, value, GGUFValueType.STRING)


def flag(key: str, *, value: bool) -> Callable[[GGUFWriter], object]:
    return lambda writer: writer.add_bool(key, value)


def items(key: str, value: list[object], kind: GGUFValueType) -> Callable[[GGUFWriter], object]:
    return lambda writer: writer.add_key_value(key, value, GGUFValueType.ARRAY, sub_type=kind)


def without(key: str) -> Callable[[GGUFWriter], object]:
    return lambda writer: writer.kv_data[0].pop(key)


def tokens(edit: Callable[[list[str]], object]) -> Callable[[GGUFWriter], object]:
    def apply(writer: GGUFWriter) -> None:
        values = list(writer.kv_data[0]["tokenizer.ggml.tokens"].value)
        edit(values)
        writer.add_token_list(values)

    return apply


def at(index: int, value: str) -> Callable[[list[str]], object]:
    return lambda values: values.__setitem__(index, value)


BAD_METADATA = [
    ("split-file", lambda writer: writer.add_uint16("split.count", 2)),
    ("not-a-model", string("general.type", "adapter")),
    ("not-a-model", string("general.type", "imatrix")),
    ("architecture", string("general.architecture", "mch")),
    ("architecture", string("general.architecture", "mamba")),
    ("architecture", uint("general.architecture", 3)),
    ("architecture", without("general.architecture")),
    ("block-count", uint("qwen2.block_count", 0)),
    ("block-count", uint("qwen2.block_count", 513)),
    ("block-count", real("qwen2.block_count", 2.0)),
    ("block-count", without("qwen2.block_count")),
    ("missing-tensor", uint("qwen2.block_count", 3)),
    ("unknown-tensor", uint("qwen2.block_count", 1)),
    ("context-length", uint("qwen2.context_length", 0)),
    ("context-length", uint("qwen2.context_length", 1 << 31)),
    ("embedding-length", uint("qwen2.embedding_length", 0)),
    ("tensor-shape", uint("qwen2.embedding_length", 32)),
    ("embedding-length-out", uint("qwen2.embedding_length_out", 32)),
    ("feed-forward-length", uint("qwen2.feed_forward_length", 0)),
    ("feed-forward-length", items("qwen2.feed_forward_length", [96, 64], GGUFValueType.UINT32)),
    ("feed-forward-length", items("qwen2.feed_forward_length", [96], GGUFValueType.UINT32)),
    ("head-count", uint("qwen2.attention.head_count", 0)),
    ("head-count", uint("qwen2.attention.head_count", 6)),
    ("head-count", items("qwen2.attention.head_count", [4.0, 4.0], GGUFValueType.FLOAT32)),
    ("head-count-kv", uint("qwen2.attention.head_count_kv", 0)),
    ("head-count-kv", uint("qwen2.attention.head_count_kv", 3)),
    ("tensor-shape", uint("qwen2.attention.head_count_kv", 4)),
    ("value-length", uint("qwen2.attention.value_length", 8)),
    ("value-length", uint("qwen2.attention.key_length", 8)),
    ("key-length-swa", uint("qwen2.attention.key_length_swa", 8)),
    ("rope-dimension-count", uint("qwen2.rope.dimension_count", 8)),
    ("rope-dimension-count", uint("qwen2.rope.dimension_count", 32)),
    ("rope-dimension-count-swa", uint("qwen2.rope.dimension_count_swa", 8)),
    ("rope-scaling-type", string("qwen2.rope.scaling.type", "magic")),
    ("rope-scaling-type", uint("qwen2.rope.scaling.type", 1)),
    ("rope-scaling-factor", real("qwen2.rope.scaling.factor", -1.0)),
    ("rope-freq-base", real("qwen2.rope.freq_base", 0.0)),
    ("rope-freq-base", real("qwen2.rope.freq_base", float("inf"))),
    ("layer-norm-rms-epsilon", real("qwen2.attention.layer_norm_rms_epsilon", float("nan"))),
    ("layer-norm-rms-epsilon", real("qwen2.attention.layer_norm_rms_epsilon", -1e-6)),
    ("layer-norm-rms-epsilon", real("qwen2.attention.layer_norm_rms_epsilon", 0.0)),
    ("causal", flag("qwen2.attention.causal", value=False)),
    ("pooling-type", uint("qwen2.pooling_type", 9)),
    ("nextn-predict-layers", uint("qwen2.nextn_predict_layers", 1)),
    ("expert-count", uint("qwen2.expert_count", 8)),
    ("expert-used-count", uint("qwen2.expert_used_count", 2)),
    ("expert-group-count", uint("qwen2.expert_group_count", 2)),
    ("sliding-window", uint("qwen2.attention.sliding_window", 2**32 - 1)),
    ("sliding-window-pattern", items("qwen2.attention.sliding_window_pattern", [True], GGUFValueType.BOOL)),
    ("deepstack-mapping", items("qwen2.deepstack_mapping", [1], GGUFValueType.INT32)),
    ("tokenizer", string("tokenizer.ggml.model", "rwkv")),
    ("tokenizer", without("tokenizer.ggml.model")),
    ("tokens", without("tokenizer.ggml.tokens")),
    ("tokens", items("tokenizer.ggml.tokens", [1, 2], GGUFValueType.INT32)),
    ("merges", without("tokenizer.ggml.merges")),
    ("merges", string("tokenizer.ggml.merges", "a b")),
    ("duplicate-token", tokens(at(5, "a"))),
    ("empty-token", tokens(at(5, ""))),
    ("nul-token", tokens(at(5, "a\0"))),
    ("token-length", tokens(at(5, "€" * 1400))),
    ("tensor-shape", tokens(lambda values: values.pop())),
    ("token-type", items("tokenizer.ggml.token_type", [1] * 320, GGUFValueType.UINT8)),
    ("token-type", items("tokenizer.ggml.token_type", [1] * 319, GGUFValueType.INT32)),
    ("byte-token", items("tokenizer.ggml.token_type", [6] * 320, GGUFValueType.INT32)),
    ("scores", items("tokenizer.ggml.scores", [0] * 320, GGUFValueType.UINT8)),
    ("scores", items("tokenizer.ggml.scores", [0.0] * 3, GGUFValueType.FLOAT32)),
    ("chat-template", string("tokenizer.chat_template", "x" * (256 * 1024 + 1))),
    ("chat-template", string("tokenizer.chat_template.tool", "x" * (256 * 1024 + 1))),
    ("chat-template", uint("tokenizer.chat_template", 1)),
]


@pytest.mark.parametrize(("rule", "edit"), BAD_METADATA)
def test_guard_refuses_metadata(tmp_path: Path, rule: str, edit: Callable[[GGUFWriter], object]) -> None:
    path = write_model(tmp_path / "m.gguf", edit_metadata=edit)
    assert refused(lambda: check(path)) == rule


def test_guard_wants_byte_tokens_of_the_llama_tokenizer(tmp_path: Path) -> None:
    edit = tokens(at(3, "<0xZZ>"))
    assert (
        refused(lambda: check(write_model(tmp_path / "m", tokenizer="llama", edit_metadata=edit)))
        == "byte-token"
    )


def replaced(name: str, value: np.ndarray) -> Callable[[Tensors], object]:
    return lambda tensors: tensors.__setitem__(name, value)


def renamed(old: str, new: str) -> Callable[[Tensors], object]:
    return lambda tensors: tensors.__setitem__(new, tensors.pop(old))


BAD_TENSORS = [
    ("unknown-tensor", replaced("sage.head.weight", np.zeros(4, np.float32))),
    ("unknown-tensor", replaced("blk.0.sage.weight", np.zeros(4, np.float32))),
    ("unknown-tensor", replaced("blk.2.attn_norm.weight", np.zeros(64, np.float32))),
    ("unknown-tensor", replaced("rope_freqs.weight", np.zeros(8, np.float32))),
    ("missing-tensor", renamed("output_norm.weight", "output_norm.weights")),
    ("missing-tensor", lambda tensors: tensors.pop("blk.1.ffn_up.weight")),
    ("tensor-shape", replaced("output_norm.weight", np.zeros(32, np.float32))),
    ("tensor-shape", replaced("token_embd.weight", np.zeros((64, 320), np.float32))),
    ("tensor-shape", replaced("blk.0.attn_q.bias", np.zeros((1, 64), np.float32))),
    ("tensor-type", replaced("output_norm.weight", np.zeros(64, np.float16))),
    ("tensor-type", replaced("blk.0.attn_q.bias", np.zeros(64, np.int32))),
    ("tensor-type", replaced("token_embd.weight", np.zeros((320, 64), np.float64))),
    ("tensor-type", replaced("blk.0.ffn_up.weight", np.zeros((96, 64), np.int8))),
]


@pytest.mark.parametrize(("rule", "edit"), BAD_TENSORS)
def test_guard_refuses_tensors(tmp_path: Path, rule: str, edit: Callable[[Tensors], object]) -> None:
    path = write_model(tmp_path / "m.gguf", edit_tensors=edit)
    assert refused(lambda: check(path)) == rule


def test_hints_help(tmp_path: Path) -> None:
    split = write_model(tmp_path / "a", edit_metadata=lambda writer: writer.add_uint16("split.count", 3))
    with pytest.raises(ModelError) as caught:
        check(split)
    assert "llama-gguf-split --merge" in caught.value.hint
    with pytest.raises(ModelError) as caught:
        check(write_model(tmp_path / "b", edit_metadata=string("general.architecture", "mamba")))
    assert "qwen2" in caught.value.hint


# Real models


def write_header(
    path: Path,
    architecture: str,
    *,
    shapes: dict[str, tuple[int, ...]],
    fields: dict[str, int | float | str],
    tokenizer: str,
    vocab: int,
) -> Path:
    """A whole header with the data left out: a sparse file of the right size."""
    writer = GGUFWriter(path, architecture)
    add = {int: writer.add_uint32, float: writer.add_float32, str: writer.add_string}
    for key, value in fields.items():
        add[type(value)](f"{architecture}.{key}", value)
    writer.add_tokenizer_model(tokenizer)
    first = [f"<0x{byte:02X}>" for byte in range(256)] if tokenizer == "llama" else []
    writer.add_token_list(first + [f"token{n}" for n in range(vocab - len(first))])
    writer.add_token_types([1] * vocab)
    if tokenizer == "llama":
        writer.add_token_scores([0.0] * vocab)
    else:
        writer.add_token_merges([f"tok {n}" for n in range(1000)])
    size = 0
    for name, shape in shapes.items():
        kind = gguf.GGMLQuantizationType.F32 if len(shape) == 1 else gguf.GGMLQuantizationType.Q8_0
        block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
        n_bytes = int(np.prod(shape)) // block * block_bytes
        writer.add_tensor_info(name, shape, np.dtype(np.float32), n_bytes, raw_dtype=kind)
        size += -(-n_bytes // 32) * 32
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    os.truncate(path, -(-path.stat().st_size // 32) * 32 + size)
    return path


def decoder_shapes(
    *,
    vocab: int,
    embd: int,
    layers: int,
    q: int,
    kv: int,
    ff: int,
    vectors: dict[str, int],
    top: dict[str, tuple[int, ...]] | None = None,
) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (vocab, embd), "output_norm.weight": (embd,)}
    for layer in range(layers):
        matrices = {
            "attn_q": (q, embd),
            "attn_k": (kv, embd),
            "attn_v": (kv, embd),
            "attn_output": (embd, q),
            "ffn_gate": (ff, embd),
            "ffn_up": (ff, embd),
            "ffn_down": (embd, ff),
        }
        shapes |= {f"blk.{layer}.{name}.weight": shape for name, shape in matrices.items()}
        norms = {"attn_norm.weight": embd, "ffn_norm.weight": embd} | vectors
        shapes |= {f"blk.{layer}.{name}": (size,) for name, size in norms.items()}
    return shapes | (top or {})


REAL = {
    "Qwen2.5-0.5B": (
        "qwen2",
        "gpt2",
        {"block_count": 24, "context_length": 32768, "embedding_length": 896, "feed_forward_length": 4864}
        | {"attention.head_count": 14, "attention.head_count_kv": 2, "rope.freq_base": 1e6}
        | {"attention.layer_norm_rms_epsilon": 1e-6},
        decoder_shapes(
            vocab=151_936,
            embd=896,
            layers=24,
            q=896,
            kv=128,
            ff=4864,
            vectors={"attn_q.bias": 896, "attn_k.bias": 128, "attn_v.bias": 128},
        ),
    ),
    "Llama-3.2-1B": (
        "llama",
        "gpt2",
        {"block_count": 16, "context_length": 131_072, "embedding_length": 2048, "feed_forward_length": 8192}
        | {"attention.head_count": 32, "attention.head_count_kv": 8, "rope.freq_base": 5e5}
        | {"attention.layer_norm_rms_epsilon": 1e-5, "attention.key_length": 64, "attention.value_length": 64}
        | {"vocab_size": 128_256, "rope.dimension_count": 64},
        decoder_shapes(
            vocab=128_256,
            embd=2048,
            layers=16,
            q=2048,
            kv=512,
            ff=8192,
            vectors={},
            top={"rope_freqs.weight": (32,)},
        ),
    ),
    "Qwen3-0.6B": (
        "qwen3",
        "gpt2",
        {"block_count": 28, "context_length": 40_960, "embedding_length": 1024, "feed_forward_length": 3072}
        | {"attention.head_count": 16, "attention.head_count_kv": 8, "rope.freq_base": 1e6}
        | {
            "attention.layer_norm_rms_epsilon": 1e-6,
            "attention.key_length": 128,
            "attention.value_length": 128,
        },
        decoder_shapes(
            vocab=151_936,
            embd=1024,
            layers=28,
            q=2048,
            kv=1024,
            ff=3072,
            vectors={"attn_q_norm.weight": 128, "attn_k_norm.weight": 128},
        ),
    ),
    "gemma-3-1b": (
        "gemma3",
        "llama",
        {"block_count": 26, "context_length": 32_768, "embedding_length": 1152, "feed_forward_length": 6912}
        | {"attention.head_count": 4, "attention.head_count_kv": 1, "rope.freq_base": 1e6}
        | {
            "attention.layer_norm_rms_epsilon": 1e-6,
            "attention.key_length": 256,
            "attention.value_length": 256,
        }
        | {"attention.sliding_window": 512},
        decoder_shapes(
            vocab=262_144,
            embd=1152,
            layers=26,
            q=1024,
            kv=256,
            ff=6912,
            vectors={"attn_q_norm.weight": 256, "attn_k_norm.weight": 256}
            | {"post_attention_norm.weight": 1152, "post_ffw_norm.weight": 1152},
        ),
    ),
    "TinyLlama-1.1B": (
        "llama",
        "llama",
        {"block_count": 22, "context_length": 2048, "embedding_length": 2048, "feed_forward_length": 5632}
        | {"attention.head_count": 32, "attention.head_count_kv": 4, "rope.freq_base": 1e4}
        | {"attention.layer_norm_rms_epsilon": 1e-5, "rope.dimension_count": 64},
        decoder_shapes(
            vocab=32_000,
            embd=2048,
            layers=22,
            q=2048,
            kv=256,
            ff=5632,
            vectors={},
            top={"output.weight": (32_000, 2048)},
        ),
    ),
}


@pytest.mark.parametrize("name", sorted(REAL))
def test_accepts_headers_shaped_like_real_models(tmp_path: Path, name: str) -> None:
    architecture, tokenizer, fields, shapes = REAL[name]
    vocab = shapes["token_embd.weight"][0]
    path = write_header(
        tmp_path / "m.gguf", architecture, shapes=shapes, fields=fields, tokenizer=tokenizer, vocab=vocab
    )
    header = check(path)
    assert len(header.tensors) == len(shapes)
    os.truncate(path, header.end - 1)
    assert refused(lambda: check(path)) == "truncated"


# Anything at all


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_arbitrary_bytes(data: bytes) -> None:
    for source in (data, b"GGUF\3\0\0\0" + data):
        try:
            assert read_gguf(source).version in (2, 3)
        except ModelError as error:
            assert error.rule  # noqa: PT017


def test_mutated_models_are_accepted_or_refused(model: Path) -> None:
    """Thousands of damaged headers: a value or a named refusal, and nothing else."""
    data = model.read_bytes()
    header_bytes = read_gguf(data).data_offset
    source = random.Random(1)
    rules: dict[str, int] = {}
    for _ in range(6000):
        mutant = mutate(source, data, header_bytes)
        try:
            check_model(read_gguf(mutant), len(mutant))
            rules["accepted"] = rules.get("accepted", 0) + 1
        except ModelError as error:
            rules[error.rule] = rules.get(error.rule, 0) + 1
    assert len(rules) > 15, rules


@pytest.mark.slow
def test_what_the_guard_accepts_does_not_crash_llama_cpp() -> None:
    """A short run of the differential fuzz; ``python -m benchmarks.guard_fuzz`` makes long ones."""
    command = [sys.executable, "-m", "benchmarks.guard_fuzz", "--count", "250"]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]


def mutate(source: random.Random, data: bytes, header_bytes: int) -> bytes:
    """Flip a bit, set an interesting number, or cut, insert or copy a few bytes of the header."""
    at = source.randrange(header_bytes)
    kind = source.randrange(5)
    if kind == 0:
        return data[:at] + bytes([data[at] ^ 1 << source.randrange(8)]) + data[at + 1 :]
    if kind == 1:
        width = source.choice([1, 2, 4, 8])
        number = source.choice([0, 1, 2, 7, 0x7F, 0xFF, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 63, (1 << 64) - 1])
        return data[:at] + (number % (1 << 8 * width)).to_bytes(width, "little") + data[at + width :]
    span = source.randrange(1, 20)
    if kind == 2:
        return data[:at] + data[at + span :]
    if kind == 3:
        return data[:at] + source.randbytes(span) + data[at:]
    origin = source.randrange(header_bytes)
    return data[:at] + data[origin : origin + span] + data[at + span :]
