"""The only place that touches ctypes and llama_cpp: typed handles, error codes turned into errors.

Written for one release of llama-cpp-python, checked at import. llama.cpp trusts its callers: an id
outside its range or a batch that is too large ends the process. The classes here check nothing but
pointers; ``model.py`` and ``context.py`` own every id and size.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import sys
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mch_runtime.errors import (
    Interrupted,
    ModelError,
    NativeError,
    NotInstalledError,
    ResourceError,
)
from mch_runtime.file_types import FILE_TYPES
from mch_runtime.options import KvType, SamplingOptions
from mch_runtime.session import Interrupt

WRITTEN_FOR = "0.3.36"
# How long OpenMP's threads wait for each other before they sleep. By default they never do, and where anything else
# runs they keep from working whom they wait for; this is as fast where nothing does. Read when llama.cpp is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
try:
    import llama_cpp
    import llama_cpp.llama_cpp as C  # noqa: N812
except (ImportError, OSError, RuntimeError) as error:
    _hint = f"pip install llama-cpp-python=={WRITTEN_FOR} (it needs a C++ compiler and cmake)"
    if isinstance(error, ModuleNotFoundError) and error.name == "llama_cpp":
        raise NotInstalledError(
            "llama-cpp-python, which runs models, is not installed", hint=_hint
        ) from error
    raise NotInstalledError(f"llama-cpp-python cannot be loaded: {error}", hint=_hint) from error
VERSION: str = llama_cpp.__version__

_LOG_LEVEL_INFO, _LOG_LEVEL_ERROR = 2, 4
# What llama.cpp says when memory, or what threads need of it, is not to be had.
_NO_MEMORY = (*map(os.strerror, (errno.ENOMEM, errno.EAGAIN)), "bad_alloc", "allocate")
_errors: deque[str] = deque(maxlen=8)
_told: list[str] | None = None  # what llama.cpp tells while somebody listens


def _keep_log(level: int, text: bytes, _user_data: object) -> None:
    """Keep llama.cpp's last errors for our messages; nothing of its log reaches the terminal."""
    try:
        if level == _LOG_LEVEL_ERROR and text:
            _errors.append(_printable(text))
        if level == _LOG_LEVEL_INFO and text and _told is not None:
            _told.append(text.decode("utf-8", "replace"))
    except BaseException:  # noqa: BLE001, S110 - an exception may not cross into C
        pass


def _die(message: bytes) -> None:
    """A GGML_ASSERT failed: say so in one line and leave; the process cannot go on."""
    try:
        sys.stderr.write("\x1b[?25h" if sys.stderr.isatty() else "")
        sys.stderr.write(f"sage: llama.cpp stopped: {_printable(message)}\n")
        sys.stderr.flush()
    finally:
        os._exit(NativeError.exit_code)


def _printable(raw: bytes) -> str:
    text = raw.decode("utf-8", "replace").strip()
    return "".join(c if c.isprintable() else " " for c in text)


