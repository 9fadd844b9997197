"""``sage convert``: a Hugging Face folder to one GGUF file, the head behind the base."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convert import OutType
from convert.architectures import Architecture, find_architecture
from convert.chat_template import CHAT_TEMPLATE
from convert.checkpoint import HEAD, INDEX, Checkpoint
from convert.head import CheckpointHead, head_tensors, read_head
from convert.hyperparameters import read_hyper_parameters
from convert.json_file import read_json, read_optional_json
from convert.metadata import general_fields, model_fields, sampling_fields, vocabulary_fields
from convert.plan import Plan, is_split, plan_tensors
from convert.safetensors_file import StoredTensor, as_float32
from convert.sentencepiece_file import MODEL
from convert.tokenizer import ADDED_TOKENS, MAX_CONFIG_BYTES, SETTINGS, TOKENIZER, read_vocabulary
from convert.writer import BLOCK_ELEMENTS, Progress, write
from mch_runtime.atomic import atomic_output
from mch_runtime.errors import DataError, UsageError, file_error
from mch_runtime.gguf_file import open_checked
from mch_runtime.head.container import attach_in_place, fingerprint, read_safetensors_head

CONFIG = "config.json"
GENERATION = "generation_config.json"
READ = (CONFIG, GENERATION, TOKENIZER, SETTINGS, ADDED_TOKENS, MODEL, CHAT_TEMPLATE, INDEX)


@dataclass(frozen=True, kw_only=True)
class ConvertReport:
    """What was written. fingerprint: of the base, see ``head.container``; head: its name or None."""

    architecture: str
    tensors: int
    parameters: int
    bytes_written: int
    fingerprint: str
    head: str | None


def convert(
    source: Path,
    output: Path,
    *,
    outtype: OutType,
    head: Path | None = None,
    name: str | None = None,
    progress: Progress = lambda done, total: None,
) -> ConvertReport:
    """Write the checkpoint in the folder ``source`` to the GGUF ``output``, whole or not at all.

    head: a head's safetensors file; without it ``source``/head.safetensors is taken if it exists, else the
    head among the checkpoint's own tensors if there is one.
    name: the model's name, by default the folder's. progress: called with bytes written and in all.
    Raises UsageError, MissingInputError, DataError, HeadError or FileError; ``output`` is then as it was.
    """
    try:
        with Checkpoint(source) as checkpoint:
            plan, own = _plan(checkpoint, name=_name(name, source), outtype=outtype)
            if head is None and (source / HEAD).exists():
                head = source / HEAD
            inputs = [*checkpoint.shards, *(source / name for name in READ), *([head] if head else [])]
            _refuse_inputs(output, inputs)
            loaded = CheckpointHead(read_safetensors_head(head), says_base=True) if head else own
            with atomic_output(output, expected_bytes=plan.nbytes) as partial:
                write(plan, checkpoint, partial, progress)
                base = _finish(partial, loaded)
                written = partial.stat().st_size
    except OSError as error:
        raise file_error(error, "convert to", output) from error
    return ConvertReport(
        architecture=plan.architecture,
        tensors=len(plan.tensors),
        parameters=sum(math.prod(tensor.source.shape) for tensor in plan.tensors),
        bytes_written=written,
        fingerprint=base,
        head=loaded.head.spec.name if loaded else None,
    )


def _name(name: str | None, source: Path) -> str:
    """Names of files may hold bytes that are no text."""
    return (name or source.resolve().name).encode("utf-8", "replace").decode()


def _plan(checkpoint: Checkpoint, *, name: str, outtype: OutType) -> tuple[Plan, CheckpointHead | None]:
    config = read_json(checkpoint.folder / CONFIG, limit=MAX_CONFIG_BYTES)
    generation = read_optional_json(checkpoint.folder / GENERATION, limit=MAX_CONFIG_BYTES)
    architecture = find_architecture(config)
    params = read_hyper_parameters(config, architecture)
    vocabulary = read_vocabulary(
        checkpoint.folder, config=config, generation=generation, vocab_size=params.vocab
    )
    if params.tied:
        _check_tied(checkpoint, architecture)
    head = read_head(checkpoint, config, architecture=architecture.name)
    fields = [
        *general_fields(architecture, name=name, outtype=outtype),
        *sampling_fields(generation),
        *model_fields(architecture, params),
        *vocabulary_fields(vocabulary),
    ]
    tensors = plan_tensors(checkpoint, architecture, params, outtype=outtype, others=head_tensors(checkpoint))
    return Plan(architecture.name, tuple(fields), tensors), head


def _finish(path: Path, head: CheckpointHead | None) -> str:
    """Guard what was written, put the head behind it if it fits; the base's fingerprint."""
    with open_checked(path) as (fd, gguf):
        base = fingerprint(fd, gguf)
    if head:
        attach_in_place(path, head.of_base(base))
    return base


def _check_tied(checkpoint: Checkpoint, architecture: Architecture) -> None:
    """Some checkpoints store tied embeddings twice; if they differ, config.json is wrong."""
    embedding = checkpoint.tensors.get(architecture.model[0].source)
    output = checkpoint.tensors.get(architecture.output.source)
    if output is None or (embedding is None and not is_split(checkpoint)):
        return
    if embedding is None or embedding.shape != output.shape or not _equal(checkpoint, embedding, output):
        raise DataError(
            f"config.json says that embeddings are tied, but {output.name} differs from them",
            hint="set tie_word_embeddings to false in config.json if the model has both",
        )


def _equal(checkpoint: Checkpoint, one: StoredTensor, other: StoredTensor) -> bool:
    """Whether two tensors of one shape hold the same values, NaN and all."""
    size = math.prod(one.shape)
    for begin in range(0, size, BLOCK_ELEMENTS):
        count = min(BLOCK_ELEMENTS, size - begin)
        first, second = (as_float32(checkpoint.read(tensor, begin, count)) for tensor in (one, other))
        if not np.array_equal(first, second, equal_nan=True):
            return False
    return True


def _refuse_inputs(output: Path, inputs: Iterable[Path]) -> None:
    if any(output.exists() and path.exists() and output.samefile(path) for path in inputs):
        raise UsageError(f"the output {output} is one of the inputs", hint="write to another file")
