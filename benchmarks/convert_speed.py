"""``python -m benchmarks.convert_speed``: ``sage convert`` beside llama.cpp's own converter, in one run.

Each round converts the same random checkpoint, shaped like Qwen2.5-0.5B and stored in bfloat16, with both,
in turn, each in a process of its own. Ratios are formed round by round, so that a machine whose speed
drifts does not matter. Two ratios: of whole commands, and without what either takes for an almost
empty checkpoint, which is mostly imports. Memory is each child's largest resident set.

llama.cpp's converter is in the source distribution of llama-cpp-python (docs/convert.md); --source names its
folder or the .tar.gz. It needs torch, transformers and sentencepiece.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.record import print_table, write_record

SHARD = "model.safetensors"
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# A small vocabulary has no hash that llama.cpp's converter knows; it is told the name.
REFERENCE = """
import runpy, sys
folder = sys.argv.pop(1)
sys.path[:0] = [folder, folder + "/gguf-py"]
from conversion.base import TextModel
TextModel.get_vocab_base_pre = lambda self, tokenizer: "qwen2"
runpy.run_path(folder + "/convert_hf_to_gguf.py", run_name="__main__")
"""


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.convert_speed", description=__doc__)
    parser.add_argument("--source", type=Path, default=os.environ.get("LLAMA_CPP_SOURCE"))
    parser.add_argument("--gigabytes", type=float, default=1.0, help="size of the checkpoint")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--outtype", nargs="+", default=["f16", "q8_0"], choices=["f32", "f16", "bf16", "q8_0"]
    )
    parser.add_argument("--no-record", action="store_true", help="only try it")
    arguments = parser.parse_args()
    if arguments.source is None:
        parser.error("give --source: the folder of llama.cpp, or llama-cpp-python's source distribution")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        source = _unpacked(arguments.source, root / "llama.cpp")
        sizes = {"empty": 0.0, "full": arguments.gigabytes}
        written = {name: make_checkpoint(root / name, gigabytes=size) for name, size in sizes.items()}
        results = {
            outtype: _measure(source, root, outtype=outtype, rounds=arguments.rounds)
            for outtype in arguments.outtype
        }
    header = [
        "type",
        "converter",
        "seconds",
        "peak MB",
        "llama.cpp's time / ours, quartiles",
        "without start",
    ]
    print_table(f"Converting {written['full'] / 1e9:.2f} GB", header, _rows(results))
    if not arguments.no_record:
        record = {"bytes": written["full"], "rounds": arguments.rounds, "types": results}
        print(f"\nrecord: {write_record('convert_speed', record)}")


def _unpacked(source: Path, folder: Path) -> Path:
    """The folder of llama.cpp with its converter."""
    if source.is_dir():
        return source
    with tarfile.open(source) as archive:
        for member in archive:
            _, found, name = member.name.partition("vendor/llama.cpp/")
            if found and member.isfile() and name.startswith(("convert_hf", "conversion/", "gguf-py/gguf/")):
                member.name = name
                archive.extract(member, folder, filter="data")
    return folder


def make_checkpoint(folder: Path, *, gigabytes: float) -> int:
    """Random bfloat16 weights in Qwen2.5-0.5B's shapes, with as many layers as fit; their bytes."""
    folder.mkdir()
    vocab, layers = 2048, max(1, round(gigabytes * 1e9 / 2 / 14_912_384))
    shapes = {"model.embed_tokens.weight": (vocab, 896), "model.norm.weight": (896,)}
    for layer in range(layers):
        for name, shape in _layer_shapes().items():
            shapes[f"model.layers.{layer}.{name}"] = shape
    rng = np.random.default_rng(0)
    # A child's largest resident set begins with its parent's: nothing large may be held here.
    block = (rng.normal(size=1 << 18).astype(np.float32).view(np.uint32) >> 16).astype("<u2").tobytes()
    header, offset = {}, 0
    for name, shape in shapes.items():
        size = 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    with (folder / SHARD).open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for shape in shapes.values():
            whole, rest = divmod(2 * math.prod(shape), len(block))
            file.writelines([*[block] * whole, block[:rest]])
    _write(folder / "config.json", _config(vocab, layers))
    _write(folder / "tokenizer.json", _tokenizer())
    _write(
        folder / "tokenizer_config.json",
        {"eos_token": "<|im_end|>", "tokenizer_class": "PreTrainedTokenizerFast"},
    )
    return offset