class _Tensor(ctypes.Structure):
    """``ggml_tensor`` as this release lays it out."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("buffer", ctypes.c_void_p),
        ("ne", ctypes.c_int64 * 4),
        ("nb", ctypes.c_size_t * 4),
        ("op", ctypes.c_int),
        ("op_params", ctypes.c_int32 * 16),
        ("flags", ctypes.c_int32),
        ("src", ctypes.c_void_p * 10),
        ("view_src", ctypes.c_void_p),
        ("view_offs", ctypes.c_size_t),
        ("data", ctypes.c_void_p),
        ("name", ctypes.c_char * 64),
        ("extra", ctypes.c_void_p),
        ("padding", ctypes.c_char * 8),
    )


_OBJECT_SIZE = 32  # of ``ggml_object``, which ggml_tensor_overhead() counts too

_LOG_CALLBACK = C.llama_log_callback(_keep_log)
_ABORT_CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_char_p)(_die)


def _start() -> None:
    if VERSION != WRITTEN_FOR:
        raise NativeError(
            f"llama-cpp-python {VERSION} is installed, sage was written for {WRITTEN_FOR}",
            hint=f"pip install llama-cpp-python=={WRITTEN_FOR}",
        )
    C._lib.ggml_tensor_overhead.restype = ctypes.c_size_t
    if C._lib.ggml_tensor_overhead() != _OBJECT_SIZE + ctypes.sizeof(_Tensor):
        raise NativeError(
            "this build of llama.cpp lays its tensors out in another way",
            hint=f"pip install --force-reinstall llama-cpp-python=={WRITTEN_FOR}",
        )
    C._lib.ggml_backend_tensor_get.restype = None
    C._lib.ggml_backend_tensor_get.argtypes = [ctypes.c_void_p, ctypes.c_void_p] + [ctypes.c_size_t] * 2
    C.llama_log_set(_LOG_CALLBACK, ctypes.c_void_p(0))
    # Through this library handle: a second CDLL would load a second copy of ggml.
    C._lib.ggml_set_abort_callback.restype = ctypes.c_void_p
    C._lib.ggml_set_abort_callback.argtypes = [ctypes.c_void_p]
    C._lib.ggml_set_abort_callback(ctypes.cast(_ABORT_CALLBACK, ctypes.c_void_p))
    C.llama_backend_init()


_start()


def take_errors() -> str:
    """What llama.cpp logged as errors since the last call, in one line."""
    said = "; ".join(dict.fromkeys(_errors))
    _errors.clear()
    return said


class ModelHandle:
    """``llama_model *``."""

    def __init__(
        self, path: str, *, gpu_layers: int, repack: bool = True, interrupt: Interrupt | None = None
    ) -> None:
        """Load a GGUF that the guard has accepted. repack: rearrange weights for speed.

        Raises ModelError if llama.cpp refuses it, ResourceError if memory does not suffice, Interrupted
        between two tensors.
        """
        interrupt = interrupt or Interrupt()
        params = C.llama_model_default_params()
        params.n_gpu_layers = gpu_layers
        params.check_tensors = True
        params.use_extra_bufts = repack
        params.load_mode = C.LLAMA_LOAD_MODE_MMAP
        goes_on = C.llama_progress_callback(lambda _progress, _user_data: not interrupt.requested)
        params.progress_callback = goes_on
        take_errors()
        pointer = C.llama_model_load_from_file(path.encode(), params)
        if not pointer:
            if interrupt.requested:
                raise Interrupted
            said = take_errors() or "no reason given"
            if any(sign in said for sign in _NO_MEMORY):
                raise ResourceError(
                    f"there is not enough memory to load the model: {said}",
                    hint="try a smaller model or a smaller quantization",
                )
            raise ModelError(f"llama.cpp refuses the model: {said}", rule="load")
        self.pointer = pointer
        self._vocab = C.llama_model_get_vocab(pointer)

    def close(self) -> None:
        C.llama_model_free(self.pointer)

    @property
    def n_vocab(self) -> int:
        return int(C.llama_vocab_n_tokens(self._vocab))

    @property
    def n_embd(self) -> int:
        return int(C.llama_model_n_embd(self.pointer))

    @property
    def adds_bos(self) -> bool:
        return bool(C.llama_vocab_get_add_bos(self._vocab))

    def is_end(self, token_id: int) -> bool:
        return bool(C.llama_vocab_is_eog(self._vocab, token_id))

    def is_special(self, token_id: int) -> bool:
        """Whether a token is control, user-defined or unknown, and so may be matched in text."""
        attributes = C.llama_vocab_get_attr(self._vocab, token_id)
        special = C.LLAMA_TOKEN_ATTR_CONTROL | C.LLAMA_TOKEN_ATTR_USER_DEFINED | C.LLAMA_TOKEN_ATTR_UNKNOWN
        return bool(attributes & special)

    def tokenize(self, text: bytes, *, add_special: bool, parse_special: bool) -> list[int]:
        room = len(text) + 16
        for _ in range(2):
            tokens = (C.llama_token * room)()
            count = C.llama_tokenize(self._vocab, text, len(text), tokens, room, add_special, parse_special)
            if count >= 0:
                return list(tokens[:count])
            room = -count
        raise NativeError("llama.cpp could not tokenize the text")

    def piece(self, token_id: int, *, special: bool) -> bytes:
        """The bytes of a token, however long; ids outside the vocabulary end the process."""
        room = 64
        for _ in range(2):
            buffer = ctypes.create_string_buffer(room)
            count = C.llama_token_to_piece(self._vocab, token_id, buffer, room, 0, special)
            if count >= 0:
                return buffer.raw[:count]
            room = -count
        raise NativeError(f"llama.cpp could not spell token {token_id}")


_KV_TYPES: Mapping[KvType, int] = {"f16": C.GGML_TYPE_F16, "f32": C.GGML_TYPE_F32, "bf16": 30}  # as in ggml.h
MANY_ROWS = 16  # a batch of so many is worth more threads on any model


class ContextHandle:
    """``llama_context *`` with its reusable batch. Used from one thread.

    threads: how many compute a few rows, and how many a batch of MANY_ROWS or more.
    """

    def __init__(
        self,
        model: ModelHandle,
        *,
        n_ctx: int,
        n_batch: int,
        n_seq_max: int,
        threads: tuple[int, int],
        flash_attention: bool,
        kv_type: KvType,
        interrupt: Interrupt,
        unified: bool = True,
        tap: Tap | None = None,
    ) -> None:
        params = C.llama_context_default_params()
        params.n_ctx = n_ctx
        params.n_batch = n_batch
        params.n_ubatch = min(n_batch, 512)
        params.n_seq_max = n_seq_max
        params.n_threads = params.n_threads_batch = threads[0]
        params.kv_unified = unified
        params.pooling_type = C.LLAMA_POOLING_TYPE_NONE
        params.flash_attn_type = (
            C.LLAMA_FLASH_ATTN_TYPE_ENABLED if flash_attention else C.LLAMA_FLASH_ATTN_TYPE_DISABLED
        )
        params.type_k = params.type_v = _KV_TYPES[kv_type]
        params.no_perf = True
        if tap is not None:
            params.cb_eval = tap.callback
        take_errors()
        pointer = C.llama_init_from_model(model.pointer, params)
        if not pointer:
            raise ResourceError(
                f"llama.cpp could not make a context of {n_ctx} tokens: {take_errors() or 'no reason given'}",
                hint="try a smaller --ctx-size",
            )
        self.pointer = pointer
        self._threads = threads
        self._threads_now = threads[0]
        self._tap = tap
        self._memory = C.llama_get_memory(pointer)
        self._n_vocab = model.n_vocab
        self._n_embd = model.n_embd
        self._batch = _Batch(n_batch)
        self._views: dict[str, tuple[tuple[int, int], NDArray[np.float32]]] = {}
        self.outputs_all = False

        # Called a hundred times per token, in the calling thread; attribute access cannot raise.
        self._abort = C.ggml_abort_callback(lambda _user_data: interrupt.requested)
        C.llama_set_abort_callback(pointer, self._abort, ctypes.c_void_p(0))

    def close(self) -> None:
        C.llama_free(self.pointer)

    @property
    def n_ctx(self) -> int:
        return int(C.llama_n_ctx(self.pointer))

    def steer(self, directions: NDArray[np.float32]) -> None:
        """Add directions (layers - 1, n_embd) to the outputs of layers 1 and up, from the next token on.

        llama.cpp copies them. Raises NativeError.
        """
        rows, width = directions.shape
        data = _pointer(directions, ctypes.c_float)
        if C.llama_set_adapter_cvec(self.pointer, data, directions.size, width, 1, rows) != 0:
            raise NativeError(f"llama.cpp cannot steer the model: {take_errors() or 'no reason given'}")

    def decode(
        self, rows: Iterable[tuple[int, int, int]], *, outputs: bool | Sequence[bool], states: bool = True
    ) -> int:
        """Decode (token id, position, sequence id) rows; outputs: whether they have one, all of them or each.

        states: with hidden states beside the logits; llama.cpp has them only where all rows have outputs. Returns
        the number of outputs. Raises ResourceError, Interrupted or NativeError, and what the reader of a tap has
        raised.
        """
        count = self._batch.fill(rows, outputs=outputs)
        if (states and count > 0) != self.outputs_all:
            self.outputs_all = not self.outputs_all
            C.llama_set_embeddings(self.pointer, self.outputs_all)
        self._use_threads(self._threads[self._batch.native.n_tokens >= MANY_ROWS])
        code = C.llama_decode(self.pointer, self._batch.native)
        if self._tap is not None:
            self._tap.raise_failure()
        if code == 0:
            return count
        if code == 1:
            raise ResourceError("the context is full", hint="use a larger --ctx-size or a shorter question")
        if code == 2:  # llama.h: aborted
            raise Interrupted
        raise NativeError(f"llama.cpp could not decode (code {code}): {take_errors() or 'no reason given'}")

    def _use_threads(self, threads: int) -> None:
        if threads != self._threads_now:
            C.llama_set_n_threads(self.pointer, threads, threads)
            self._threads_now = threads

    def logits(self, count: int) -> NDArray[np.float32]:
        """(count, n_vocab) view of the last batch's logits."""
        return self._view("logits", C.llama_get_logits(self.pointer), count, self._n_vocab)

    def hidden(self, count: int) -> NDArray[np.float32]:
        """(count, n_embd) view of the last batch's final-norm hidden states."""
        return self._view("hidden", C.llama_get_embeddings(self.pointer), count, self._n_embd)

    def _view(self, name: str, pointer: Any, rows: int, columns: int) -> NDArray[np.float32]:
        """llama.cpp's buffer as an array, which is made once as long as it lies where it lay; that takes a while."""
        if not pointer:
            raise NativeError("llama.cpp has no outputs for this batch")
        address = ctypes.addressof(pointer.contents)
        if name not in self._views or self._views[name][0] != (address, rows):
            self._views[name] = (address, rows), np.ctypeslib.as_array(pointer, shape=(rows, columns))
        return self._views[name][1]

    def last_position(self, sequence_id: int) -> int:
        """The position of a sequence's last token, -1 if it is empty."""
        return int(C.llama_memory_seq_pos_max(self._memory, sequence_id))

    def copy_sequence(self, source: int, target: int, length: int = -1) -> None:
        """The first ``length`` tokens; all of them unless the cache is unified."""
        C.llama_memory_seq_cp(self._memory, source, target, 0, length)

    def remove(self, sequence_id: int, first: int, end: int = -1) -> bool:
        """Forget a sequence's tokens from position ``first`` on, or before ``end``; whether that can be done."""
        return bool(C.llama_memory_seq_rm(self._memory, sequence_id, first, end))

    @property
    def can_shift(self) -> bool:
        """Whether tokens can be given other positions."""
        return bool(C.llama_memory_can_shift(self._memory))

    def shift(self, sequence_id: int, first: int, end: int, by: int) -> None:
        """Add ``by`` to the positions [first, end) of a sequence that shares no token with another."""
        C.llama_memory_seq_add(self._memory, sequence_id, first, end, by)


