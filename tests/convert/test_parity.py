"""Converted models beside transformers, which trained them, and beside llama.cpp's own converter."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import gguf
import numpy as np
import pytest

from convert.to_gguf import convert
from mch_runtime.gguf_file import read_gguf
from mch_runtime.llama.context import open_session
from mch_runtime.llama.model import LlamaModel, open_model
from mch_runtime.options import EngineOptions
from mch_runtime.session import Block, Feed, Interrupt
from tests.convert.reference import Job, find_source, run_child, run_reference

N_TOKENS = 256
NAMES = (
    "qwen2.5",
    "qwen2.5-yarn",
    "qwen3",
    "llama-2",
    "llama-3.2",
    "mistral-nemo",
    "mistral-7b",
    "smollm2",
    "granite-code",
    "deepseek-coder-linear",
)
TYPED = ("float32", "float16", "bfloat16")
OUT_TYPES = ("f32", "f16", "bf16", "q8_0")

# What differs from llama.cpp's converter in every file, and why; docs/convert.md says it to users.
NAMING = {"general.name", "general.size_label", "general.basename", "general.version", "general.finetune"}
ALWAYS_SAID = {"tokenizer.ggml.add_bos_token"}  # llama.cpp leaves it out where the files do not say
PAIRS_ONLY = {"tokenizer.ggml.add_sep_token"}  # about pairs of texts
OWN = {"sage.tokenizer.normalizer"}
EVERYWHERE = NAMING | ALWAYS_SAID | PAIRS_ONLY | OWN
# What differs in one family only.
LISTED = {
    # No longer than the window, within which llama.cpp computes the same as transformers; and scores, which
    # llama.cpp's converter gives up from a tokenizer.json, with names for the ids that have no token.
    "mistral-7b": {
        "llama.context_length",
        "tokenizer.ggml.scores",
        "tokenizer.ggml.tokens",
        "tokenizer.ggml.token_type",
    },
}


@pytest.fixture(scope="module")
def families(samples: ModuleType) -> ModuleType:
    from tests.convert import families

    return families


@dataclass(frozen=True)
class Made:
    """A checkpoint and what ``sage convert`` made of it."""

    family: Any
    folder: Path
    gguf: Path


@pytest.fixture(scope="module")
def every(families: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Made]:
    """All families in float32, by name."""
    root = tmp_path_factory.mktemp("families")
    made = {}
    for family in families.FAMILIES:
        folder = families.save(family, root / family.name)
        made[family.name] = Made(family, folder, root / f"{family.name}.gguf")
        convert(folder, made[family.name].gguf, outtype="f32")
    assert tuple(made) == NAMES
    return made


def llama_logits(path: Path, token_ids: list[int]) -> np.ndarray:
    """(n, n_vocab) logits after every token, with an F32 cache and without flash attention."""
    rows: list[np.ndarray] = []

    def keep(block: Block) -> None:
        rows.append(block.logits.copy())

    options = EngineOptions(model=path, flash_attention=False, kv_type="f32", threads=1)
    with (
        open_model(path, probe=False) as opened,
        open_session(opened, options, Interrupt()) as session,
        session.branch() as branch,
    ):
        session.decode([Feed(branch, token_ids)], keep)
    return np.concatenate(rows)


def transformers_logits(folder: Path, token_ids: list[int]) -> np.ndarray:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        return model(torch.tensor([token_ids])).logits[0].numpy()


@pytest.mark.parametrize("name", NAMES)
def test_logits_equal_transformers(every: dict[str, Made], name: str) -> None:
    made = every[name]
    size = json.loads((made.folder / "config.json").read_text())["vocab_size"]
    token_ids = np.random.default_rng(0).integers(0, size - 20, N_TOKENS).tolist()
    expected = transformers_logits(made.folder, token_ids)
    found = llama_logits(made.gguf, token_ids)
    assert found.shape == expected.shape == (N_TOKENS, size)
    assert expected.std() > 0.5  # differences would show
    assert np.abs(found - expected).max() < 1e-3


def test_positions_are_stretched(every: dict[str, Made]) -> None:
    """The logits above would be equal for nothing if the stretch did not matter."""
    for name, least in (("qwen2.5-yarn", 0.1), ("deepseek-coder-linear", 0.1), ("llama-3.2", 0.01)):
        folder, path = every[name].folder, every[name].folder / "config.json"
        before = path.read_text()
        ids = list(range(N_TOKENS))
        stretched = transformers_logits(folder, ids)
        plain = {key: value for key, value in json.loads(before).items() if key != "rope_scaling"}
        path.write_text(json.dumps(plain))
        assert np.abs(stretched - transformers_logits(folder, ids)).max() > least
        path.write_text(before)


def test_logits_of_attention_scaled_by_hand_equal_transformers(families: ModuleType, tmp_path: Path) -> None:
    family = next(family for family in families.FAMILIES if family.name == "qwen2.5-yarn")
    rope = family.settings["rope_scaling"] | {"attention_factor": 1.6, "beta_fast": 32.0}
    folder = families.save(replace(family, settings=family.settings | {"rope_scaling": rope}), tmp_path / "x")
    convert(folder, tmp_path / "x.gguf", outtype="f32")
    ids = list(range(N_TOKENS))
    assert np.abs(llama_logits(tmp_path / "x.gguf", ids) - transformers_logits(folder, ids)).max() < 1e-3


def test_logits_of_shards_in_bf16_equal_transformers(samples: ModuleType, tmp_path: Path) -> None:
    import torch

    settings = samples.config(tied=False, num_key_value_heads=4, rope_theta=10_000.0)
    model = samples.random_model(settings, seed=1, dtype=torch.bfloat16)
    folder = samples.save(tmp_path / "untied", model, shard_size="600KB")
    convert(folder, tmp_path / "untied.gguf", outtype="f32")
    token_ids = np.random.default_rng(1).integers(0, 605, N_TOKENS).tolist()
    difference = llama_logits(tmp_path / "untied.gguf", token_ids) - transformers_logits(folder, token_ids)
    assert np.abs(difference).max() < 1e-3


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return find_source(tmp_path_factory.mktemp("llama.cpp"))


@pytest.fixture(scope="module")
def typed(families: ModuleType, source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One family in every stored type: rows that divide into blocks of Q8_0, and rows that do not."""
    import torch

    root = tmp_path_factory.mktemp("typed")
    family = next(family for family in families.FAMILIES if family.name == "smollm2")
    for name in TYPED:
        families.save(family, root / name, dtype=getattr(torch, name))
    return root


