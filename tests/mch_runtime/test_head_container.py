"""The head's bytes, the places it lives in, and every way in which it may be damaged."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader, GGUFValueType, GGUFWriter
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save

from mch_runtime.errors import AccessError, DataError, HeadError, MissingInputError, SageError, UsageError
from mch_runtime.gguf_file import open_checked
from mch_runtime.head.container import (
    FoundHead,
    attach,
    attach_in_place,
    check_fits,
    decode_head,
    detach,
    detach_in_place,
    encode_head,
    find_head,
    fingerprint,
    probe_cosine,
    read_safetensors_head,
    sidecar_path,
    verify,
    write_safetensors_head,
)
from mch_runtime.head.format import SAFETENSORS_KEY
from mch_runtime.head.metadata import from_metadata, to_metadata
from mch_runtime.head.spec import Calibrator, Familiarity, Head, Probe
from tests.gguf_samples import write_model
from tests.head_samples import random_head
from tests.mch_runtime.test_atomic import largest_file


def print_of(path: Path) -> str:
    with open_checked(path) as (fd, gguf):
        return fingerprint(fd, gguf)


def find(path: Path, head_path: Path | None = None) -> FoundHead | None:
    with open_checked(path) as (fd, gguf):
        return find_head(path, fd, gguf, os.fstat(fd).st_size, head_path=head_path)


def same(one: Head, two: Head) -> bool:
    return encode_head(one) == encode_head(two)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model.gguf")


@pytest.fixture
def head(model: Path) -> Head:
    return random_head(base_fingerprint=print_of(model))


@pytest.fixture
def whole(model: Path, head: Head) -> Path:
    """A model with its head behind it."""
    out = model.with_name("whole.gguf")
    attach(model, head, out)
    return out


# The head as bytes


def test_gguf_round_trip() -> None:
    head = random_head()
    data = encode_head(head)
    again = decode_head(data)
    assert encode_head(head) == data, "the same bytes every time"
    assert encode_head(again) == data
    np.testing.assert_array_equal(again.spec.probe.state, head.spec.probe.state)
    without_probe = {"probe": Probe(token_ids=(), state=np.zeros(0, np.float32), cosine=0.0)}
    assert dataclasses.replace(again.spec, **without_probe) == dataclasses.replace(head.spec, **without_probe)
    for name, tensor in head.tensors.items():
        np.testing.assert_array_equal(again.tensors[name], tensor)
        assert again.tensors[name].dtype == np.float32


def test_any_gguf_reader_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "head.gguf"
    path.write_bytes(encode_head(random_head()))
    reader = GGUFReader(path)
    assert reader.fields["general.architecture"].contents() == "mch"
    assert reader.fields["general.type"].contents() == "adapter"
    assert reader.fields["mch.confidence.channels"].contents() == ["valid", "sound", "answer"]
    assert reader.fields["mch.base.probe.tokens"].types == [GGUFValueType.ARRAY, GGUFValueType.UINT32]
    assert reader.fields["mch.provenance.steps"].types == [GGUFValueType.INT64]


names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)
numbers = st.floats(-(2.0**90), 2.0**90, width=32, allow_subnormal=False)


@st.composite
def heads(draw: st.DrawFn) -> Head:
    head_count = draw(st.integers(1, 3))
    width = 2 * head_count * draw(st.integers(1, 3))
    base = random_head(d=draw(st.integers(1, 6)), width=4, seed=draw(st.integers(0, 99)))
    channels = tuple(draw(st.lists(names, min_size=1, max_size=3, unique=True)))
    features = tuple(draw(st.lists(names, min_size=1, max_size=3, unique=True)))
    modes = st.dictionaries(
        st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True),
        st.builds(
            Calibrator,
            features=st.just(features),
            weight=st.tuples(*[numbers] * len(features)),
            bias=numbers,
        ),
        max_size=3,
    )
    provenance = st.dictionaries(
        st.from_regex(r"[A-Za-z0-9_.-]{1,12}", fullmatch=True),
        st.one_of(st.text(max_size=20), st.integers(-(2**62), 2**62), st.floats(-1e18, 1e18)),
        max_size=4,
    )
    spec = dataclasses.replace(
        base.spec,
        name=draw(names),
        width=width,
        head_count=head_count,
        statistics=tuple(draw(st.lists(names, min_size=1, max_size=4, unique=True))),
        channels=channels,
        platt_scale=tuple(draw(st.tuples(*[numbers] * len(channels)))),
        platt_bias=tuple(draw(st.tuples(*[numbers] * len(channels)))),
        step_delimiter=draw(names),
        template=draw(st.text(max_size=20)),
        calibration=draw(modes),
        familiarity=draw(
            st.none()
            | st.builds(Familiarity, threshold=st.floats(-1000, 0, width=32), window=st.integers(1, 4096))
        ),
        provenance=draw(provenance),
    )
    from mch_runtime.head.spec import tensor_shapes

    return Head(spec, {name: np.ones(shape, np.float32) for name, shape in tensor_shapes(spec).items()})


@settings(max_examples=40)
@given(heads())
def test_round_trip_of_any_head(head: Head) -> None:
    again = decode_head(encode_head(head))
    assert to_metadata(again.spec) == to_metadata(head.spec)
    assert from_metadata(json.loads(json.dumps({k: v for k, (_, v) in to_metadata(head.spec).items()}))).name


def test_a_gate_is_carried(model: Path) -> None:
    plain = random_head()
    gate = {"mch.gate.weight": np.ones((1, 16), np.float32), "mch.gate.bias": np.ones(1, np.float32)}
    again = decode_head(encode_head(Head(plain.spec, {**plain.tensors, **gate})))
    assert again.tensors["mch.gate.weight"].shape == (1, 16)
    with pytest.raises(HeadError, match=r"mch\.gate\.bias"):
        encode_head(Head(plain.spec, {**plain.tensors, "mch.gate.weight": gate["mch.gate.weight"]}))


def edited(edit: Callable[[GGUFWriter], object]) -> bytes:
    """A head's GGUF with something changed before it is written."""
    import tempfile

    head = random_head()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "head.gguf"
        writer = GGUFWriter(path, "mch")
        for key, (kind, value) in to_metadata(head.spec).items():
            item = GGUFValueType[kind.strip("[]").upper()]
            array = kind.startswith("[")
            writer.add_key_value(
                key, value, GGUFValueType.ARRAY if array else item, sub_type=item if array else None
            )
        for name, tensor in head.tensors.items():
            writer.add_tensor(name, tensor)
        edit(writer)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path.read_bytes()


