"""A chain read again: everything the model thought of each of its tokens, and the cache kept for more.

A chain is read by teacher forcing, prompt and chain in one pass, whoever wrote it. For a chain of
this model that gives back what its generation measured.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from mch_runtime.familiarity import QuestionReader
from mch_runtime.head.spec import Head
from mch_runtime.head.witness import HeadWitness
from mch_runtime.inverse.kept import Kept
from mch_runtime.inverse.segment import Segment
from mch_runtime.prompting import Prompt
from mch_runtime.session import Block, Branch, Feed, FloatArray, Session, TextDecoder, Vocabulary
from mch_runtime.statistics import TokenStatistics, token_statistics

OPTION_PROBABILITY = 0.05  # of a token that the model could well have taken
MOST_OPTIONS = 8  # per position
DELIMITER = "\n"  # where no head says otherwise


@dataclass(frozen=True, slots=True)
class Option:
    """A token that was not taken, and its statistics in the row that the taken one came from."""

    token_id: int
    statistics: TokenStatistics

    @property
    def probability(self) -> float:
        return math.exp(self.statistics.logprob)


@dataclass(frozen=True, kw_only=True)
class ReadStep:
    """A step of the chain.

    tokens: [start, end) among the chain's tokens; ends with the first token whose text completes the step's
    delimiter. channels: the head's, as its Platt scaling gives them, None without a head;
    confidence: the same where they are known to be calibrated.
    """

    segment: Segment
    tokens: tuple[int, int]
    channels: Mapping[str, float] | None = None
    confidence: Mapping[str, float] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Read:
    """A chain of n tokens behind its prompt.

    text: the chain's; ends: (n,) how many characters of it are complete after each token. states: (n + 1, d) after
    the prompt's last token and after every chain token. statistics and options: one entry per chain token; options None where the
    chain's generation was kept, which does not record them. confidence_raw: P(the answer is right) as the head says it for ``fast``. branch: holds prompt and chain,
    to be forked at any length, not to be changed; alive inside of ``read_chain``'s ``with``. delimiter: what ends
    a step.
    """

    prompt: Prompt
    token_ids: tuple[int, ...]
    text: str
    ends: tuple[int, ...]
    states: FloatArray
    statistics: tuple[TokenStatistics, ...]
    options: tuple[tuple[Option, ...], ...] | None
    steps: tuple[ReadStep, ...]
    confidence_raw: float | None
    branch: Branch
    delimiter: str

    def length(self, token: int) -> int:
        """How many tokens of the branch come before the chain's ``token``."""
        return len(self.prompt.token_ids) + token


def text_ends(vocabulary: Vocabulary, token_ids: Sequence[int]) -> tuple[str, tuple[int, ...]]:
    """The text of tokens, and how many of its characters are complete after each of them."""
    decoder = TextDecoder()
    parts = [decoder.feed(vocabulary.piece(token_id)) for token_id in token_ids]
    ends = np.cumsum([len(part) for part in parts], dtype=np.intp)
    return "".join(parts) + decoder.flush(), tuple(int(end) for end in ends)


def step_tokens(
    segments: Sequence[Segment], text: str, ends: Sequence[int], *, delimiter: str = DELIMITER
) -> list[tuple[int, int]]:
    """The tokens [start, end) of each segment; together they cover all tokens.

    A step begins where the one before it ends; a token that ends two steps belongs to both.
    """
    spans: list[tuple[int, int]] = []
    start = 0
    for place, segment in enumerate(segments):
        last = place + 1 == len(segments)
        behind = len(text) if last else segments[place + 1].span[0]
        target = _completed(text, segment.span[1], behind, delimiter)
        end = len(ends) if last else min(len(ends), bisect_left(ends, target) + 1)
        start = min(start, end - 1)
        spans.append((start, end))
        start = end
    return spans


def _completed(text: str, end: int, behind: int, delimiter: str) -> int:
    """Where the delimiter ends that follows a step, which ends at ``end``; ``end`` itself if none does."""
    if text[:end].endswith(delimiter):
        return end
    found = text.find(delimiter, end, behind)
    return end if found < 0 or text[end:found].strip() else found + len(delimiter)


@contextmanager
def read_chain(
    session: Session,
    *,
    prompt: Prompt,
    token_ids: Sequence[int],
    segments: Sequence[Segment],
    head: Head | None,
    calibrated: Callable[[], bool] = lambda: False,
    question: QuestionReader | None = None,
) -> Iterator[Read]:
    """Read prompt and chain in one pass and keep the branch for as long as the ``with`` lasts.

    segments: of the text of ``token_ids``, see :func:`text_ends`. calibrated: asked at every step's end, whether the
    head's channels may be given as confidences. question: reads along in the prompt. Raises ResourceError if
    the chain does not fit, Interrupted if the interrupt was requested.
    """
    reader = _Reader(session.vocabulary, prompt, token_ids, segments, head, calibrated)
    with session.branch() as branch:
        first = reader.last if question is None else question.first_output(0, len(prompt.token_ids))

        def read(block: Block) -> None:
            for offset, logits, hidden in zip(block.offsets, block.logits, block.hidden, strict=True):
                if question is not None:
                    question.read(int(offset), logits)
                if offset >= reader.last:
                    reader.token(int(offset) - reader.last, logits, hidden)

        session.decode([Feed(branch, [*prompt.token_ids, *token_ids], min(first, reader.last))], read)
        yield reader.result(branch, options=tuple(reader.options))


