"""``python -m benchmarks.guard_fuzz``: does the guard let through a file that crashes llama.cpp?

Tiny models of every architecture are damaged in their metadata, vocabulary, tensors and bytes. What the
guard accepts is loaded, tokenized with and decoded in a child process, which must not die by a signal
or hang. ``--unguarded`` counts, on the same files, how many would have.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFValueType, GGUFWriter

from benchmarks.record import print_table, write_record
from mch_runtime.errors import ModelError, SageError
from mch_runtime.gguf.architectures import ARCHITECTURES
from mch_runtime.gguf_file import open_checked
from mch_runtime.llama import abi
from mch_runtime.llama import probe as load_probe
from mch_runtime.llama.context import open_session
from mch_runtime.llama.model import open_model
from mch_runtime.options import EngineOptions
from mch_runtime.session import Feed, Interrupt
from tests.gguf_samples import Tensors, write_model

SECONDS = 20
TEXT = "the  step é€😀\n\t12345 <|im_end|> <think> \0 end"

INTEGERS = (
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    16,
    31,
    32,
    48,
    64,
    96,
    255,
    256,
    512,
    513,
    4096,
    2**31 - 1,
    2**31,
    2**32 - 1,
)
REALS = (0.0, 1e-30, 1e-6, 0.5, 1.0, 8.0, 1e4, 1e30, 3e38, -1.0, float("inf"), float("nan"))
TEXTS = (
    "",
    "none",
    "linear",
    "yarn",
    "longrope",
    "x",
    "default",
    "llama-bpe",
    "gpt-2",
    "qwen2",
    "phi-3",
    "</s>",
)
TOKENS = (
    "",
    "\0",
    "a\0b",
    "a",
    "<0x41>",
    "</s>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "[EMPTY_5]",
    "é",
    "x" * 5000,
)
# What llama.cpp reads for some architecture or other; more than the guard has rules for.
NUMBERS = (
    "vocab_size embedding_length_out nextn_predict_layers pooling_type expert_count expert_used_count "
    "expert_group_count expert_group_used_count expert_shared_count expert_shared_feed_forward_length "
    "expert_feed_forward_length leading_dense_block_count n_deepstack_layers attention.key_length "
    "attention.value_length attention.key_length_swa attention.value_length_swa attention.sliding_window "
    "attention.sliding_window_pattern attention.q_lora_rank attention.kv_lora_rank attention.shared_kv_layers "
    "attention.temperature_length rope.dimension_count rope.dimension_count_swa "
    "rope.scaling.original_context_length dense_2_feat_out embedding_length_per_layer_input"
).split()
FLOATS = (
    "attention.scale attention.output_scale attention.max_alibi_bias attention.clamp_kqv "
    "attention.temperature_scale attention.layer_norm_epsilon attn_logit_softcapping final_logit_softcapping "
    "embedding_scale residual_scale logit_scale rope.freq_base rope.freq_base_swa rope.scale_linear "
    "rope.scaling.factor rope.scaling.alpha rope.scaling.attn_factor rope.scaling.yarn_log_multiplier "
    "rope.scaling.yarn_ext_factor rope.scaling.yarn_attn_factor rope.scaling.yarn_beta_fast "
    "rope.scaling.yarn_beta_slow expert_weights_scale"
).split()
FLAGS = "attention.causal rope.scaling.finetuned use_parallel_residual swin_norm expert_weights_norm".split()
IDS = "bos eos eot eom unknown seperator padding mask fim_pre fim_suf fim_mid fim_pad fim_rep fim_sep".split()


@dataclass
class Tally:
    """What became of the mutants."""

    tried: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    accepted: Counter[str] = field(default_factory=Counter)
    killed_unguarded: Counter[str] = field(default_factory=Counter)
    tried_unguarded: int = 0


def main() -> None:
    """Fuzz, print and record; exit 1 if the guard let a crash through."""
    logging.getLogger("gguf").setLevel(logging.ERROR)  # it warns of every key that is damaged on purpose
    parser = argparse.ArgumentParser(prog="python -m benchmarks.guard_fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="a folder for files that the guard wrongly accepts")
    parser.add_argument("--unguarded", action="store_true", help="also run what the guard refuses")
    parser.add_argument("--record", action="store_true", help="write the figures to benchmarks/records")
    arguments = parser.parse_args()
    tally, start = Tally(), perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(arguments.seed, arguments.seed + arguments.count):
            path = make_mutant(Path(folder) / "mutant.gguf", random.Random(number))
            try_mutant(path, tally, number, keep=arguments.keep, unguarded=arguments.unguarded)
    results = _results(tally, seconds=perf_counter() - start)
    print_table("Guard against llama.cpp", ["", ""], [[key, str(value)] for key, value in results.items()])
    if arguments.record:
        print(f"\nrecord: {write_record('guard_fuzz', results)}")
    sys.exit(1 if results["accepted_and_crashed"] else 0)


def try_mutant(path: Path, tally: Tally, number: int, *, keep: Path | None, unguarded: bool) -> None:
    """Put one file before the guard, and before llama.cpp if it is accepted."""
    tally.tried += 1
    try:
        with open_checked(path):
            pass
    except ModelError as error:
        tally.refused[error.rule] += 1
        if unguarded:
            tally.tried_unguarded += 1
            tally.killed_unguarded[run_in_child(load_unguarded, path)] += 1
        return
    outcome = run_in_child(exercise, path)
    tally.accepted[outcome] += 1
    if outcome in ("crashed", "hung"):
        print(f"seed {number}: accepted, and llama.cpp {outcome}", flush=True)
        if keep:
            keep.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, keep / f"{number}.gguf")


def exercise(path: Path) -> int:
    """Load, decode, tokenize, look at every token. 0 fine, 1 refused by llama.cpp."""
    if load_probe.main(path):
        return 1
    with (
        open_model(path, probe=False) as model,
        open_session(model, EngineOptions(model=path, ctx_size=256, threads=1), Interrupt()) as session,
        session.branch() as branch,
    ):
        ids = model.vocabulary.tokenize(TEXT, add_bos=True)
        ids += model.vocabulary.tokenize(TEXT, parse_special=True)
        for token_id in range(model.vocabulary.size):
            model.vocabulary.piece(token_id, special=True)
        if ids:
            session.decode([Feed.last(branch, ids[:200])], lambda _: None)
    return 0


def load_unguarded(path: Path) -> int:
    """What a program without a guard does."""
    abi.ModelHandle(str(path), gpu_layers=0).close()
    return 0


def run_in_child(action: Callable[[Path], int], path: Path) -> str:
    """What became of ``action`` there: "fine", "refused", "crashed" or "hung"."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        _be_a_child(action, path)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return "hung" if os.WTERMSIG(status) in (signal.SIGALRM, signal.SIGXCPU) else "crashed"
    code = os.WEXITSTATUS(status)
    return {0: "fine", 1: "refused"}.get(code, "crashed")


