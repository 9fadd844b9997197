"""``sage quality``: what a model lost against a reference, on a text, in bounded memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mch_runtime.errors import DataError, HeadError
from mch_runtime.head.spec import Head
from mch_runtime.llama.context import open_session
from mch_runtime.llama.model import LlamaModel, open_model
from mch_runtime.loading import fit_head, model_info
from mch_runtime.options import EngineOptions
from mch_runtime.session import Interrupt, Session
from mch_runtime.trace import ModelInfo
from quant.divergence import Rows, compare_rows, pieces
from quant.drift import ChainReader, HeadDrift, Judged, head_drift
from quant.measure import Measure, mean, quantile
from quant.texts import Document, Text, bundled

Progress = Callable[[int, int], None]
SHARES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)
_SMALLEST_CONTEXT = 16


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two models. perplexity: of the text."""

    model: ModelInfo
    file_bytes: int
    perplexity: Measure


@dataclass(frozen=True, kw_only=True)
class QualityReport:
    """What the second model lost. tokens: that were scored, in so many windows.

    perplexity_ratio: the second's by the first's. kl_mean, kl_99: KL divergence of the next token's distribution
    from the reference's, nats per token, its mean and 99th percentile; kl_quantiles: (share of tokens, at most
    this divergence); same_top: share of tokens with the same most likely token. Errors are over windows. kl_windows: the
    divergence of every token, (n,) for each window, to compare reports on one text.
    """

    text: str
    tokens: int
    windows: int
    reference: Side
    other: Side
    perplexity_ratio: Measure
    kl_mean: Measure
    kl_99: Measure
    kl_quantiles: tuple[tuple[float, float], ...]
    same_top: Measure
    head: HeadDrift | None
    notes: tuple[str, ...] = ()
    kl_windows: tuple[NDArray[np.float64], ...] = field(default=(), repr=False, compare=False)


@dataclass(frozen=True)
class _Open:
    """A model with its session; head: None where it has none."""

    model: LlamaModel
    session: Session
    head: Head | None
    info: ModelInfo
    notes: tuple[str, ...]


def compare(
    reference: Path,
    other: Path,
    *,
    text: Text | None = None,
    traces: Text | None = None,
    threads: int | None = None,
    gpu_layers: int = 0,
    interrupt: Interrupt | None = None,
    progress: Progress = lambda _done, _total: None,
) -> QualityReport:
    """Measure ``other`` against ``reference`` on ``text``, and its head on ``traces``.

    text: the bundled one if None; chains in it are traces as well. progress: tokens done and in all. Raises
    DataError for models of different vocabularies or an unusable text, and the errors of loading a model.
    """
    interrupt = interrupt or Interrupt()
    with ExitStack() as stack:
        first, second = (
            stack.enter_context(open_model(path, gpu_layers=gpu_layers, interrupt=interrupt))
            for path in (reference, other)
        )
        _check_same_vocabulary(first, second)
        chosen = text or traces or bundled(first)
        documents = chosen.documents(first)
        judged = traces.documents(first) if traces is not None and traces is not chosen else []
        longest = max(len(document.token_ids) for document in (*documents, *judged))
        sides = [
            stack.enter_context(_opened(model, longest, threads, gpu_layers, interrupt))
            for model in (first, second)
        ]
        run = _Comparison(sides[0], sides[1], progress, documents, judged)
        run.run()
        return run.report(chosen.name)


@contextmanager
def _opened(
    model: LlamaModel, longest: int, threads: int | None, gpu_layers: int, interrupt: Interrupt
) -> Iterator[_Open]:
    options = EngineOptions(
        model=model.path,
        ctx_size=max(longest, _SMALLEST_CONTEXT),
        max_sequences=1,
        threads=threads,
        gpu_layers=gpu_layers,
        force_head=True,  # a head that the probe refuses is a finding, not the end
    )
    with open_session(model, options, interrupt) as session:
        try:
            found = fit_head(model, session, options)
        except HeadError as error:
            found = fit_head(model, session, EngineOptions(model=model.path, use_head=False))
            yield _Open(model, session, None, model_info(model, found), (error.message,))
            return
        notes = () if found.fits or found.head is None else (f"{model.path.name}: {found.notices[-1]}",)
        yield _Open(model, session, found.head, model_info(model, found), notes)