def kept_read(
    vocabulary: Vocabulary,
    kept: Kept,
    *,
    segments: Sequence[Segment],
    head: Head | None,
    calibrated: Callable[[], bool],
    judged: Mapping[int, Mapping[str, float]],
) -> Read:
    """A read of a chain without decoding anything; it has no options.

    judged: what the head said, calibrated, after how many tokens; where that is not all that is asked for, the head
    is run again.
    """
    reader = _Reader(vocabulary, kept.prompt, kept.token_ids, segments, head, calibrated)
    reader.recall(judged)
    for place, hidden in enumerate(kept.states):
        reader.state(place, hidden)
        if place < len(kept.statistics):
            reader.statistics.append(kept.statistics[place])
    return reader.result(kept.branch, options=None)


class _Reader:
    """Takes the rows of a chain in order and makes a ``Read`` of them. last: the place of the prompt's last token."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        prompt: Prompt,
        token_ids: Sequence[int],
        segments: Sequence[Segment],
        head: Head | None,
        calibrated: Callable[[], bool],
    ) -> None:
        self.last = len(prompt.token_ids) - 1
        self.statistics: list[TokenStatistics] = []
        self.options: list[tuple[Option, ...]] = []
        self._states: list[FloatArray] = []
        self._prompt, self._token_ids, self._segments = prompt, token_ids, segments
        self._text, self._ends = text_ends(vocabulary, token_ids)
        self._delimiter = head.spec.step_delimiter if head else DELIMITER
        self._spans = step_tokens(segments, self._text, self._ends, delimiter=self._delimiter)
        self._witness = HeadWitness(head, calibrated=calibrated) if head else None
        # Channels and confidence at every step's end.
        self._judged: dict[int, tuple[Mapping[str, float] | None, Mapping[str, float] | None]]
        self._judged = dict.fromkeys((end for _, end in self._spans), (None, None))

    def recall(self, judged: Mapping[int, Mapping[str, float]]) -> None:
        """Take the confidences for known, if they are there for every step."""
        if self._judged.keys() <= judged.keys():
            self._judged = {end: (judged[end], judged[end]) for end in self._judged}
            self._witness = None

    def token(self, read: int, logits: FloatArray, hidden: FloatArray) -> None:
        """``read`` tokens of the chain have been read; the row speaks of the next one."""
        self.state(read, hidden.copy())
        if read < len(self._token_ids):
            chosen = token_statistics(logits, self._token_ids[read])
            self.statistics.append(chosen)
            self.options.append(_options(logits, self._token_ids[read], chosen))

    def state(self, read: int, hidden: FloatArray) -> None:
        """The state after ``read`` tokens, the last of which has its statistics already."""
        self._states.append(hidden)
        if self._witness is None:
            return
        self._witness.push(hidden, self.statistics[-1] if self.statistics else None)
        if read in self._judged:
            confidence = self._witness.judge(ended=read == len(self._token_ids))
            self._judged[read] = (self._witness.channels, confidence)

    def result(self, branch: Branch, *, options: tuple[tuple[Option, ...], ...] | None) -> Read:
        return Read(
            prompt=self._prompt,
            token_ids=tuple(self._token_ids),
            text=self._text,
            ends=self._ends,
            states=np.stack(self._states),
            statistics=tuple(self.statistics),
            options=options,
            steps=tuple(
                ReadStep(
                    segment=segment,
                    tokens=tokens,
                    channels=self._judged[tokens[1]][0],
                    confidence=self._judged[tokens[1]][1],
                )
                for segment, tokens in zip(self._segments, self._spans, strict=True)
            ),
            confidence_raw=self._witness.answer_confidence("fast") if self._witness else None,
            branch=branch,
            delimiter=self._delimiter,
        )


def _options(row: FloatArray, token_id: int, chosen: TokenStatistics) -> tuple[Option, ...]:
    """The tokens of the row (n_vocab,) that are likely enough, without the one taken; likeliest first."""
    log_total = float(row[token_id]) - chosen.logprob
    places = np.flatnonzero(row >= np.float32(log_total + math.log(OPTION_PROBABILITY)))
    others = sorted((int(place) for place in places if place != token_id), key=lambda place: -row[place])
    return tuple(Option(place, token_statistics(row, place)) for place in others[:MOST_OPTIONS])
