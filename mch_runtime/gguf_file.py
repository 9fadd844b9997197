"""GGUF files for everybody else: the reader, the guard, and opening a model that passed it."""

from mch_runtime.gguf.checked import CheckedFile, open_checked
from mch_runtime.gguf.guard import check_model
from mch_runtime.gguf.reader import GgufFile, TensorInfo, read_gguf, read_tensor
from mch_runtime.gguf.types import NORMALIZER_KEY

__all__ = [
    "NORMALIZER_KEY",
    "CheckedFile",
    "GgufFile",
    "TensorInfo",
    "check_model",
    "open_checked",
    "read_gguf",
    "read_tensor",
]