def put(key: str, value: object, kind: str) -> Callable[[GGUFWriter], object]:
    array = kind.startswith("[")
    item = GGUFValueType[kind.strip("[]").upper()]
    return lambda writer: writer.add_key_value(
        key, value, GGUFValueType.ARRAY if array else item, sub_type=item if array else None
    )


def drop(key: str) -> Callable[[GGUFWriter], object]:
    return lambda writer: writer.kv_data[0].pop(key)


def tensor(name: str, value: np.ndarray | None) -> Callable[[GGUFWriter], object]:
    def edit(writer: GGUFWriter) -> None:
        writer.tensors[0].pop(name, None)
        if value is not None:
            writer.add_tensor(name, value)

    return edit


NAN = np.full((16, 64), np.nan, np.float32)
BAD_HEADS = {
    "not of a head": put("general.architecture", "qwen2", "string"),
    "format version 2": put("mch.format_version", 2, "uint32"),
    "mch.format_version is not": drop("mch.format_version"),
    "has the type uint64": put("mch.format_version", 1, "uint64"),
    "has the type float64": put("mch.rope.freq_base", 10000.0, "float64"),
    "[int32]": put("mch.base.probe.tokens", [1, 2], "[int32]"),
    "unknown key": put("mch.surprise", 1, "uint32"),
    "unknown key 'tokenizer": put("tokenizer.ggml.model", "gpt2", "string"),
    "mch.width is not": put("mch.width", 0, "uint32"),
    "mch.embedding_length is not": put("mch.embedding_length", 1 << 31, "uint32"),
    "even number": put("mch.attention.head_count", 3, "uint32"),
    "mch.rope.freq_base is": put("mch.rope.freq_base", -1.0, "float32"),
    "not a finite number": put("mch.layer_norm_rms_epsilon", float("nan"), "float32"),
    "probe.state has 63": put("mch.base.probe.state", [1.0] * 63, "[float32]"),
    "probe.state is zero": put("mch.base.probe.state", [0.0] * 64, "[float32]"),
    "cosine is 7": put("mch.base.probe.cosine", 7.0, "float32"),
    "mch.base.probe.tokens is not": put("mch.base.probe.tokens", [1 << 31], "[uint32]"),
    "different names": put("mch.confidence.channels", ["a", "a", "b"], "[string]"),
    "platt_scale has 2": put("mch.confidence.platt_scale", [1.0, 2.0], "[float32]"),
    "calibration.vote.bias": drop("mch.calibration.vote.bias"),
    "calibration.vote.features": drop("mch.calibration.vote.features"),
    "calibration.vote.weight has 1": put("mch.calibration.vote.weight", [1.0], "[float32]"),
    "provenance.x has the type bool": put("mch.provenance.x", True, "bool"),
    "provenance.x is not": put("mch.provenance.x", float("inf"), "float64"),
    "mch.familiarity.window is": put("mch.familiarity.threshold", -2.0, "float32"),
    "mch.familiarity.threshold is not": put("mch.familiarity.window", 8, "uint32"),
    "familiarity.threshold has the type float64": put("mch.familiarity.threshold", -2.0, "float64"),
    "familiarity.window has the type int32": put("mch.familiarity.window", 8, "int32"),
    "unknown key 'mch.familiarity.x'": put("mch.familiarity.x", 8, "uint32"),
    "no tensor mch.in.bias": tensor("mch.in.bias", None),
    "unknown tensor 'mch.extra'": tensor("mch.extra", np.zeros(3, np.float32)),
    "shape (16, 63)": tensor("mch.in.weight", np.zeros((16, 63), np.float32)),
    "shape (64, 16)": tensor("mch.in.weight", np.zeros((64, 16), np.float32)),
    "F64": tensor("mch.in.bias", np.zeros(16, np.float64)),
    "I32": tensor("mch.in.bias", np.zeros(16, np.int32)),
    "mch.in.weight has values that are NaN": tensor("mch.in.weight", NAN),
}