class Tap:
    """Looks on while a context decodes. What a reader raises ends the decoding, and is raised again once
    llama.cpp has returned.
    """

    def __init__(self) -> None:
        self._failure: BaseException | None = None
        self.callback = C.ggml_backend_sched_eval_callback(self._on_tensor)

    def raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def _on_tensor(self, address: int, ask: bool, _user_data: object) -> bool:  # noqa: FBT001
        """Asked, whether the tensor is to be shown; shown, whether to go on."""
        try:
            if not self._wants(address):
                return not ask
            if not ask:
                self._show(address)
        except BaseException as failure:  # noqa: BLE001 - an exception may not cross into C
            self._failure = failure
            return False
        return True

    def _wants(self, address: int) -> bool:
        raise NotImplementedError

    def _show(self, address: int) -> None:
        raise NotImplementedError


class AttentionTap(Tap):
    """Shows the attention weights of a context without flash attention while it decodes.

    ``read(layer, weights)`` gets (heads, queries, keys) float32 for every layer and physical batch; keys are
    cells of the cache, those in use first.
    """

    def __init__(self, read: Callable[[int, NDArray[np.float32]], None]) -> None:
        super().__init__()
        self._read = read

    def _wants(self, address: int) -> bool:
        return _name(address).startswith(_ATTENTION)

    def _show(self, address: int) -> None:
        self._read(int(_name(address)[len(_ATTENTION) :]), _floats(address))