class _Comparison:
    """Both models over all documents; what is kept is a few numbers for each token."""

    def __init__(
        self,
        reference: _Open,
        other: _Open,
        progress: Progress,
        documents: Sequence[Document],
        judged: Sequence[Document],
    ) -> None:
        self._sides = (reference, other)
        self._heads = (reference.head or other.head, other.head or reference.head)
        self._progress = progress
        self._documents, self._only_judged = documents, judged
        self._rows: list[Rows] = []
        self._judged: list[tuple[Judged, Judged]] = []
        self._right: list[bool | None] = []

    def run(self) -> None:
        total = sum(len(one.token_ids) for one in (*self._documents, *self._only_judged))
        done = 0
        for document, scored in [(d, True) for d in self._documents] + [
            (d, False) for d in self._only_judged
        ]:
            rows = self._read(document)
            if scored:
                self._rows.append(rows)
            done += len(document.token_ids)
            self._progress(done, total)

    def _read(self, document: Document) -> Rows:
        """One document through both models, piece by piece."""
        targets = np.array((*document.token_ids[1:], 0), dtype=np.intp)
        readers = [ChainReader(side.session, document) for side in self._sides]
        parts: list[Rows] = []
        with (
            closing(pieces(self._sides[0].session, document)) as ours,
            closing(pieces(self._sides[1].session, document)) as theirs,
        ):
            for pair in zip(ours, theirs, strict=True):
                if document.chain and all(self._heads):
                    for reader, piece in zip(readers, pair, strict=True):
                        reader.add(piece)
                one, other = pair
                # The row of the last token predicts what is not there.
                scored = min(len(one.logits), len(document.token_ids) - 1 - one.first)
                wanted = targets[one.first : one.first + scored]
                if scored:
                    parts.append(compare_rows(one.logits[:scored], other.logits[:scored], wanted))
        if document.chain:
            self._judge(readers, document)
        return joined(parts)

    def _judge(self, readers: Sequence[ChainReader], document: Document) -> None:
        first, second = self._heads
        if first is not None and second is not None:
            self._judged.append((readers[0].judge(first), readers[1].judge(second)))
            self._right.append(document.right)

    def report(self, text: str) -> QualityReport:
        rows = self._rows
        kl = [one.kl for one in rows]
        every = np.concatenate(kl)
        losses = [[one.nll for one in rows], [one.other_nll for one in rows]]
        sides = [
            Side(
                model=side.info,
                file_bytes=os.fstat(side.model.fd).st_size,
                perplexity=_exponential(mean(nll)),
            )
            for side, nll in zip(self._sides, losses, strict=True)
        ]
        return QualityReport(
            text=text,
            tokens=len(every),
            windows=len(rows),
            reference=sides[0],
            other=sides[1],
            perplexity_ratio=_exponential(mean([one.other_nll - one.nll for one in rows])),
            kl_mean=mean(kl),
            kl_99=quantile(kl, 0.99),
            kl_quantiles=tuple((share, float(np.quantile(every, share))) for share in SHARES),
            same_top=mean([one.same_top.astype(np.float64) for one in rows]),
            head=head_drift(self._judged, self._right),
            notes=tuple(note for side in self._sides for note in side.notes),
            kl_windows=tuple(kl),
        )


def joined(parts: Sequence[Rows]) -> Rows:
    """Rows of consecutive pieces as one."""
    if not parts:
        empty: NDArray[np.float64] = np.empty(0)
        return Rows(empty, empty, empty, np.empty(0, dtype=np.bool_))
    return Rows(*(np.concatenate([getattr(part, name) for part in parts]) for name in Rows.__annotations__))


def _exponential(measured: Measure) -> Measure:
    value = float(np.exp(measured.value))
    return Measure(value, None if measured.error is None else value * measured.error)


def _check_same_vocabulary(first: LlamaModel, second: LlamaModel) -> None:
    key = "tokenizer.ggml.tokens"
    if first.gguf.metadata.get(key) != second.gguf.metadata.get(key):
        raise DataError(
            f"{first.path.name} and {second.path.name} have different vocabularies "
            f"({first.vocabulary.size:,} and {second.vocabulary.size:,} tokens)",
            hint="compare a model with a quantization of itself",
        )