@pytest.fixture(scope="module")
def references(source: Path, every: dict[str, Made], typed: Path) -> str:
    """What llama.cpp's converter makes of the same folders, in files beside ours; what it printed."""
    jobs = [Job(str(m.folder), f"{m.folder}.ref", "f32", m.family.text) for m in every.values()]
    for name in TYPED:
        for outtype in OUT_TYPES:
            jobs.append(Job(str(typed / name), str(typed / f"{name}.{outtype}.ref"), outtype, "smollm"))
    return run_reference(source, jobs)


def compare_tensors(ours: Path, theirs: Path) -> None:
    found = {tensor.name: tensor for tensor in gguf.GGUFReader(ours).tensors}
    expected = {tensor.name: tensor for tensor in gguf.GGUFReader(theirs).tensors}
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].tensor_type == tensor.tensor_type, name
        assert found[name].data.tobytes() == tensor.data.tobytes(), name


def metadata(path: Path) -> dict[str, object]:
    with path.open("rb") as file:
        return dict(read_gguf(file.fileno()).metadata)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_tensors_equal_llama_cpps_converter(every: dict[str, Made], references: str, name: str) -> None:
    made = every[name]
    assert Path(f"{made.folder}.ref").exists(), references
    compare_tensors(made.gguf, Path(f"{made.folder}.ref"))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_metadata_equal_llama_cpps_converter_but_for_what_is_listed(
    every: dict[str, Made], references: str, name: str
) -> None:
    made = every[name]
    found, expected = metadata(made.gguf), metadata(Path(f"{made.folder}.ref"))
    differing = {key for key in found.keys() | expected.keys() if found.get(key) != expected.get(key)}
    listed = LISTED.get(name, set())
    assert listed <= differing <= EVERYWHERE | listed
    assert "general.name" in found


