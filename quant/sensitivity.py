"""How far a model drifts when some of its tensors get other types: trial files against stored outputs."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, closing
from pathlib import Path

import numpy as np

from mch_runtime.llama.abi import QuantizeSettings
from mch_runtime.llama.context import open_session
from mch_runtime.llama.model import LlamaModel, open_model
from mch_runtime.llama.quantizer import quantize as llama_quantize
from mch_runtime.options import EngineOptions
from mch_runtime.session import Interrupt, Session
from quant.divergence import compare_rows, pieces
from quant.importance import ImportanceMatrix
from quant.measure import Measure, mean
from quant.quantize import MAX_THREADS, Source
from quant.texts import Document, Text, bundled
from quant.types import NUMBERS

STORED_BYTES = 1 << 30  # of the source's outputs, in a file
MOST_TOKENS = 2048
_SMALLEST_CONTEXT = 16


class Ruler:
    """Measures trial files against the source's outputs, which are stored once, on a short text."""

    def __init__(
        self,
        source: Source,
        folder: Path,
        text: Text | None,
        importance: ImportanceMatrix | None,
        threads: int | None,
        interrupt: Interrupt,
    ) -> None:
        """folder: for the stored outputs and one trial file at a time."""
        self._source, self._folder, self._interrupt = source, folder, interrupt
        self._means = importance.means() if importance is not None else None
        self._threads = threads
        with open_model(source.path, interrupt=interrupt) as model:
            everything = (text or bundled(model)).documents(model)
            self._documents = _first_rows(everything, STORED_BYTES // (4 * model.vocabulary.size))
            self._stored = self._store(model)

    def close(self) -> None:
        """Let go of the stored outputs."""
        del self._stored

    def divergence(self, types: Mapping[str, str]) -> Measure:
        """Mean KL divergence from the source, nats per token, of the model with its matrices in these types."""
        trial = self._folder / "trial.gguf"
        settings = QuantizeSettings(
            type_name="Q8_0",  # of nothing: every matrix is named
            threads=min(self._threads or 2, MAX_THREADS),
            allow_requantize=True,
            types={name: NUMBERS[kind] for name, kind in types.items()},
            importance=self._means,
        )
        try:
            llama_quantize(self._source.fd, self._source.path, trial, settings, interrupt=self._interrupt)
            with open_model(trial, probe=False, interrupt=self._interrupt) as model:
                return self._against_stored(model)
        finally:
            trial.unlink(missing_ok=True)

    def _against_stored(self, model: LlamaModel) -> Measure:
        windows, at = [], 0
        with self._session(model) as session:
            for document in self._documents:
                targets = np.array(document.token_ids[document.first :], dtype=np.intp)
                parts, done = [], 0
                with closing(pieces(session, document)) as ours:
                    for piece in ours:
                        n = min(len(piece.logits), len(targets) - done)
                        stored = self._stored[at + done : at + done + n]
                        if n:
                            rows = compare_rows(stored, piece.logits[:n], targets[done : done + n])
                            parts.append(rows.kl)
                        done += n
                windows.append(np.concatenate(parts))
                at += len(targets)
        return mean(windows)

    def _store(self, model: LlamaModel) -> np.memmap[tuple[int, int], np.dtype[np.float32]]:
        rows = sum(len(document.token_ids) - document.first for document in self._documents)
        stored = np.memmap(
            self._folder / "reference.f32",
            dtype=np.float32,
            mode="w+",
            shape=(rows, model.vocabulary.size),
        )
        at = 0
        with self._session(model) as session:
            for document in self._documents:
                left = len(document.token_ids) - document.first
                with closing(pieces(session, document)) as ours:
                    for piece in ours:
                        n = min(len(piece.logits), left)
                        stored[at : at + n] = piece.logits[:n]
                        at, left = at + n, left - n
        return stored

    def _session(self, model: LlamaModel) -> AbstractContextManager[Session]:
        longest = max(len(document.token_ids) for document in self._documents)
        options = EngineOptions(
            model=model.path,
            ctx_size=max(longest, _SMALLEST_CONTEXT),
            max_sequences=1,
            threads=self._threads,
        )
        return open_session(model, options, self._interrupt)


def _first_rows(documents: list[Document], most: int) -> list[Document]:
    """As many of the documents as have at most ``most`` rows and MOST_TOKENS, at least one."""
    kept: list[Document] = []
    rows = 0
    for document in documents:
        rows += len(document.token_ids) - document.first
        if kept and (rows > most or rows > MOST_TOKENS):
            break
        kept.append(document)
    return kept