class WeightInputTap(Tap):
    """Shows what is multiplied with each weight of the layers while a context decodes.

    ``read(name, inputs)`` gets the weight's name and (rows, columns) float32 for every physical batch.
    """

    def __init__(self, read: Callable[[str, NDArray[np.float32]], None]) -> None:
        super().__init__()
        self._read = read
        self._mul_mat = _operation(b"MUL_MAT")

    def _wants(self, address: int) -> bool:
        tensor = _Tensor.from_address(address)
        return tensor.op == self._mul_mat and _name(tensor.src[0]).startswith(_BLOCK)

    def _show(self, address: int) -> None:
        weight, inputs = _Tensor.from_address(address).src[:2]
        self._read(_name(weight).decode(), _rows(inputs))


class LayerOutputTap(Tap):
    """Shows what the layers put out while a context decodes.

    ``read(layer, outputs)`` gets the layer, counted from 0, and (rows, columns) float32 for every physical batch.
    """

    def __init__(self, read: Callable[[int, NDArray[np.float32]], None]) -> None:
        super().__init__()
        self._read = read

    def _wants(self, address: int) -> bool:
        return _name(address).startswith(_LAYER_OUTPUT)

    def _show(self, address: int) -> None:
        self._read(int(_name(address)[len(_LAYER_OUTPUT) :]), _rows(address))