@pytest.mark.parametrize("message", sorted(BAD_HEADS))
def test_bad_heads_are_refused(message: str) -> None:
    with pytest.raises(HeadError) as caught:
        decode_head(edited(BAD_HEADS[message]))
    assert message in caught.value.message


@pytest.mark.parametrize("threshold", [float("nan"), float("inf"), -float("inf"), 0.5, -1e9])
@pytest.mark.parametrize("window", [8, 0, 4097, 2**32 - 1])
def test_impossible_familiarity_is_refused(threshold: float, window: int) -> None:
    for pair in ((threshold, 8), (-2.0, window)):
        if pair == (-2.0, 8):
            continue
        with pytest.raises(HeadError, match=r"familiarity|finite"):
            encode_head(random_head(familiarity=Familiarity(threshold=pair[0], window=pair[1])))


def test_what_says_nothing_about_the_head_is_ignored() -> None:
    assert decode_head(edited(put("general.license", "apache-2.0", "string"))).spec.name == "sample head"
    half = np.ones((16, 64), np.float16)
    assert decode_head(edited(tensor("mch.in.weight", half))).tensors["mch.in.weight"].dtype == np.float32


def test_bytes_behind_the_head_are_refused() -> None:
    data = encode_head(random_head())
    decode_head(data + bytes(7) if len(data) % 32 else data)
    for extra in (b"x", bytes(4096), bytes(32)):
        with pytest.raises(HeadError):
            decode_head(data + extra)
    with pytest.raises(HeadError, match="cut off"):
        decode_head(data[:-33])


def test_invalid_heads_are_not_written(tmp_path: Path) -> None:
    head = random_head()
    for bad in (
        Head(dataclasses.replace(head.spec, width=-1), head.tensors),
        Head(dataclasses.replace(head.spec, name=""), head.tensors),
        Head(dataclasses.replace(head.spec, rope_freq_base=float("nan")), head.tensors),
        Head(head.spec, {**head.tensors, "mch.in.bias": np.full(16, np.inf, np.float32)}),
        Head(head.spec, {}),
    ):
        with pytest.raises(HeadError):
            encode_head(bad)
        with pytest.raises(HeadError):
            write_safetensors_head(bad, tmp_path / "h.safetensors")
    assert not list(tmp_path.iterdir())


