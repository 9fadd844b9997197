"""``sage convert``: a Hugging Face folder to one GGUF file, the head behind the base."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convert import OutType
from convert.architectures import Architecture, find_architecture, read_hyper_parameters
from convert.checkpoint import HEAD, INDEX, Checkpoint
from convert.json_file import read_json
from convert.plan import Plan, make_plan
from convert.tokenizer import CHAT_TEMPLATE, MAX_CONFIG_BYTES, read_vocabulary
from convert.writer import BLOCK_ELEMENTS, Progress, write
from mch_runtime.atomic import atomic_output
from mch_runtime.errors import DataError, UsageError, file_error
from mch_runtime.gguf_file import open_checked
from mch_runtime.head.container import attach_in_place, fingerprint, read_safetensors_head
from mch_runtime.head.spec import Head

READ = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    CHAT_TEMPLATE,
    INDEX,
)


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

    head: a head's safetensors file; without it ``source``/head.safetensors is taken if it exists.
    name: the model's name, by default the folder's. progress: called with bytes written and in all.
    Raises UsageError, MissingInputError, DataError, HeadError or FileError; ``output`` is then as it was.
    """
    try:
        with Checkpoint(source) as checkpoint:
            plan = _plan(checkpoint, name=_name(name, source), outtype=outtype)
            if head is None and (source / HEAD).exists():
                head = source / HEAD
            inputs = [*checkpoint.shards, *(source / name for name in READ), *([head] if head else [])]
            _refuse_inputs(output, inputs)
            loaded = read_safetensors_head(head) if head else None
            with atomic_output(output, expected_bytes=plan.nbytes) as partial:
                write(plan, checkpoint, partial, progress)
                base = _finish(partial, loaded)
                written = partial.stat().st_size
    except OSError as error:
        raise file_error(error, "convert to", output) from error
    return ConvertReport(
        architecture=plan.architecture,
        tensors=len(plan.tensors),
        parameters=sum(math.prod(tensor.stored.shape) for tensor in plan.tensors),
        bytes_written=written,
        fingerprint=base,
        head=loaded.spec.name if loaded else None,
    )


def _name(name: str | None, source: Path) -> str:
    """Names of files may hold bytes that are no text."""
    return (name or source.resolve().name).encode("utf-8", "replace").decode()


def _plan(checkpoint: Checkpoint, *, name: str, outtype: OutType) -> Plan:
    config = read_json(checkpoint.folder / "config.json", limit=MAX_CONFIG_BYTES)
    architecture = find_architecture(config)
    params = read_hyper_parameters(config)
    vocabulary = read_vocabulary(checkpoint.folder, config=config, vocab_size=params.vocab)
    if params.tied:
        _check_tied(checkpoint, architecture)
    return make_plan(checkpoint, architecture, params, vocabulary, name=name, outtype=outtype)


def _finish(path: Path, head: Head | None) -> str:
    """Guard what was written, put the head behind it if it fits; the base's fingerprint."""
    with open_checked(path) as (fd, gguf):
        base = fingerprint(fd, gguf)
    if head:
        attach_in_place(path, head)
    return base


def _check_tied(checkpoint: Checkpoint, architecture: Architecture) -> None:
    """Some checkpoints store tied embeddings twice; if they differ, config.json is wrong."""
    embedding = checkpoint.tensors.get(architecture.model[0].source)
    output = checkpoint.tensors.get(architecture.output.source)
    if embedding is None or output is None:
        return
    both = zip(
        checkpoint.blocks(embedding, elements=BLOCK_ELEMENTS),
        checkpoint.blocks(output, elements=BLOCK_ELEMENTS),
        strict=False,
    )
    if embedding.shape != output.shape or not all(np.array_equal(a, b, equal_nan=True) for a, b in both):
        raise DataError(
            f"config.json says that embeddings are tied, but {output.name} differs from {embedding.name}",
            hint="set tie_word_embeddings to false in config.json if the model has both",
        )


def _refuse_inputs(output: Path, inputs: Iterable[Path]) -> None:
    if any(output.exists() and path.exists() and output.samefile(path) for path in inputs):
        raise UsageError(f"the output {output} is one of the inputs", hint="write to another file")