_LAYER_OUTPUT = b"l_out-"  # and the layer's number
_BLOCK = b"blk."


def _name(address: int) -> bytes:
    return ctypes.string_at(address + _Tensor.name.offset)


def _operation(name: bytes) -> int:
    """The number of an operation, one of the first."""
    C._lib.ggml_op_name.restype = ctypes.c_char_p
    return next(number for number in range(64) if C._lib.ggml_op_name(number) == name)


def _rows(address: int) -> NDArray[np.float32]:
    """A copy (rows, columns) of a tensor whose rows follow each other, wherever it lives."""
    tensor = _Tensor.from_address(address)
    columns, *outer = tensor.ne
    sizes = [4, 4 * columns, 4 * columns * outer[0], 4 * columns * outer[0] * outer[1]]
    if tensor.type != C.GGML_TYPE_F32 or list(tensor.nb) != sizes:
        raise NativeError("llama.cpp lays the states of a layer out in a way that sage does not know")
    rows = np.empty((int(np.prod(outer)), columns), dtype=np.float32)
    C._lib.ggml_backend_tensor_get(address, rows.ctypes.data, 0, rows.nbytes)
    return rows


_ATTENTION = b"kq_soft_max-"  # and the layer's number


def _floats(address: int) -> NDArray[np.float32]:
    """A copy (heads, queries, keys) of a tensor, wherever it lives."""
    tensor = _Tensor.from_address(address)
    keys, queries, heads, streams = tensor.ne
    contiguous = tuple(tensor.nb) == (4, 4 * keys, 4 * keys * queries, 4 * keys * queries * heads)
    if tensor.type != C.GGML_TYPE_F32 or streams != 1 or not contiguous:
        raise NativeError("llama.cpp lays attention weights out in a way that sage does not know")
    weights = np.empty((heads, queries, keys), dtype=np.float32)
    C._lib.ggml_backend_tensor_get(address, weights.ctypes.data, 0, weights.nbytes)
    return weights