@settings(max_examples=60)
@given(st.binary(max_size=300), st.booleans())
def test_arbitrary_heads(data: bytes, prefix: bool) -> None:
    with pytest.raises(HeadError):
        decode_head(b"GGUF\3\0\0\0" + data if prefix else data)


def test_mutated_heads() -> None:
    """A head or a HeadError, quickly, whatever happens to the header."""
    data = bytearray(encode_head(random_head()))
    source = random.Random(2)
    for _ in range(1500):
        mutant = bytearray(data)
        at = source.randrange(min(4000, len(data)))
        if source.random() < 0.5:
            mutant[at] ^= 1 << source.randrange(8)
        else:
            number = source.choice([0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 63, (1 << 64) - 1])
            mutant[at : at + 8] = number.to_bytes(8, "little")
        try:
            decode_head(bytes(mutant))
        except HeadError as error:
            assert error.message  # noqa: PT017


# Safetensors


def test_safetensors_round_trip(tmp_path: Path) -> None:
    head, path = random_head(), tmp_path / "head.safetensors"
    write_safetensors_head(head, path)
    assert same(read_safetensors_head(path), head)
    assert set(load_file(path)) == set(head.tensors)
    before = path.read_bytes()
    write_safetensors_head(head, path)
    assert path.read_bytes() == before


def spec_json(**changes: object) -> str:
    return json.dumps({key: value for key, (_, value) in to_metadata(random_head().spec).items()} | changes)


def test_hostile_safetensors(tmp_path: Path) -> None:
    tensors = dict(random_head().tensors)
    good = save(tensors, metadata={SAFETENSORS_KEY: spec_json()})
    deep = "[" * 100_000 + "]" * 100_000
    cases = [
        b"",
        b"x" * 7,
        struct.pack("<Q", 1 << 63) + b"{}",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 2) + b"{}",
        good[:-1],
        good[:200],
        save(tensors),
        save(tensors, metadata={"other": "x"}),
        save(tensors, metadata={SAFETENSORS_KEY: "no json"}),
        save(tensors, metadata={SAFETENSORS_KEY: "[1]"}),
        save(tensors, metadata={SAFETENSORS_KEY: deep}),
        save(tensors, metadata={SAFETENSORS_KEY: "9" * 5000}),
        save(tensors, metadata={SAFETENSORS_KEY: spec_json(**{"mch.width": True})}),
        save(tensors, metadata={SAFETENSORS_KEY: spec_json(**{"mch.width": 16.0})}),
        save(tensors, metadata={SAFETENSORS_KEY: spec_json(**{"mch.rope.freq_base": float("nan")})}),
        save(tensors, metadata={SAFETENSORS_KEY: spec_json(**{"mch.base.probe.state": "x"})}),
        save(tensors, metadata={SAFETENSORS_KEY: spec_json(extra=1)}),
        save(tensors, metadata={SAFETENSORS_KEY: spec_json()[:-1] + ', "mch.width": 16}'}),
        save(tensors | {"extra": np.zeros(1, np.float32)}, metadata={SAFETENSORS_KEY: spec_json()}),
        save(tensors | {"mch.in.bias": np.zeros(16, np.float64)}, metadata={SAFETENSORS_KEY: spec_json()}),
        save(tensors | {"mch.in.bias": np.zeros(15, np.float32)}, metadata={SAFETENSORS_KEY: spec_json()}),
        save(
            tensors | {"mch.in.bias": np.full(16, np.nan, np.float32)},
            metadata={SAFETENSORS_KEY: spec_json()},
        ),
    ]
    path = tmp_path / "head.safetensors"
    for case in cases:
        path.write_bytes(case)
        with pytest.raises(HeadError, match=r"head\.safetensors: "):
            read_safetensors_head(path)
    with pytest.raises(MissingInputError):
        read_safetensors_head(tmp_path / "none")
    with pytest.raises(DataError):
        read_safetensors_head(tmp_path)


# Belonging


