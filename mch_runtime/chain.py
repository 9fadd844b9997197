"""One chain of reasoning as it is written, and many of them decoded in one batch.

A chain draws its tokens, measures each of them, cuts its text into steps and lets a witness (the
head, or a recorder of what the head would see) speak at every step's end.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from mch_runtime.familiarity import QuestionReader
from mch_runtime.session import Block, Branch, Feed, FloatArray, Sampler, Session, TextDecoder, Vocabulary
from mch_runtime.statistics import TokenStatistics, block_statistics, measured_step
from mch_runtime.stopping import Stop
from mch_runtime.trace import FinishReason, Step
from mch_runtime.withdrawal import withdraws

PREFILL_STRIDE = 512  # tokens of a prompt between two reports of progress


class Witness(Protocol):
    """Sees every token of a chain and judges its steps."""

    def push(self, hidden: FloatArray, statistics: TokenStatistics | None) -> None:
        """The state (d,) after a token and the statistics of that token; None for the prompt's last."""
        ...

    def judge(self, *, ended: bool) -> dict[str, float] | None:
        """Channel name -> confidence at the end of a step; None if there is no calibrated one.

        ended: the model has ended the chain with it.
        """
        ...


class _Span(NamedTuple):
    """A step's first token, its first character, and the character behind its last one."""

    token: int
    start: int
    end: int