class _Batch:
    """A ``llama_batch`` over numpy arrays that live as long as it does."""

    def __init__(self, size: int) -> None:
        self._rows = np.zeros((3, size), dtype=np.int32)  # token ids, positions, sequence ids
        self._one = np.ones(size, dtype=np.int32)
        self._outputs = np.zeros(size, dtype=np.int8)
        ids = self._rows[2]
        self._id_pointers = (ids.ctypes.data + ids.strides[0] * np.arange(size)).astype(np.uintp)
        self.native = C.llama_batch()
        self.native.token = _pointer(self._rows[0], C.llama_token)
        self.native.pos = _pointer(self._rows[1], C.llama_pos)
        self.native.n_seq_id = _pointer(self._one, ctypes.c_int32)
        self.native.seq_id = _pointer(self._id_pointers, ctypes.POINTER(C.llama_seq_id))
        self.native.logits = _pointer(self._outputs, ctypes.c_int8)

    def fill(self, rows: Iterable[tuple[int, int, int]], *, outputs: bool | Sequence[bool]) -> int:
        """Returns the number of outputs."""
        filled = np.array(list(rows), dtype=np.int32).reshape(-1, 3)
        count = len(filled)
        self._rows[:, :count] = filled.T
        self._outputs[:count] = outputs
        self.native.n_tokens = count
        return int(np.count_nonzero(self._outputs[:count]))


def _pointer(array: NDArray[Any], kind: Any) -> Any:
    return ctypes.cast(array.ctypes.data, ctypes.POINTER(kind))


class SamplerHandle:
    """A ``llama_sampler *`` chain: greedy, or top-k, top-p, min-p, temperature, seeded draw."""

    def __init__(self, sampling: SamplingOptions, *, seed: int) -> None:
        self.pointer = C.llama_sampler_chain_init(C.llama_sampler_chain_default_params())
        for link in self._links(sampling, seed):
            C.llama_sampler_chain_add(self.pointer, link)

    @staticmethod
    def _links(sampling: SamplingOptions, seed: int) -> list[Any]:
        if sampling.temperature == 0:
            return [C.llama_sampler_init_greedy()]
        return [
            C.llama_sampler_init_top_k(sampling.top_k),
            C.llama_sampler_init_top_p(sampling.top_p, 1),
            C.llama_sampler_init_min_p(sampling.min_p, 1),
            C.llama_sampler_init_temp(sampling.temperature),
            C.llama_sampler_init_dist(seed),
        ]

    def sample(self, context: ContextHandle, row: int) -> int:
        """Draw from the logits of a row of the last batch, and remember the draw."""
        return int(C.llama_sampler_sample(self.pointer, context.pointer, row))

    def draw(self, token_ids: NDArray[np.intp], logits: NDArray[np.float32]) -> int:
        """Draw from these tokens alone, which are at least the ``top_k`` likeliest, and remember the draw."""
        tokens = np.zeros(len(token_ids), dtype=_TOKEN_DATA)
        tokens["id"], tokens["logit"] = token_ids, logits
        shown = C.llama_token_data_array(_pointer(tokens, C.llama_token_data), len(tokens), -1, False)  # noqa: FBT003
        C.llama_sampler_apply(self.pointer, ctypes.byref(shown))
        if not 0 <= shown.selected < shown.size:
            raise NativeError("llama.cpp drew no token")
        drawn = int(shown.data[shown.selected].id)
        C.llama_sampler_accept(self.pointer, drawn)
        return drawn

    def close(self) -> None:
        C.llama_sampler_free(self.pointer)