def test_fingerprint_survives_quantization_and_sees_other_models(tmp_path: Path) -> None:
    from gguf import GGMLQuantizationType

    base = print_of(write_model(tmp_path / "a"))
    assert len(base) == 64
    assert print_of(write_model(tmp_path / "b", weight_type=GGMLQuantizationType.Q8_0)) == base
    assert (
        print_of(write_model(tmp_path / "c", edit_metadata=lambda writer: writer.add_name("other"))) == base
    )

    def other_norm(tensors: dict[str, np.ndarray]) -> None:
        tensors["output_norm.weight"][3] += 0.01

    def other_token(writer: GGUFWriter) -> None:
        tokens = list(writer.kv_data[0]["tokenizer.ggml.tokens"].value)
        writer.add_token_list([*tokens[:-1], "<other>"])

    others = [
        write_model(tmp_path / "d", seed=1),
        write_model(tmp_path / "e", ffn=128),
        write_model(tmp_path / "f", tied=False),
        write_model(tmp_path / "g", edit_tensors=other_norm),
        write_model(tmp_path / "h", edit_metadata=other_token),
    ]
    assert base not in {print_of(path) for path in others}
    assert len({print_of(path) for path in others}) == len(others)


def test_fingerprint_is_the_documented_one(model: Path) -> None:
    """Written once more from the words of docs/head-format.md."""

    def text(data: bytes) -> bytes:
        return struct.pack("<Q", len(data)) + data

    with open_checked(model) as (fd, gguf):
        expected = text(b"sage-base-fingerprint-1")
        expected += struct.pack("<Q", len(gguf.tensors))
        for name, shape in sorted((tensor.name, tensor.shape) for tensor in gguf.tensors):
            expected += text(name.encode()) + struct.pack(f"<{1 + len(shape)}Q", len(shape), *shape)
        norm = gguf.tensor("output_norm.weight")
        assert norm is not None
        expected += text(os.pread(fd, norm.n_bytes, norm.offset))
        tokens = gguf.metadata["tokenizer.ggml.tokens"]
        assert isinstance(tokens, tuple)
        expected += struct.pack("<Q", len(tokens)) + b"".join(text(str(token).encode()) for token in tokens)
        assert fingerprint(fd, gguf) == hashlib.sha256(expected).hexdigest()


def test_misfits_name_both_sides() -> None:
    head = random_head(base_fingerprint="a" * 64)
    check_fits(head, architecture="qwen2", fingerprint="a" * 64, n_embd=64)
    with pytest.raises(HeadError, match="qwen2 with 64 dimensions, and this model is llama with 64"):
        check_fits(head, architecture="llama", fingerprint="a" * 64, n_embd=64)
    with pytest.raises(HeadError, match="qwen2 with 64 dimensions, and this model is qwen2 with 128"):
        check_fits(head, architecture="qwen2", fingerprint="a" * 64, n_embd=128)
    with pytest.raises(HeadError, match=r"aaaaaaaaaaaa, and this model is the base bbbbbbbbbbbb"):
        check_fits(head, architecture="qwen2", fingerprint="b" * 64, n_embd=64)


def test_probe_cosine() -> None:
    probe = Probe(token_ids=(1,), state=np.array([3.0, 4.0], np.float32), cosine=0.9)
    assert probe_cosine(probe, np.array([3.0, 4.0], np.float32)) == pytest.approx(1.0)
    assert probe_cosine(probe, np.array([-4.0, 3.0], np.float32)) == pytest.approx(0.0)
    assert probe_cosine(probe, np.array([0.0, 0.0], np.float32)) == 0.0
    with pytest.raises(HeadError, match="2 dimensions, the model 3"):
        probe_cosine(probe, np.zeros(3, np.float32))


# Places


def test_attach_and_detach(model: Path, head: Head, whole: Path, tmp_path: Path) -> None:
    found = find(whole)
    assert found is not None
    assert found.head is not None
    assert (found.place, found.path, found.warnings) == ("tail", whole, ())
    assert found.data == encode_head(head)
    assert found.sha256 == hashlib.sha256(found.data).hexdigest()
    assert whole.read_bytes().startswith(model.read_bytes())
    assert whole.read_bytes().index(b"GGUF", 4) % 4096 == 0
    assert print_of(whole) == print_of(model)
    detach(whole, tmp_path / "plain.gguf")
    assert (tmp_path / "plain.gguf").read_bytes() == model.read_bytes()