class Chain:
    """A chain being written on one branch. ``finish_reason`` is None while it goes on.

    statistics: of every token, in the rows they came from. states: (d,) after the last prompt token and after every
    token, if they are kept. stop: strings that end it; the text from the first of them on is taken back, the tokens
    stay. on_row is shown the logits (n_vocab,) that each token is drawn from. on_text and on_step are told what no
    stop string can take back any more.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        sampler: Sampler,
        *,
        max_tokens: int,
        stop: Sequence[str] = (),
        witness: Witness | None = None,
        delimiter: str = "\n",
        keep_states: bool = False,
        on_row: Callable[[FloatArray], None] | None = None,
        on_text: Callable[[str], None] = lambda _text: None,
        on_step: Callable[[Step], None] = lambda _step: None,
    ) -> None:
        self.token_ids: list[int] = []
        self.text = ""
        self.steps: list[Step] = []
        self.statistics: list[TokenStatistics] = []
        self.states: list[FloatArray] = []
        self.finish_reason: FinishReason | None = None
        self._vocabulary = vocabulary
        self._sampler = sampler
        self._max_tokens = max_tokens
        self._witness = witness
        self._delimiter = delimiter
        self._keep_states = keep_states
        self._on_row = on_row
        self._on_text = on_text
        self._on_step = on_step
        self._decoder = TextDecoder()
        self._stop = Stop(stop)
        self._starts: list[int] = []  # of every token, in characters of the text
        self._spans: list[_Span] = []  # of every step
        self._step_token = self._step_start = (
            0  # where the step being written begins, in tokens and characters
        )
        self._told = 0  # characters
        self._untold: deque[tuple[int, Step]] = deque()  # with as many characters as are told before the step

    @property
    def is_cut(self) -> bool:
        """Whether a stop string ends it."""
        return self._stop.place is not None

    @property
    def said_ids(self) -> list[int]:
        """The tokens that the text is of: all but those behind a stop string. The last one may hold a part of it."""
        return self.token_ids[: self._said]

    @property
    def _said(self) -> int:
        place = self._stop.place
        return len(self.token_ids) if place is None else bisect_left(self._starts, place)

    @property
    def _step_text(self) -> str:
        return self.text[self._step_start :]

    def has_read(self, hidden: FloatArray) -> None:
        """The last token has been read; hidden: (d,) after it."""
        if self._keep_states:
            self.states.append(hidden.copy())
        if self._witness is not None:
            self._witness.push(hidden, self.statistics[-1] if self.statistics else None)
        if self.token_ids:
            self._after_token()

    def draw(self, block: Block, row: int) -> int | None:
        """The last token has been read, in this row: the next one, to be taken, or None if the chain has ended."""
        self.has_read(block.hidden[row])
        if self.finish_reason is not None:
            return None
        if self._on_row is not None:
            self._on_row(block.logits[row])
        return self._sampler.sample(row)

    def take(self, token_id: int, statistics: TokenStatistics) -> None:
        """Go on with this token; ``statistics``: under the row that it was drawn from."""
        self.statistics.append(statistics)
        self.token_ids.append(token_id)
        self._starts.append(len(self.text))
        self._say(self._decoder.feed(self._vocabulary.piece(token_id)))

    def replay(
        self, token_ids: Sequence[int], statistics: Sequence[TokenStatistics], states: Iterable[FloatArray]
    ) -> None:
        """Begin with tokens that were chosen before instead of drawing them.

        states: (d,) each, at least n, after the last prompt token and after every token but the last, which the
        chain's branch does not hold yet: :func:`write_chains` reads it.
        """
        for token_id, chosen, hidden in zip(token_ids, statistics, states, strict=False):
            if self.finish_reason is not None:
                return
            self.has_read(hidden)
            self.take(token_id, chosen)

    def interrupt(self) -> None:
        """Keep what there is; the step under way has no confidence."""
        self.end("interrupted")

    def end(self, reason: FinishReason) -> None:
        """Keep what there is, for this reason; the step under way has no confidence."""
        self._finish(reason)
        self._close_step(read=False, whole=False)

    def _say(self, text: str) -> None:
        self.text += text
        self._stop.look(self.text, len(text))
        self._tell()

    def _tell(self) -> None:
        """Pass on what will stay, every step behind its text."""
        sure = len(self.text) if self.finish_reason is not None else self._stop.sure(self.text)
        while self._untold and self._untold[0][0] <= sure:
            place, step = self._untold.popleft()
            self._tell_text(place)
            self._on_step(step)
        self._tell_text(sure)

    def _tell_text(self, place: int) -> None:
        text, self._told = self.text[self._told : place], max(self._told, place)
        if text:
            self._on_text(text)

    def _after_token(self) -> None:
        """The token drawn last has been read by the model: its step or the chain may be over.

        A step that the limit or a stop string cuts off gets no confidence: what it would have said is not known.
        """
        if self.is_cut or self._vocabulary.is_end(self.token_ids[-1]):
            self._finish("stop")
        elif len(self.token_ids) >= self._max_tokens:
            self._finish("length")
        ends = self.finish_reason == "stop" or self._delimiter in self._step_text.lstrip()
        if ends or self.finish_reason is not None:
            self._close_step(read=True, whole=ends and not self.is_cut)

    def _finish(self, reason: FinishReason) -> None:
        self._say(self._decoder.flush())
        self.finish_reason = "stop" if self.is_cut else reason
        self._take_back()
        self._tell()

    def _take_back(self) -> None:
        """Drop the text from the stop string on. A step that has some of it is being written again."""
        place = self._stop.place
        if place is None:
            return
        while self._spans and self._spans[-1].end > place:
            span = self._spans.pop()
            self._step_token, self._step_start = span.token, span.start
            self.steps.pop()
            self._untold.pop()  # nothing behind the place has been told
            if self.steps:
                self.steps[-1] = replace(self.steps[-1], verdict=None)
        self.text = self.text[:place]
        self._untold = deque((min(told, place), step) for told, step in self._untold)

    def _close_step(self, *, read: bool, whole: bool) -> None:
        """End the step at the last token; blank lines belong to the step that follows them.

        read: the witness has seen all of it; whole: it was not cut off.
        """
        text = self._step_text
        if not text.strip():
            return
        ended = self.finish_reason == "stop"
        verdict = self._witness.judge(ended=ended) if self._witness is not None and read else None
        step = measured_step(
            text.strip(),
            (self._step_token, self._said),
            self.statistics,
            confidence=verdict if whole else None,
        )
        if self.steps and withdraws(step.text, self.steps[-1].text):
            self.steps[-1] = replace(self.steps[-1], verdict="withdrawn")
        self.steps.append(step)
        end = self._step_start + len(text.rstrip())
        self._spans.append(_Span(self._step_token, self._step_start, end))
        self._step_token, self._step_start = len(self.token_ids), len(self.text)
        self._untold.append((len(self.text), step))
        self._tell()


def advance(block: Block, chains: Iterable[tuple[int, Chain]]) -> None:
    """The last token of each chain has been read, in its row of the block: all that go on draw the next one."""
    drawn = [(row, chain, token) for row, chain in chains if (token := chain.draw(block, row)) is not None]
    if not drawn:
        return
    rows, going_on, tokens = zip(*drawn, strict=True)
    for chain, token, chosen in zip(
        going_on, tokens, block_statistics(block.logits, rows, tokens), strict=True
    ):
        chain.take(token, chosen)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A prompt to be read onto a branch. read: how many of its tokens the branch has taken already.

    question: reads along; it learns nothing of tokens that are not read here.
    """

    branch: Branch
    token_ids: Sequence[int]
    read: int = 0
    question: QuestionReader | None = None