def _be_a_child(action: Callable[[Path], int], path: Path) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.alarm(SECONDS)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    code = 2  # any other exception
    try:
        code = action(path)
    except SageError:
        code = 1
    finally:
        os._exit(code)


def make_mutant(path: Path, source: random.Random) -> Path:
    """A damaged model; the same for the same seed."""
    architecture = source.choice(sorted(ARCHITECTURES))
    wide = source.random() < 0.3  # rows that blocks of 256 fit into
    metadata, tensors, raw = source.choice(
        [(1, 0, 0), (2, 0, 0), (0, 1, 0), (1, 1, 0), (0, 0, 1), (4, 0, 0), (1, 0, 1)]
    )
    write_model(
        path,
        architecture=architecture,
        tokenizer=source.choice(["gpt2", "llama"]),
        tied=architecture in ("gemma", "gemma2") or source.random() < 0.7,
        n_embd=256 if wide else 32,
        n_head_kv=source.choice([1, 2, 4]),
        ffn=256 if wide else 64,
        seed=source.randrange(100),
        weight_types={} if tensors else _random_types(source, width=256 if wide else 32),
        edit_metadata=lambda writer: [edit_metadata(writer, architecture, source) for _ in range(metadata)],
        edit_tensors=lambda values: [edit_tensors(values, source) for _ in range(tensors)],
    )
    for _ in range(raw):
        edit_bytes(path, source)
    return path


def _random_types(source: random.Random, *, width: int) -> dict[str, GGMLQuantizationType]:
    kinds = [kind for kind, (block, _) in GGML_QUANT_SIZES.items() if width % block == 0]
    names = ["token_embd.weight", "blk.0.attn_output.weight", "blk.0.ffn_up.weight", "blk.1.ffn_down.weight"]
    return {name: source.choice(kinds) for name in names if source.random() < 0.2}


def edit_metadata(writer: GGUFWriter, architecture: str, source: random.Random) -> None:
    """One change of the metadata."""
    fields = writer.kv_data[0]
    source.choice([_change_value, _change_value, _add_value, _add_value, _drop, _change_vocabulary])(
        writer, fields, architecture, source
    )


def _change_value(writer: GGUFWriter, fields: dict[str, Any], _: str, source: random.Random) -> None:
    """Another value, or now and then another type, for a key that is there."""
    key = source.choice([key for key, value in fields.items() if value.type != GGUFValueType.ARRAY])
    kinds = [GGUFValueType.UINT32, GGUFValueType.FLOAT32, GGUFValueType.STRING, GGUFValueType.UINT64]
    kind = fields[key].type if source.random() < 0.85 else source.choice(kinds)
    writer.add_key_value(key, _random_value(kind, source), kind)


