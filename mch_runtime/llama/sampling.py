"""Drawing tokens: llama.cpp's sampler chain, shown no more of a large vocabulary than it can take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mch_runtime.llama import abi
from mch_runtime.options import SamplingOptions
from mch_runtime.session import FloatArray
from mch_runtime.statistics import largest

if TYPE_CHECKING:
    from mch_runtime.llama.context import LlamaSession

LARGE = 8192  # tokens; below that llama.cpp copies and sorts the whole row faster than numpy is called


class LlamaSampler:
    """A sampler chain that draws from the block being read."""

    def __init__(self, handle: abi.SamplerHandle, session: LlamaSession, sampling: SamplingOptions) -> None:
        self._handle = handle
        self._session = session
        self._sampling = sampling

    def sample(self, row: int) -> int:
        block = self._session.block_logits
        if not 0 <= row < len(block):
            raise ValueError(f"row {row} is not in the block being read")
        if block.shape[1] >= LARGE and (self._sampling.temperature == 0 or self._sampling.top_k > 0):
            return self._sample_large(block[row])
        return self._handle.sample(self._session.handle, row)

    def _sample_large(self, logits: FloatArray) -> int:
        """What :meth:`abi.SamplerHandle.sample` draws, without looking at every token in turn."""
        if self._sampling.temperature == 0:
            return int(logits.argmax())
        places = largest(logits, self._sampling.top_k)
        return self._handle.draw(places, logits[places])