def read_prompts(
    session: Session,
    readings: Sequence[Reading],
    *,
    on_prefill: Callable[[int, int], None] = lambda _done, _total: None,
) -> None:
    """Read all of every prompt but its last token, many together. on_prefill: with tokens read and in all."""
    total = sum(len(reading.token_ids) for reading in readings)
    places = [reading.read for reading in readings]
    on_prefill(sum(places), total)
    while parts := [
        (index, places[index], reading.token_ids[places[index] : -1][:PREFILL_STRIDE])
        for index, reading in enumerate(readings)
        if places[index] < len(reading.token_ids) - 1
    ]:
        feeds = []
        for index, first, part in parts:
            question = readings[index].question
            silent = question.first_output(first, len(part)) if question is not None else len(part)
            feeds.append(Feed(readings[index].branch, part, silent))
        current = parts

        def read(block: Block) -> None:
            for feed, offset, logits in zip(block.feeds, block.offsets, block.logits, strict=True):
                index, first, _ = current[feed]  # noqa: B023
                question = readings[index].question
                if question is not None:
                    question.read(first + int(offset), logits)

        session.decode(feeds, read)
        for index, _, part in parts:
            places[index] += len(part)
        on_prefill(sum(places), total)


def start_chains(
    session: Session,
    stack: ExitStack,
    prompts: Sequence[tuple[Sequence[int], Sequence[Chain]]],
    *,
    question: QuestionReader | None = None,
    begun: tuple[Branch, int] | None = None,
    on_prefill: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[tuple[Branch, Chain]]:
    """Read all prompts together and draw every chain's first token; chains of one prompt share it.

    The branches live as long as ``stack``. Every prompt has at least one chain. question: reads along in the
    first prompt. begun: a branch for the first prompt, and how many of its tokens it has taken, not the last one;
    it stays the caller's. on_prefill: called with tokens read and in all.
    """
    first = begun or (stack.enter_context(session.branch()), 0)
    branches = [first[0], *(stack.enter_context(session.branch()) for _ in prompts[1:])]
    total = sum(len(ids) for ids, _ in prompts)
    readings = [
        Reading(branch=branch, token_ids=ids) for branch, (ids, _) in zip(branches, prompts, strict=True)
    ]
    readings[0] = replace(readings[0], read=first[1], question=question)
    read_prompts(session, readings, on_prefill=on_prefill)

    def read(block: Block) -> None:
        advance(block, ((row, chain) for row, feed in enumerate(block.feeds) for chain in prompts[feed][1]))

    session.decode([Feed(branch, ids[-1:]) for branch, (ids, _) in zip(branches, prompts, strict=True)], read)
    on_prefill(total, total)
    started: list[tuple[Branch, Chain]] = []
    for branch, (_, chains) in zip(branches, prompts, strict=True):
        forks = [stack.enter_context(session.fork(branch)) for _ in chains[1:]]
        started += zip([branch, *forks], chains, strict=True)
    return started


def write_chains(session: Session, chains: Sequence[tuple[Branch, Chain]]) -> None:
    """Decode all chains to their ends, a token of each per batch; a finished chain leaves the batch.

    The chains come from :func:`start_chains`. An interrupt raises
    Interrupted; the chains keep what they have.
    """
    live = [(branch, chain) for branch, chain in chains if chain.finish_reason is None]
    while live:
        current = live

        def read(block: Block) -> None:
            advance(block, ((row, current[feed][1]) for row, feed in enumerate(block.feeds)))  # noqa: B023

        session.decode([Feed(branch, chain.token_ids[-1:]) for branch, chain in live], read)
        live = [(branch, chain) for branch, chain in live if chain.finish_reason is None]