def _layer_shapes() -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {
        "input_layernorm.weight": (896,),
        "post_attention_layernorm.weight": (896,),
    }
    for name, rows in (("q", 896), ("k", 128), ("v", 128)):
        shapes |= {f"self_attn.{name}_proj.weight": (rows, 896), f"self_attn.{name}_proj.bias": (rows,)}
    shapes["self_attn.o_proj.weight"] = (896, 896)
    return shapes | {
        "mlp.gate_proj.weight": (4864, 896),
        "mlp.up_proj.weight": (4864, 896),
        "mlp.down_proj.weight": (896, 4864),
    }


def _config(vocab: int, layers: int) -> dict[str, Any]:
    return {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "hidden_act": "silu",
        "hidden_size": 896,
        "intermediate_size": 4864,
        "max_position_embeddings": 32768,
        "num_attention_heads": 14,
        "num_hidden_layers": layers,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1e6,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "vocab_size": vocab,
        "eos_token_id": 257,
    }


def _tokenizer() -> dict[str, Any]:
    """Byte-level BPE of the bytes, one merge, and the end."""
    from tokenizers import pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    spell = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    split = {"type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Isolated", "invert": False}
    end = {"id": 257, "content": "<|im_end|>", "single_word": False, "lstrip": False, "rstrip": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [end | {"normalized": False, "special": True}],
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, spell]},
        "post_processor": None,
        "decoder": spell,
        "model": {"type": "BPE", "vocab": {text: k for k, text in enumerate([*alphabet, "th"])}}
        | {"merges": ["t h"], "byte_fallback": False, "ignore_merges": False},
    }


def _write(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")


def _measure(source: Path, root: Path, *, outtype: str, rounds: int) -> dict[str, Any]:
    def sage(name: str) -> list[str]:
        arguments = ["convert", str(root / name), "-o", str(root / "sage.gguf"), "--outtype", outtype]
        return [sys.executable, "-m", "sage_cli", *arguments, "--quiet"]

    def reference(name: str) -> list[str]:
        arguments = [str(root / name), "--outfile", str(root / "reference.gguf"), "--outtype", outtype]
        return [sys.executable, "-c", REFERENCE, str(source), *arguments]

    ways: dict[str, Callable[[str], list[str]]] = {"sage": sage, "llama.cpp": reference}
    for way in ways.values():  # once for the caches
        _run(way("full"))
    seconds: dict[str, dict[str, list[float]]] = {way: {"empty": [], "full": []} for way in ways}
    peaks: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, command in ways.items():
            for name, values in seconds[way].items():
                taken, peak = _run(command(name))
                values.append(taken)
                if name == "full":
                    peaks[way].append(peak)
    times = {way: {name: np.array(values) for name, values in by.items()} for way, by in seconds.items()}
    work = {way: by["full"] - by["empty"] for way, by in times.items()}
    return {
        "seconds": {way: round(float(np.median(by["full"])), 2) for way, by in times.items()},
        "seconds_of_start": {way: round(float(np.median(by["empty"])), 2) for way, by in times.items()},
        "peak_mb": {way: round(max(values), 1) for way, values in peaks.items()},
        "ratio": _quartiles(times["llama.cpp"]["full"] / times["sage"]["full"]),
        "ratio_without_start": _quartiles(work["llama.cpp"] / work["sage"]),
    }


def _run(command: list[str]) -> tuple[float, float]:
    """Seconds, and the child's peak memory in MB."""
    began = perf_counter()
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen(command, stdout=log, stderr=log)
        _, status, usage = os.wait4(child.pid, 0)
        taken = perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            log.seek(0)
            raise SystemExit(f"{command[2]} failed:\n{log.read().decode(errors='replace')[-2000:]}")
    return taken, _megabytes(usage)


def _megabytes(usage: resource.struct_rusage) -> float:
    unit = 1 if sys.platform == "darwin" else 1024
    return usage.ru_maxrss * unit / 1e6


def _quartiles(values: np.ndarray) -> dict[str, float]:
    low, middle, high = (round(float(q), 2) for q in np.quantile(values, [0.25, 0.5, 0.75]))
    return {"median": middle, "q25": low, "q75": high}


def _rows(results: dict[str, dict[str, Any]]) -> list[list[str]]:
    rows = []
    for outtype, found in results.items():
        for way in ("llama.cpp", "sage"):
            ratios = [found[key] for key in ("ratio", "ratio_without_start")] if way == "sage" else []
            shown = [f"{r['median']:.2f} [{r['q25']:.2f}, {r['q75']:.2f}]" for r in ratios] or ["", ""]
            rows.append(
                [outtype, way, f"{found['seconds'][way]:.2f}", f"{found['peak_mb'][way]:.0f}", *shown]
            )
    return rows


if __name__ == "__main__":
    main()