_TOKEN_DATA = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


@dataclass(frozen=True, kw_only=True)
class QuantizeSettings:
    """What llama.cpp's quantizer is to do.

    types: tensor name to ggml's number of its type, instead of what ``type_name`` would give it; importance:
    tensor name to a weight for each of its columns; notes: metadata to add, texts of at most 127 bytes.
    """

    type_name: str
    threads: int = 1
    allow_requantize: bool = False
    types: Mapping[str, int] = field(default_factory=dict)
    importance: Mapping[str, NDArray[np.float32]] | None = None
    notes: Mapping[str, str | int] = field(default_factory=dict)


def quantize(source: Path, target: Path, settings: QuantizeSettings) -> None:
    """Run llama.cpp's quantizer. ``source`` was accepted by the guard and is not ``target``.

    Raises NativeError with llama.cpp's own words.
    """
    _quantize(source, target, settings, dry_run=False)


def planned_types(source: Path, settings: QuantizeSettings) -> dict[str, str]:
    """Tensor name to the type, like "q4_K", that :func:`quantize` would give it; nothing is written."""
    global _told
    _told = []
    try:
        _quantize(source, Path(os.devnull), settings, dry_run=True)
        said = "".join(_told)
    finally:
        _told = None
    return {name: after or before for name, before, after in _PLANNED.findall(said)}


# [   1/  62] token_embd.weight - [  256,   661,     1,     1], type =    f16, size = 0.3 MiB -> 0.1 MiB (q6_K)
_PLANNED = re.compile(r"\] (\S+) +- \[[^\]]*\], type = +(\w+), size =[^\n(]*(?:\((\w+)\))?")


def _quantize(source: Path, target: Path, settings: QuantizeSettings, *, dry_run: bool) -> None:
    params = C.llama_model_quantize_default_params()
    params.ftype = FILE_TYPES[settings.type_name]
    params.nthread = settings.threads
    params.allow_requantize = settings.allow_requantize
    params.dry_run = dry_run
    # Each of these tables ends with an empty row, and has to live until llama.cpp returns.
    patterns = {f"^{re.escape(name)}$".encode(): number for name, number in settings.types.items()}
    overrides = (C.llama_model_tensor_override * (len(patterns) + 1))(*patterns.items())
    held = {
        name.encode(): np.ascontiguousarray(row, dtype=np.float32)
        for name, row in (settings.importance or {}).items()
    }
    rows = [(name, _pointer(row, ctypes.c_float), row.size) for name, row in held.items()]
    importance = (C.llama_model_imatrix_data * (len(rows) + 1))(*rows)
    notes = (C.llama_model_kv_override * (len(settings.notes) + 1))(*map(_note, settings.notes.items()))
    if settings.types:
        params.tt_overrides = overrides
    if settings.importance is not None:
        params.imatrix = importance
    if settings.notes:
        params.kv_overrides = notes
    take_errors()
    code = C.llama_model_quantize(os.fsencode(source), os.fsencode(target), ctypes.byref(params))
    if code != 0:
        raise NativeError(f"llama.cpp could not quantize the model: {take_errors() or f'code {code}'}")


def _note(note: tuple[str, str | int]) -> Any:
    key, value = note
    row = C.llama_model_kv_override()
    row.key = key.encode()
    if isinstance(value, int):
        row.tag = C.LLAMA_KV_OVERRIDE_TYPE_INT
        row.value.val_i64 = value
    else:
        row.tag = C.LLAMA_KV_OVERRIDE_TYPE_STR
        row.value.val_str = value.encode()[:127].decode("utf-8", "ignore").encode()  # no half characters
    return row