def test_in_place_is_the_same(model: Path, head: Head, whole: Path) -> None:
    before = model.read_bytes()
    attach_in_place(model, head)
    assert model.read_bytes() == whole.read_bytes()
    attach_in_place(model, encode_head(head))
    assert model.read_bytes() == whole.read_bytes()
    detach_in_place(model)
    assert model.read_bytes() == before


def test_a_head_is_replaced(model: Path, head: Head, whole: Path, tmp_path: Path) -> None:
    other = Head(dataclasses.replace(head.spec, name="other"), head.tensors)
    attach(whole, other, tmp_path / "other.gguf")
    attach_in_place(whole, other)
    assert whole.read_bytes() == (tmp_path / "other.gguf").read_bytes()
    found = find(whole)
    assert found is not None
    assert found.head is not None
    assert found.head.spec.name == "other"


def test_an_unpadded_base_is_given_back_as_it_was(model: Path, head: Head, tmp_path: Path) -> None:
    with open_checked(model) as (_, gguf):
        end = gguf.end

    def odd(tensors: dict[str, np.ndarray]) -> None:
        tensors["output_norm.weight"] = tensors.pop("output_norm.weight")
        tensors["blk.1.attn_q.bias"] = tensors.pop("blk.1.attn_q.bias")

    path = write_model(tmp_path / "odd.gguf", n_embd=36, n_head=2, n_head_kv=1, ffn=40, edit_tensors=odd)
    with open_checked(path) as (_, gguf):
        end = gguf.end
    assert end < path.stat().st_size
    for size in (end, path.stat().st_size):
        os.truncate(path, size)
        before = path.read_bytes()
        attach(path, random_head(d=36, base_fingerprint=print_of(path)), tmp_path / "with.gguf")
        detach(tmp_path / "with.gguf", tmp_path / "without.gguf")
        assert (tmp_path / "without.gguf").read_bytes() == before


def test_order_of_the_search(model: Path, head: Head, whole: Path, tmp_path: Path) -> None:
    assert find(model) is None

    def named(name: str) -> bytes:
        return encode_head(Head(dataclasses.replace(head.spec, name=name), head.tensors))

    def name_and_place(path: Path, head_path: Path | None = None) -> tuple[str, str | None]:
        found = find(path, head_path)
        assert found is not None
        assert found.head is not None
        return found.head.spec.name, found.place

    for path in (model, whole):
        sidecar_path(path).write_bytes(named("sidecar"))
    (tmp_path / "given").write_bytes(named("given"))
    assert name_and_place(model) == ("sidecar", "sidecar")
    assert name_and_place(whole) == ("sample head", "tail")
    assert name_and_place(whole, tmp_path / "given") == ("given", "file")
    with pytest.raises(MissingInputError):
        find(whole, tmp_path / "none")
    with pytest.raises(HeadError, match=r"model\.gguf: .*not of a head"):
        find(whole, model)


def test_sidecars_are_beside_the_path_as_given(model: Path, head: Head, tmp_path: Path) -> None:
    assert sidecar_path(Path("a/b.gguf")) == Path("a/b.mch.gguf")
    assert sidecar_path(Path("a/b.GGUF")) == Path("a/b.mch.gguf")
    assert sidecar_path(Path("a/b")) == Path("a/b.mch.gguf")
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / "name.gguf"
    link.symlink_to(model)
    sidecar_path(link).write_bytes(encode_head(head))
    found = find(link)
    assert found is not None
    assert found.place == "sidecar"
    assert find(model) is None


def test_a_damaged_sidecar_is_an_error(model: Path, head: Head) -> None:
    sidecar_path(model).write_bytes(encode_head(head)[:-40])
    with pytest.raises(HeadError, match=r"model\.mch\.gguf"):
        find(model)
    sidecar_path(model).unlink()
    sidecar_path(model).symlink_to("nowhere")
    with pytest.raises(MissingInputError):
        find(model)


def test_wrong_heads_are_not_attached(model: Path, tmp_path: Path) -> None:
    wrong, out = random_head(base_fingerprint="0" * 64), tmp_path / "out.gguf"
    before = model.read_bytes()
    with pytest.raises(HeadError, match="was fitted on"):
        attach(model, wrong, out)
    with pytest.raises(HeadError, match="was fitted on"):
        attach_in_place(model, wrong)
    assert model.read_bytes() == before
    assert not out.exists()
    attach(model, wrong, out, force=True)
    report = verify(out)
    assert "was fitted on" in report.problem