@pytest.mark.slow
@pytest.mark.parametrize("outtype", OUT_TYPES)
@pytest.mark.parametrize("name", TYPED)
def test_every_type_equals_llama_cpps_converter(
    typed: Path, references: str, name: str, outtype: str, tmp_path: Path
) -> None:
    convert(typed / name, tmp_path / "out.gguf", outtype=outtype)
    compare_tensors(tmp_path / "out.gguf", typed / f"{name}.{outtype}.ref")


IDENTIFY = """
import json, sys
folder = sys.argv[1]
sys.path[:0] = [folder, folder + "/gguf-py"]
from tokenizers import Tokenizer
from conversion.base import TextModel
tokenizer = Tokenizer.from_file(sys.argv[2])
class Encoder:
    def encode(self, text):
        return tokenizer.encode(text).ids
print("name:", TextModel.get_vocab_base_pre(None, Encoder()))
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["qwen2", "llama-bpe", "gpt-2"])
def test_published_vocabularies_have_the_hash_of_their_rules(
    families: ModuleType, source: Path, tmp_path: Path, name: str
) -> None:
    """A published vocabulary under our rules of that name is what llama.cpp's converter knows by its hash."""
    path = source / "models" / f"ggml-vocab-{name}.gguf"
    with path.open("rb") as file:
        found = read_gguf(file.fileno()).metadata
    tokens, types = found["tokenizer.ggml.tokens"], found["tokenizer.ggml.token_type"]
    bos = tokens[found["tokenizer.ggml.bos_token_id"]]
    tokenizer = families.byte_level_json(name, ("a", bos, "c"), leads=False)
    tokenizer["model"]["vocab"] = {text: k for k, text in enumerate(tokens) if types[k] == 1}
    tokenizer["model"]["merges"] = list(found["tokenizer.ggml.merges"])
    template = tokenizer["added_tokens"][0]
    tokenizer["added_tokens"] = [
        template | {"id": k, "content": text} for k, text in enumerate(tokens) if types[k] != 1
    ]
    tokenizer["post_processor"] = families.post_processor(bos, tokenizer, leads=name == "llama-bpe")
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
    assert f"name: {name}\n" in run_child(source, IDENTIFY, str(tmp_path / "tokenizer.json"))


@pytest.fixture(scope="module")
def model(tied: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaModel]:
    path = tmp_path_factory.mktemp("gguf") / "tied.gguf"
    convert(tied, path, outtype="f32")
    with open_model(path, probe=False) as opened:
        yield opened


def test_token_ids_of_varied_texts_equal_transformers(
    samples: ModuleType, tied: Path, model: LlamaModel
) -> None:
    tokenizer = samples.load_tokenizer(tied)
    texts = samples.varied_texts(1000)
    assert len(set(texts)) > 950
    for text in texts:
        expected = tokenizer(text).input_ids
        normal = model.vocabulary.normalize(text)
        assert model.vocabulary.tokenize(normal, parse_special=True) == expected, repr(text)


def test_stop_tokens_stop(samples: ModuleType, tied: Path, model: LlamaModel) -> None:
    stops = {i for i in range(model.vocabulary.size) if model.vocabulary.is_end(i)}
    tokenizer = samples.load_tokenizer(tied)
    assert stops == set(tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"]))
    assert not model.vocabulary.adds_bos
    assert set(model.vocabulary.specials) >= {*samples.CONTROL, *samples.USER_DEFINED}