def _add_value(writer: GGUFWriter, fields: dict[str, Any], architecture: str, source: random.Random) -> None:
    """A key that llama.cpp may read."""
    kind, keys = source.choice(
        [
            (GGUFValueType.UINT32, NUMBERS),
            (GGUFValueType.FLOAT32, FLOATS),
            (GGUFValueType.BOOL, FLAGS),
            (GGUFValueType.STRING, ["rope.scaling.type", "tensor_data_layout", "hidden_activation"]),
        ]
    )
    key = f"{architecture}.{source.choice(keys)}"
    if source.random() < 0.1:
        values = [_random_value(kind, source) for _ in range(source.choice([1, 2, 3, 600]))]
        writer.add_key_value(key, values, GGUFValueType.ARRAY, sub_type=kind)
    else:
        writer.add_key_value(key, _random_value(kind, source), kind)


def _drop(_: GGUFWriter, fields: dict[str, Any], __: str, source: random.Random) -> None:
    fields.pop(source.choice(list(fields)))


def _change_vocabulary(writer: GGUFWriter, fields: dict[str, Any], _: str, source: random.Random) -> None:
    what = source.randrange(6)
    tokens = fields.get("tokenizer.ggml.tokens")
    size = len(tokens.value) if tokens else 1
    if what == 0 and tokens:
        values = list(tokens.value)
        for _ in range(source.choice([1, 1, 3, 20])):
            values[source.randrange(size)] = source.choice([*TOKENS, f"word{source.randrange(10**6)}"])
        writer.add_token_list(values)
    elif what == 1:
        writer.add_token_types([source.randrange(-1, 9) for _ in range(source.choice([size, size, 3]))])
    elif what == 2:
        writer.add_token_scores([source.choice(REALS) for _ in range(source.choice([size, size, 3]))])
    elif what == 3:
        letters = "abe t \0é"
        writer.add_token_merges(["".join(source.choices(letters, k=source.randrange(6))) for _ in range(50)])
    elif what == 4:
        writer.add_uint32(f"tokenizer.ggml.{source.choice(IDS)}_token_id", source.choice([*INTEGERS, 5, 300]))
    else:
        writer.add_bool(
            f"tokenizer.ggml.add_{source.choice(['bos', 'eos', 'sep'])}_token", source.random() < 0.7
        )


def _random_value(kind: GGUFValueType, source: random.Random) -> object:
    if kind == GGUFValueType.STRING:
        return source.choice(TEXTS)
    if kind == GGUFValueType.BOOL:
        return source.random() < 0.5
    if kind in (GGUFValueType.FLOAT32, GGUFValueType.FLOAT64):
        return source.choice(REALS)
    return source.choice(INTEGERS)


def edit_tensors(tensors: Tensors, source: random.Random) -> None:
    """One change of the tensors."""
    name = source.choice(list(tensors))
    what, tensor = source.randrange(7), tensors[name]
    if what == 0:
        del tensors[name]
    elif what == 1:
        tensors[source.choice([f"{name}s", "rope_freqs.weight", "output.weight", "blk.0.ffn_up.bias"])] = (
            tensor
        )
    elif what == 2:
        tensors[name] = tensor.astype(source.choice([np.float16, np.float64, np.int8, np.int32]))
    elif what == 3:
        tensors[name] = tensor[..., : max(1, tensor.shape[-1] // 2)].copy()
    elif what == 4:
        tensors[name] = np.ascontiguousarray(tensor.T) if tensor.ndim > 1 else tensor.reshape(1, -1)
    elif what == 5:
        tensors[name] = np.full_like(tensor, source.choice(REALS))
    else:
        layers = ["blk.0.attn_output.bias", "blk.0.attn_q.bias", "blk.1.ffn_gate.bias", "output.bias"]
        tensors[source.choice(layers)] = np.zeros(source.choice([8, 16, 32, 64, 256, 320]), np.float32)


def edit_bytes(path: Path, source: random.Random) -> None:
    """Flip a bit, set a number, cut or insert bytes, or shorten the file."""
    data = bytearray(path.read_bytes())
    at = source.randrange(min(len(data) - 8, 12_000))
    what = source.randrange(5)
    if what == 0:
        data[at] ^= 1 << source.randrange(8)
    elif what == 1:
        data[at : at + 4] = source.choice(INTEGERS).to_bytes(4, "little")
    elif what == 2:
        data[at : at + 8] = source.choice([*INTEGERS, 1 << 63, (1 << 64) - 1]).to_bytes(8, "little")
    elif what == 3:
        del data[at : at + source.randrange(1, 20)]
    else:
        del data[source.randrange(len(data)) :]
    path.write_bytes(data)


def _results(tally: Tally, *, seconds: float) -> dict[str, Any]:
    results: dict[str, Any] = {
        "files": tally.tried,
        "refused": tally.refused.total(),
        "rules": len(tally.refused),
        "accepted": tally.accepted.total(),
        "accepted_and_fine": tally.accepted["fine"],
        "accepted_and_refused_by_llama_cpp": tally.accepted["refused"],
        "accepted_and_crashed": tally.accepted["crashed"] + tally.accepted["hung"],
        "files_per_second": round(tally.tried / seconds, 1),
    }
    if tally.tried_unguarded:
        killed = tally.killed_unguarded
        results["refused_and_would_have_crashed_on_load"] = killed["crashed"] + killed["hung"]
    return results


if __name__ == "__main__":
    main()
