"""A control vector from contrasted texts: what the states behind one kind have that those behind the other have not.

Representation engineering (Zou et al. 2023) and contrastive activation addition (Rimsky et al. 2024): of every pair the
states of a layer are subtracted, and the mean of the differences, or their first principal component, is the direction.
Directions are not brought to length 1 but keep that of the contrast, so that a scale of 1 moves one layer's state as
far as the two kinds lie apart. Layers add up: what all of them add is more than that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mch_runtime.errors import DataError, UsageError
from mch_runtime.files import read_regular_file
from mch_runtime.llama.model import LlamaModel, open_model
from mch_runtime.llama.taps import LlamaLayerOutputs
from mch_runtime.loading import choose_dialect, special_text
from mch_runtime.options import EngineOptions
from mch_runtime.prompting import make_prompt, plain_tokens
from mch_runtime.session import FloatArray, Interrupt
from mch_runtime.steering import ControlVector
from mch_runtime.strict_json import loads
from prompts.dialects import Dialect

Method = Literal["mean", "pca"]
Place = Literal["last", "text"]
Progress = Callable[[int, int], None]

FEWEST_PAIRS = 4
LARGEST_FILE = 64 << 20
_HELD_OUT = 5  # every so manieth pair is only measured on
_FORM = '{"positive": "...", "negative": "..."}, two questions, or with "question" two texts written to it'


@dataclass(frozen=True)
class Pair:
    """Two texts that differ in what is wanted. question: what both were written to; "" if they are questions."""

    positive: str
    negative: str
    question: str = ""


@dataclass(frozen=True, kw_only=True)
class LayerContrast:
    """How one layer tells the two kinds apart.

    size: the direction's length over the mean length of the states. separation: share of held-out pairs whose positive
    lies further along a direction that was made without them; None with too few pairs.
    """

    layer: int
    size: float
    separation: float | None


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """A control vector, how it was made, and how well its layers tell held-out pairs apart."""

    vector: ControlVector
    pairs: int
    held_out: int
    tokens: int
    layers: tuple[LayerContrast, ...]


def read_pairs(path: Path) -> tuple[Pair, ...]:
    """JSON Lines of pairs. Raises DataError, naming the line, and what reading a file raises."""
    try:
        content = read_regular_file(path, limit=LARGEST_FILE).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text", hint="save it as UTF-8") from error
    pairs = tuple(
        _pair(line, f"{path}, line {number}")
        for number, line in enumerate(content.splitlines(), start=1)
        if line.strip()
    )
    if len(pairs) < FEWEST_PAIRS:
        raise DataError(
            f"{path} has {len(pairs)} pairs", hint=f"{FEWEST_PAIRS} at least; some hundred are good"
        )
    return pairs


def _pair(line: str, where: str) -> Pair:
    try:
        given = loads(line)
    except DataError as error:
        raise DataError(f"{where}: {error.message}", hint=f"each line is {_FORM}") from error
    if not isinstance(given, dict) or given.keys() - {"question"} != {"positive", "negative"}:
        raise DataError(f"{where} is not a pair", hint=f"each line is {_FORM}")
    if not all(isinstance(text, str) for text in given.values()):
        raise DataError(f"{where} holds something else than texts", hint=f"each line is {_FORM}")
    pair = Pair(**given)
    if not pair.question.strip() and not (pair.positive.strip() and pair.negative.strip()):
        raise DataError(f"{where} has an empty question", hint=f"each line is {_FORM}")
    if pair.positive == pair.negative:
        raise DataError(f"{where} has the same text twice", hint="what is contrasted must differ")
    return pair


def contrast(
    model: Path,
    pairs: Sequence[Pair],
    *,
    method: Method = "mean",
    place: Place = "last",
    layers: tuple[int, int] | None = None,
    threads: int | None = None,
    interrupt: Interrupt | None = None,
    progress: Progress = lambda _done, _total: None,
) -> Contrast:
    """Make a control vector for ``model``.

    place: the state behind the last token, or the mean over the tokens of the text (the question's where that is
    what differs). layers: first and last, None for all that can be steered. progress: texts read and in all. Raises
    UsageError for layers that the model has not, DataError for pairs without a difference, and what opening and reading raise.
    """
    interrupt = interrupt or Interrupt()
    with open_model(model, interrupt=interrupt) as opened:
        architecture = str(opened.gguf.metadata["general.architecture"])
        count = int(str(opened.gguf.metadata[f"{architecture}.block_count"]))
        first, last = _checked_layers(layers, count)
        reading = _Reading(opened, EngineOptions(model=model, threads=threads), interrupt, place)
        states = reading.states(pairs, progress)[:, :, first : last + 1]
    kept = {layer: states[:, :, index] for index, layer in enumerate(range(first, last + 1))}
    held = np.arange(len(pairs)) % _HELD_OUT == _HELD_OUT - 1
    directions = {layer: direction(one[:, 0] - one[:, 1], method) for layer, one in kept.items()}
    if not any(np.linalg.norm(one) > 0 for one in directions.values()):
        raise DataError("the two texts of the pairs leave the same states", hint="contrast other texts")
    return Contrast(
        vector=ControlVector(directions=directions, made_for=architecture),
        pairs=len(pairs),
        held_out=int(held.sum()),
        tokens=reading.tokens,
        layers=tuple(_measured(layer, one, directions[layer], held, method) for layer, one in kept.items()),
    )


def direction(differences: NDArray[np.float64], method: Method) -> FloatArray:
    """The direction (width,) float32 in differences (pairs, width) of positive less negative.

    "mean": their mean. "pca": their first principal component through the origin, as long as the differences reach
    along it on average, and pointing to the positive.
    """
    mean: NDArray[np.float64] = differences.mean(axis=0)
    if method == "pca":
        axis: NDArray[np.float64] = np.linalg.svd(differences, full_matrices=False)[2][0]
        mean = axis * (mean @ axis)
    return mean.astype(np.float32)


def _measured(
    layer: int, states: NDArray[np.float64], whole: FloatArray, held: NDArray[np.bool_], method: Method
) -> LayerContrast:
    """states: (pairs, 2, width)."""
    separation = None
    if held.any():
        differences = states[:, 0] - states[:, 1]
        without = direction(differences[~held], method).astype(np.float64)
        separation = float(np.mean(differences[held] @ without > 0))
    length = float(np.linalg.norm(states, axis=-1).mean())
    size = float(np.linalg.norm(whole)) / length if length > 0 else 0.0
    return LayerContrast(layer=layer, size=size, separation=separation)


def _checked_layers(layers: tuple[int, int] | None, count: int) -> tuple[int, int]:
    if count < 2:
        raise UsageError("a model of one layer cannot be steered", hint="llama.cpp steers layers from 1 on")
    first, last = layers or (1, count - 1)
    if not 1 <= first <= last < count:
        raise UsageError(f"layers {first}-{last} cannot be steered", hint=f"1-{count - 1} can, in this order")
    return first, last


class _Reading:
    """Pairs through a model; of each text one state per layer is kept."""

    def __init__(self, model: LlamaModel, options: EngineOptions, interrupt: Interrupt, place: Place) -> None:
        self.tokens = 0
        self._model = model
        self._outputs = LlamaLayerOutputs(model, options, interrupt)
        self._place = place
        self._dialect, _ = choose_dialect(model)

    def states(self, pairs: Sequence[Pair], progress: Progress) -> NDArray[np.float64]:
        """(pairs, 2, layers, width): of the positive, then of the negative."""
        texts = [
            _tokens(self._model, self._dialect, pair.question, text)
            for pair in pairs
            for text in (pair.positive, pair.negative)
        ]
        self.tokens = sum(len(token_ids) for token_ids, _ in texts)
        kept: list[dict[int, NDArray[np.float64]]] = []
        at: dict[int, int] = {}  # how many rows of the text under way each layer has shown

        def one_after_the_other() -> Iterator[Sequence[int]]:
            for done, (token_ids, _) in enumerate(texts):
                progress(done, len(texts))
                kept.append({})
                at.clear()
                yield token_ids
            progress(len(texts), len(texts))

        def read(layer: int, outputs: NDArray[np.float32]) -> None:
            token_ids, begins = texts[len(kept) - 1]
            first = len(token_ids) - 1 if self._place == "last" else begins
            before = at.get(layer, 0)
            at[layer] = before + len(outputs)
            part = outputs[max(0, first - before) :].astype(np.float64).sum(axis=0)
            share = part / (len(token_ids) - first)
            kept[-1][layer] = kept[-1].get(layer, 0.0) + share

        self._outputs(one_after_the_other(), read, longest=max(len(token_ids) for token_ids, _ in texts))
        rows = [[one[layer] for layer in sorted(one)] for one in kept]
        return np.array(rows).reshape(len(pairs), 2, len(rows[0]), -1)


def _tokens(model: LlamaModel, dialect: Dialect, question: str, text: str) -> tuple[list[int], int]:
    """A text behind its question as the model would see it, and the place of its first own token."""
    asked = question or text
    prompt = make_prompt(
        model.vocabulary,
        dialect,
        [{"role": "user", "content": asked}],
        bos_token=special_text(model, "bos"),
        eos_token=special_text(model, "eos"),
    )
    if not question:
        return prompt.token_ids, prompt.question[0] if prompt.question else 0
    written = plain_tokens(model.vocabulary, text)
    return [*prompt.token_ids, *written], len(prompt.token_ids) - (not written)
