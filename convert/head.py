"""The head in a checkpoint's own tensors, under the names of docs/head-format.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from convert.checkpoint import Checkpoint
from convert.json_file import JsonObject
from convert.safetensors_file import as_float32
from mch_runtime.errors import DataError, HeadError
from mch_runtime.head.format import MAX_HEAD_BYTES, encode_head
from mch_runtime.head.metadata import from_metadata
from mch_runtime.head.spec import Head

PREFIX = "mch."
SECTION = "mch"
_FINGERPRINT = "mch.base.fingerprint"
_ARCHITECTURE = "mch.base.architecture"
_UNKNOWN_BASE = "0" * 64


@dataclass(frozen=True)
class CheckpointHead:
    """A head that came with its base. says_base: it names the fingerprint of the base it was fitted on."""

    head: Head
    says_base: bool

    def of_base(self, fingerprint: str) -> Head:
        """The head of the base that was written. One that names no base belongs to the one beside it."""
        if self.says_base:
            return self.head
        return replace(self.head, spec=replace(self.head.spec, base_fingerprint=fingerprint))


def head_tensors(checkpoint: Checkpoint) -> frozenset[str]:
    """The names of the checkpoint's tensors that belong to a head."""
    return frozenset(name for name in checkpoint.tensors if name.startswith(PREFIX))


def read_head(checkpoint: Checkpoint, config: JsonObject, *, architecture: str) -> CheckpointHead | None:
    """The checkpoint's own head, checked; None if it has none.

    Its keys are the section "mch" of config.json, in which those about the base may be missing.
    Raises DataError or HeadError.
    """
    names = head_tensors(checkpoint)
    section = config.section(SECTION)
    if not names and section is None:
        return None
    if section is None or not names:
        raise DataError(
            f"{config.where}: a head needs both the section {SECTION} and tensors called {PREFIX}*",
            hint="remove what is left of it, or give a head with --head",
        )
    keys = {_ARCHITECTURE: architecture, _FINGERPRINT: _UNKNOWN_BASE, **section.values}
    try:
        head = Head(from_metadata(keys), _values(checkpoint, names))
        encode_head(head)
    except HeadError as error:
        raise HeadError(f"{config.where}: {error.message}", hint=error.hint) from error
    return CheckpointHead(head, says_base=_FINGERPRINT in section.values)


def _values(checkpoint: Checkpoint, names: frozenset[str]) -> Mapping[str, NDArray[np.float32]]:
    stored = [checkpoint.tensors[name] for name in sorted(names)]
    if sum(tensor.nbytes for tensor in stored) > MAX_HEAD_BYTES:
        raise HeadError(f"the head is larger than {MAX_HEAD_BYTES >> 20} MiB")
    return {
        t.name: as_float32(checkpoint.read(t, 0, t.nbytes // t.item_bytes)).reshape(t.shape) for t in stored
    }