def test_never_onto_the_source(model: Path, head: Head, whole: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(model)
    for out in (model, tmp_path / "link", tmp_path / "." / "model.gguf"):
        with pytest.raises(UsageError):
            attach(model, head, out)
    with pytest.raises(UsageError):
        detach(whole, whole)


def test_in_place_refuses_files_with_other_names(model: Path, head: Head, tmp_path: Path) -> None:
    before = model.read_bytes()
    (tmp_path / "link.gguf").symlink_to(model)
    with pytest.raises(HeadError, match="link to another file"):
        attach_in_place(tmp_path / "link.gguf", head)
    os.link(model, tmp_path / "second.gguf")
    with pytest.raises(HeadError, match="several names"):
        attach_in_place(model, head)
    assert model.read_bytes() == before


def test_in_place_on_what_may_not_be_written(
    model: Path, head: Head, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    data = encode_head(head)
    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(AccessError):
        attach_in_place(model, data)


def test_full_disk_leaves_the_base(model: Path, head: Head, tmp_path: Path) -> None:
    before, data = model.read_bytes(), encode_head(head)
    for limit in (len(before) + 10, len(before) + 6000):
        with largest_file(limit), pytest.raises(SageError, match="cannot write"):
            attach_in_place(model, data)
        assert model.read_bytes() == before
        with largest_file(limit), pytest.raises(SageError, match="cannot write"):
            attach(model, data, tmp_path / "out.gguf")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.gguf"]


def test_verify(model: Path, head: Head, whole: Path) -> None:
    report = verify(whole)
    assert report.problem == ""
    assert report.base_bytes == model.stat().st_size
    assert report.head_bytes == len(encode_head(head))
    assert report.parameters == sum(tensor.size for tensor in head.tensors.values())
    assert report.fingerprint == head.spec.base_fingerprint == report.spec.base_fingerprint
    with pytest.raises(HeadError, match="has no head"):
        verify(model)
    with pytest.raises(HeadError, match="has no head"):
        detach_in_place(model)


# Damage


def tail_parts(model: Path, whole: Path) -> tuple[bytes, bytes, bytes, bytes]:
    base, data = model.read_bytes(), whole.read_bytes()
    start = -(-len(base) // 4096) * 4096
    return base, data[len(base) : start], data[start:-64], data[-64:]


def test_every_damaged_footer_byte_is_noticed(model: Path, whole: Path) -> None:
    data = whole.read_bytes()
    for at in range(len(data) - 64, len(data)):
        whole.write_bytes(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :])
        with pytest.raises(HeadError, match="damaged") as caught:
            find(whole)
        assert "sage head detach --in-place" in caught.value.hint
        assert str(whole) in caught.value.message
    with pytest.raises(HeadError, match="damaged"):
        attach_in_place(whole, encode_head(random_head()), force=True)
    detach_in_place(whole)
    assert whole.read_bytes() == model.read_bytes()


@pytest.mark.parametrize("base_change", [-1, 1, 4096, -(10**9), 1 << 62])
@pytest.mark.parametrize("head_change", [0, 1, -1, 1 << 62])
def test_lengths_that_lie(model: Path, whole: Path, base_change: int, head_change: int) -> None:
    """A footer with a right checksum and wrong lengths."""
    base, padding, body, _ = tail_parts(model, whole)
    lengths = [(value % (1 << 64)) for value in (len(base) + base_change, len(body) + head_change)]
    summed = struct.pack("<8sQQ32s", b"SAGEMCH1", *lengths, hashlib.sha256(body).digest())
    whole.write_bytes(base + padding + body + summed + struct.pack("<II", zlib.crc32(summed), 0))
    if (base_change, head_change) == (1, 0) and len(padding) >= 1:
        found = find(whole)  # a byte of padding more or less hurts nobody
        assert found is not None
        return
    with pytest.raises(HeadError, match="do not add up"):
        find(whole)
    detach_in_place(whole)
    assert whole.read_bytes() == base


def test_flipped_bits_in_the_head_are_noticed(whole: Path, model: Path) -> None:
    base, padding, body, footer = tail_parts(model, whole)
    source = random.Random(3)
    for at in [0, 1, 4, 8, len(body) - 1, *(source.randrange(len(body)) for _ in range(40))]:
        damaged = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
        whole.write_bytes(base + padding + damaged + footer)
        with pytest.raises(HeadError, match="its checksum is wrong"):
            find(whole)


def test_every_torn_append_is_noticed_or_harmless(model: Path, whole: Path) -> None:
    """Cut anywhere behind the base: an error with a remedy, a warning, or nothing but padding."""
    base, padding, body, _ = tail_parts(model, whole)
    data = whole.read_bytes()
    start = len(base) + len(padding)
    cuts = [len(base) + 1, len(base) + 31, len(base) + 32, start - 1, start, *range(start + 1, start + 40)]
    cuts += [start + len(body) + n for n in (-1, 0, 1, 8, 63)]
    for cut in cuts:
        whole.write_bytes(data[:cut])
        if cut > start:
            with pytest.raises(HeadError, match="footer"):
                find(whole)
        else:
            found = find(whole)
            assert found is None or (found.head is None and found.warnings)
        detach_in_place(whole)
        assert whole.read_bytes() == base


def test_blocks_that_never_reached_the_disk(model: Path, whole: Path) -> None:
    base, padding, body, _ = tail_parts(model, whole)
    whole.write_bytes(base + padding + bytes(len(body)))
    found = find(whole)
    assert found is not None
    assert found.warnings
    detach_in_place(whole)
    assert whole.read_bytes() == base


def test_other_bytes_are_a_warning_and_are_kept(model: Path, head: Head, tmp_path: Path) -> None:
    before = model.read_bytes() + b"somebody's signature"
    model.write_bytes(before)
    found = find(model)
    assert found is not None
    assert found.head is None
    assert "20 unexplained bytes" in found.warnings[0]
    for action in (
        lambda: attach(model, head, tmp_path / "out.gguf"),
        lambda: attach_in_place(model, head),
        lambda: detach(model, tmp_path / "out.gguf"),
        lambda: detach_in_place(model),
    ):
        with pytest.raises(HeadError, match="that are no head"):
            action()
    assert model.read_bytes() == before
    sidecar_path(model).write_bytes(encode_head(head))
    found = find(model)
    assert found is not None
    assert found.place == "sidecar"
    assert found.warnings


@settings(max_examples=150)
@given(st.data())
def test_any_damage_behind_the_base(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """A head, nothing, or a HeadError; and the base can always be had back where a head was."""
    whole = _whole(tmp_path_factory)
    original = whole.read_bytes()
    base_length = original.index(b"GGUF", 4) - 4096
    at = data.draw(st.integers(base_length, len(original) - 1))
    patch = data.draw(st.binary(min_size=1, max_size=80))
    cut = data.draw(st.one_of(st.none(), st.integers(base_length + 4096, len(original))))
    damaged = (original[:at] + patch + original[at + len(patch) :])[:cut]
    path = whole.with_name("damaged.gguf")
    path.write_bytes(damaged)
    try:
        find(path)
        detach_in_place(path)
    except SageError as error:
        assert error.exit_code == 65  # noqa: PT017


def _whole(factory: pytest.TempPathFactory) -> Path:
    folder = factory.getbasetemp() / "whole"
    path = folder / "whole.gguf"
    if not path.exists():
        folder.mkdir()
        model = write_model(folder / "model.gguf", n_layer=1)
        attach(model, random_head(base_fingerprint=print_of(model)), path)
    return path


def test_stock_llama_cpp_opens_the_one_file(model: Path, whole: Path) -> None:
    """Memory-mapped, with the very logits of the base alone."""
    llama_cpp = pytest.importorskip("llama_cpp")
    logits = []
    for path in (model, whole):
        llama = llama_cpp.Llama(
            str(path), n_ctx=64, n_threads=1, logits_all=True, use_mmap=True, verbose=False
        )
        llama.eval([3, 1, 4, 1, 5, 9, 2, 6])
        logits.append(np.array(llama.scores[:8]))
        llama.close()
    assert np.isfinite(logits[0]).all()
    assert logits[0].std() > 0
    np.testing.assert_array_equal(logits[0], logits[1])
