"""A lazy view of a checkpoint folder: headers now, tensor bytes when asked for. Never pickles."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from numpy.typing import NDArray

from convert.json_file import read_json
from convert.safetensors_file import StoredTensor, as_stored, read_header
from mch_runtime.errors import DataError, MissingInputError, UsageError, file_error

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
HEAD = "head.safetensors"

MAX_INDEX_BYTES = 64 << 20
SHARD_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}\.safetensors")
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


class Checkpoint:
    """The tensors of a folder by name. A context manager: it holds the shards open.

    Raises on construction: UsageError (no folder), MissingInputError (a file is missing), DataError.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise UsageError(f"{folder} is not a folder", hint="give the folder that holds config.json")
        self.folder = folder
        self._files: dict[str, int] = {}
        with ExitStack() as opened:
            self._listed = _listed(folder)
            shards = sorted(set(self._listed.values())) if self._listed is not None else [SINGLE]
            tensors: dict[str, StoredTensor] = {}
            for shard in shards:
                self._files[shard] = _open(folder / shard)
                opened.callback(os.close, self._files[shard])
                for tensor in read_header(self._files[shard], shard):
                    self._check_listed(tensor, tensors)
                    tensors[tensor.name] = tensor
            self._check_complete(tensors)
            self.tensors: Mapping[str, StoredTensor] = tensors
            self._opened = opened.pop_all()

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    @property
    def shards(self) -> tuple[Path, ...]:
        """The files that hold the tensors."""
        return tuple(self.folder / shard for shard in self._files)

    def read(self, tensor: StoredTensor, begin: int, count: int) -> NDArray[Any]:
        """``count`` values from the ``begin``th on, flat, in their stored type; from any thread."""
        item = tensor.item_bytes
        return as_stored(self._bytes(tensor, tensor.offset + begin * item, count * item), tensor.dtype)

    def _bytes(self, tensor: StoredTensor, begin: int, length: int) -> bytearray:
        raw = bytearray(length)
        done = 0
        try:
            while done < length:
                count = os.preadv(self._files[tensor.shard], [memoryview(raw)[done:]], begin + done)
                if count == 0:
                    raise DataError(f"{tensor.shard} became shorter while it was read", hint="start again")
                done += count
        except OSError as error:
            raise file_error(error, "read", self.folder / tensor.shard) from error
        return raw

    def _check_listed(self, tensor: StoredTensor, before: Mapping[str, StoredTensor]) -> None:
        if (other := before.get(tensor.name)) is not None:
            raise DataError(
                f"the tensor {tensor.name} is in both {other.shard} and {tensor.shard}",
                hint="the shards belong to different checkpoints",
            )
        if self._listed is not None and self._listed.get(tensor.name) != tensor.shard:
            raise DataError(
                f"{tensor.shard} holds the tensor {tensor.name}, which {INDEX} does not list there",
                hint="the shards belong to different checkpoints",
            )

    def _check_complete(self, tensors: Mapping[str, StoredTensor]) -> None:
        for name, shard in (self._listed or {}).items():
            if name not in tensors:
                raise DataError(
                    f"{INDEX} lists the tensor {name} in {shard}, which does not hold it",
                    hint="download the checkpoint again",
                )


def _listed(folder: Path) -> dict[str, str] | None:
    """Tensor name -> shard of a sharded checkpoint; None if everything is in one file."""
    if (folder / SINGLE).exists():
        return None
    if not (folder / INDEX).exists():
        raise _no_weights(folder)
    index = read_json(folder / INDEX, limit=MAX_INDEX_BYTES)
    weights = index.section("weight_map")
    if weights is None or not weights.values:
        raise index.error("weight_map", "an object that names a file for every tensor")
    listed = {}
    for name in weights.values:
        shard = weights.text(name)
        if shard is None or not SHARD_NAME.fullmatch(shard):
            raise weights.error(name, "the name of a .safetensors file in the same folder")
        listed[name] = shard
    return listed


def _no_weights(folder: Path) -> MissingInputError | DataError:
    pickles = sorted(path.name for pattern in PICKLES for path in folder.glob(pattern))
    if pickles:
        return DataError(
            f"{folder} holds its weights as a pickle ({pickles[0]}), which can run code when it is read",
            hint="convert it to safetensors first, in a place you can afford to lose",
        )
    return MissingInputError(
        f"{folder} holds neither {SINGLE} nor {INDEX}", hint="download the checkpoint's weights"
    )


def _open(path: Path) -> int:
    try:
        # O_NONBLOCK: a named pipe in a shard's place must not wait for a writer for ever.
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise MissingInputError(
            f"the shard {path.name} is missing from {path.parent}", hint="download the checkpoint again"
        ) from error
    except OSError as error:
        raise file_error(error, "read", path) from error
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise DataError(f"{path} is not a regular file", hint="download the checkpoint again")
    return file
