"""How familiar the words of a question are: the log-probabilities of its own tokens.

They are read off while the prompt is read, in the ordinary chat prompt, and for the question alone: the
template's tokens say nothing. The measure is the lowest mean over any window of tokens, because
one strange phrase in a long question must not drown in the mean.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import islice

import numpy as np

from mch_runtime.prompting import Prompt
from mch_runtime.session import Block, Feed, FloatArray, Session
from mch_runtime.statistics import token_statistics


class QuestionReader:
    """Collects the log-probabilities of the tokens ``span`` = [start, end) of a prompt.

    A token with nothing before it has none and is left out.
    """

    def __init__(self, token_ids: Sequence[int], span: tuple[int, int]) -> None:
        self._token_ids = token_ids
        self._start, self._end = max(1, span[0]), span[1]
        self._logprobs: list[float] = []

    @property
    def complete(self) -> bool:
        """Whether every token has been seen, and there is one."""
        return 0 < self._end - self._start == len(self._logprobs)

    def first_output(self, first: int, count: int) -> int:
        """From which of the prompt's tokens [first, first + count) on logits are wanted, counted from first."""
        if first >= self._end - 1:
            return count
        return min(count, max(0, self._start - 1 - first))

    def read(self, position: int, logits: FloatArray) -> None:
        """The row (n_vocab,) behind the prompt's token ``position``; rows come in order."""
        if self._start <= position + 1 < self._end:
            self._logprobs.append(token_statistics(logits, self._token_ids[position + 1]).logprob)

    def lowest(self, window: int) -> float:
        """Lowest mean log-probability over ``window`` tokens in a row, or over all if they are fewer."""
        return lowest_mean(self._logprobs, window)


def lowest_mean(values: Sequence[float], window: int) -> float:
    """The lowest mean of ``window`` values in a row; of all, if there are fewer. Not for no values."""
    size = min(window, len(values))
    sums = np.cumsum([0.0, *values])
    return float((sums[size:] - sums[:-size]).min() / size)


def read_questions(session: Session, prompts: Iterable[Prompt], *, window: int, rows: int) -> Iterator[float]:
    """The measure of each prompt's question, nan without one; ``rows`` prompts are read at a time."""
    prompts = iter(prompts)
    while batch := list(islice(prompts, rows)):
        readers = [QuestionReader(prompt.token_ids, prompt.question or (0, 0)) for prompt in batch]
        with ExitStack() as stack:
            feeds = [
                Feed(
                    stack.enter_context(session.branch()),
                    prompt.token_ids[:-1],
                    reader.first_output(0, len(prompt.token_ids) - 1),
                )
                for prompt, reader in zip(batch, readers, strict=True)
            ]
            session.decode(feeds, partial(_spread, readers))
        for reader in readers:
            yield reader.lowest(window) if reader.complete else math.nan


def _spread(readers: Sequence[QuestionReader], block: Block) -> None:
    for row, (feed, offset) in enumerate(zip(block.feeds, block.offsets, strict=True)):
        readers[feed].read(int(offset), block.logits[row])
