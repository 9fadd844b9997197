"""What an engine holds of the last question: its tokens in the cache, the answer's states, how familiar it was."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mch_runtime.chain import Chain
from mch_runtime.errors import Interrupted, UsageError
from mch_runtime.familiarity import QuestionReader
from mch_runtime.inverse.kept import Kept
from mch_runtime.options import AskOptions, ExplainOptions
from mch_runtime.prefix import Prefix, shared
from mch_runtime.prompting import Prompt
from mch_runtime.session import Block, Branch, Feed, FloatArray, Session
from mch_runtime.statistics import TokenStatistics, token_statistics

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Start:
    """Where an answer begins. read: how many tokens of the prompt ``branch`` has taken; cached: those it held before."""

    branch: Branch
    read: int
    cached: int


class Held:
    """One conversation's last state; the next question goes on from what both share."""

    def __init__(self, session: Session) -> None:
        self.kept: Kept | None = None
        self._kept_under: AskOptions = AskOptions()
        self._session = session
        self._prefix = Prefix(session)
        self._reader: tuple[list[int], QuestionReader] | None = None

    def reader(self, prompt: Prompt) -> QuestionReader:
        """What reads along in the question; the one that has done so if the same prompt comes again."""
        if self._reader is None or self._reader[0] != prompt.token_ids:
            self._reader = (prompt.token_ids, QuestionReader(prompt.token_ids, prompt.question or (0, 0)))
        return self._reader[1]

    def begin(
        self, prompt: Prompt, options: AskOptions, *, question: QuestionReader | None, on_prefill: Progress
    ) -> Start:
        """Go back to what the prompt shares with the last one; what is still to be read comes from ``start.read``.

        A question that is to be read along is read as a whole. Under landmarks all but the last token is read here;
        an interrupt then leaves the rest to whoever reads on, and is interrupted again. Raises UsageError if a
        question is longer than the landmarks' window.
        """
        self.kept = None
        token_ids = prompt.token_ids
        if question is not None and not question.complete:
            token_ids = token_ids[: max(1, (prompt.question or (1, 1))[0])]
        branch = self._prefix.rewind(token_ids)
        cached = self._prefix.known
        if options.landmarks is not None:
            with contextlib.suppress(Interrupted):
                self._read_thinned(prompt, options, on_prefill)
        return Start(branch, self._prefix.known, cached)

    def replay(self, prompt: Prompt, options: AskOptions, chain: Chain) -> Start:
        """Begin ``chain`` with the tokens of ``options.begin``; what the last answer shares with them costs nothing.

        The last of them is left for the chain's own decoding. An interrupt leaves the chain as it is.
        """
        began, kept, self.kept = list(options.begin), self.kept, None
        have = shared(kept.token_ids, began[:-1]) if kept and kept.prompt.token_ids == prompt.token_ids else 0
        first = len(prompt.token_ids) - 1 + have  # the place whose row speaks of the first unknown token
        whole = [*prompt.token_ids, *began]
        branch = self._prefix.rewind(whole[: first + 1])
        cached = self._prefix.known
        states: list[FloatArray] = list(kept.states[:have]) if kept else []
        statistics: list[TokenStatistics] = list(kept.statistics[:have]) if kept else []
        rest = whole[cached:-1]

        def read(block: Block) -> None:
            for offset, logits, hidden in zip(block.offsets, block.logits, block.hidden, strict=True):
                states.append(hidden.copy())
                place = cached + int(offset) - len(prompt.token_ids) + 1
                statistics.append(token_statistics(logits, began[place]))

        with contextlib.suppress(Interrupted):
            try:
                self._session.decode([Feed(branch, rest, first - cached)], read)
            finally:
                self._prefix.advance(rest)
            chain.replay(began, statistics, states)
        return Start(branch, len(prompt.token_ids), cached)

    def settle(self, token_ids: Sequence[int]) -> None:
        """Decoding is over: the branch has taken ``token_ids``, from their beginning, or as many as it has got."""
        self._prefix.advance(token_ids[self._prefix.known :])

    def keep(self, prompt: Prompt, chain: Chain, branch: Branch, options: AskOptions) -> None:
        """The answer can be explained and continued without being read again, if all of it is there."""
        if self._prefix.known == self._prefix.cells:
            self.kept = Kept(
                prompt=prompt,
                token_ids=chain.token_ids,
                branch=branch,
                states=chain.states,
                statistics=chain.statistics,
            )
            self._kept_under = options

    def for_explaining(self, token_ids: Sequence[int], options: ExplainOptions) -> Kept | None:
        """The answer, if it is this one and will do. What else it is, the cache gives way if that takes room.

        Alternatives need what the generation does not record.
        """
        kept, under = self.kept, self._kept_under
        roomy = 3 * self._prefix.cells <= self._session.n_ctx
        whole = kept is not None and len(kept.states) == len(kept.token_ids) + 1
        same = kept is not None and whole and tuple(kept.token_ids) == tuple(token_ids)
        if (
            same
            and roomy
            and not options.alternatives
            and (under.system, under.past) == (options.system, options.past)
        ):
            return kept
        if 2 * self._prefix.cells > self._session.n_ctx:
            self.release()
        return None

    def release(self) -> None:
        """Forget everything."""
        self.kept = None
        self._prefix.release()

    def _read_thinned(self, prompt: Prompt, options: AskOptions, on_prefill: Progress) -> None:
        landmarks = options.landmarks
        assert landmarks is not None
        start = prompt.question[0] if prompt.question else 0
        if len(prompt.token_ids) - start > landmarks.window:
            raise UsageError(
                f"the question has {len(prompt.token_ids) - start:,} tokens, "
                f"and the window of landmarks holds {landmarks.window:,}",
                hint="shorten it, or widen the window",
            )
        self._prefix.read(
            prompt.token_ids,
            landmarks,
            head=landmarks.head or 0,
            reserve=min(options.max_tokens or self._session.n_ctx, self._session.n_ctx // 4),
            on_progress=on_prefill,
        )
