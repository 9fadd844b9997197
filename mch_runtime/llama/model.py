"""A model file, checked, probed and loaded, and its vocabulary."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from mch_runtime.errors import DataError, UsageError
from mch_runtime.gguf_file import NORMALIZER_KEY, GgufFile, open_checked
from mch_runtime.llama import abi
from mch_runtime.llama.probe_cache import ensure_probed
from mch_runtime.session import Interrupt

LONGEST_TEXT = 64 << 20
_SPECIAL_TYPES = frozenset({2, 3, 4})  # unknown, control, user-defined in tokenizer.ggml.token_type


class LlamaVocabulary:
    """The vocabulary of a loaded model; checks every id before llama.cpp sees it."""

    def __init__(self, handle: abi.ModelHandle, gguf: GgufFile) -> None:
        self._handle = handle
        self._gguf = gguf
        self._pieces: dict[tuple[int, bool], bytes] = {}
        self.size = handle.n_vocab
        self.adds_bos = handle.adds_bos

    @cached_property
    def specials(self) -> tuple[str, ...]:
        """Texts of control, user-defined and unknown tokens, longest first.

        llama.cpp also promotes tokens by their name ("<|im_end|>" and kin), all of them bracketed:
        those are asked for their attribute.
        """
        tokens = _strings(self._gguf.metadata.get("tokenizer.ggml.tokens"))
        types = self._gguf.metadata.get("tokenizer.ggml.token_type")
        declared = types if isinstance(types, (list, tuple)) else [1] * len(tokens)
        found = {
            text
            for token_id, (text, kind) in enumerate(zip(tokens, declared, strict=True))
            if kind in _SPECIAL_TYPES or (("<" in text or "[" in text) and self._handle.is_special(token_id))
        }
        return tuple(sorted(found, key=lambda text: (-len(text), text)))

    def normalize(self, text: str) -> str:
        """llama.cpp does not normalize byte-level text; what ``sage convert`` has written down is done here."""
        form = self._gguf.metadata.get(NORMALIZER_KEY)
        return unicodedata.normalize("NFC", text) if form == "NFC" else text

    def tokenize(self, text: str, *, add_bos: bool = False, parse_special: bool = False) -> list[int]:
        try:
            raw = text.encode()
        except UnicodeEncodeError as error:
            raise DataError("the text is not valid Unicode", hint="remove lone surrogates") from error
        if len(raw) > LONGEST_TEXT:
            raise UsageError(f"the text has {len(raw):,} bytes", hint=f"at most {LONGEST_TEXT:,}")
        return self._handle.tokenize(raw, add_special=add_bos, parse_special=parse_special)

    def piece(self, token_id: int, *, special: bool = False) -> bytes:
        known = self._pieces.get((token_id, special))
        if known is None:
            known = self._handle.piece(self._checked(token_id), special=special)
            self._pieces[token_id, special] = known
        return known

    def is_end(self, token_id: int) -> bool:
        return self._handle.is_end(self._checked(token_id))

    def _checked(self, token_id: int) -> int:
        if not 0 <= token_id < self.size:
            raise ValueError(f"token id {token_id} is outside the vocabulary of {self.size}")
        return token_id


class LlamaModel:
    """A loaded model: its handle, vocabulary, header and open file."""

    def __init__(self, path: Path, fd: int, gguf: GgufFile, handle: abi.ModelHandle) -> None:
        self.path = path
        self.fd = fd
        self.gguf = gguf
        self.handle = handle
        self.vocabulary = LlamaVocabulary(handle, gguf)


@contextmanager
def open_model(
    path: Path,
    *,
    gpu_layers: int = 0,
    repack: bool = True,
    probe: bool = True,
    interrupt: Interrupt | None = None,
) -> Iterator[LlamaModel]:
    """Guard the file, try it in a child process once, load the very inode that was checked.

    repack: let llama.cpp rearrange weights for speed; the numbers of a row then depend on the size of its batch.
    An interrupt ends both and raises Interrupted.
    """
    interrupt = interrupt or Interrupt()
    with open_checked(path) as (fd, gguf):
        if probe:
            ensure_probed(path, fd, interrupt=interrupt)
        handle = abi.ModelHandle(
            descriptor_path(fd, path), gpu_layers=gpu_layers, repack=repack, interrupt=interrupt
        )
        try:
            yield LlamaModel(path, fd, gguf, handle)
        finally:
            handle.close()


def descriptor_path(fd: int, path: Path) -> str:
    """A name of the open file itself where the system has one (Linux), else its path."""
    through_fd = Path(f"/proc/self/fd/{fd}")
    return str(through_fd) if through_fd.exists() else os.fspath(path)


def _strings(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, (list, tuple)) else []
