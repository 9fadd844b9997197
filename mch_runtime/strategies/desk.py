"""One question being answered: its prompt in the cache, its chains, what they have cost and how they score."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TypeVar

from mch_runtime.answers import behind_reasoning, normalise
from mch_runtime.chain import Chain
from mch_runtime.head.spec import Head
from mch_runtime.head.witness import HeadWitness
from mch_runtime.inverse.consistency import Reasoning, measure_consistency
from mch_runtime.inverse.meter import MeteredSession
from mch_runtime.inverse.segment import final_answer
from mch_runtime.options import AskOptions, SamplingOptions
from mch_runtime.prompting import Frame, Prompt
from mch_runtime.session import Session
from mch_runtime.strategies.batching import Batch, Row, Trunk
from mch_runtime.strategies.bottom_window import BottomWindow
from mch_runtime.strategies.selection import Scored
from mch_runtime.trace import FinishReason
from prompts.dialects import Dialect

T = TypeVar("T")
Plan = Generator[None, None, T]  # yields after each token, until it knows; an interrupt is thrown into it

MARGIN = 1.2  # chains may be this many times as long as those before


@dataclass(frozen=True, kw_only=True)
class Case:
    """A question before anything is written.

    head: None also where it was not made for this model. frame: the inverse prompt, None where consistency is
    not or cannot be measured. trusted: whether the head's numbers are calibrated here. drawn: tells how many chains
    have ended and are wanted.
    """

    question: str
    prompt: Prompt
    options: AskOptions
    seed: int
    dialect: Dialect
    head: Head | None
    frame: Frame | None
    trusted: Callable[[], bool]
    drawn: Callable[[int, int], None] = lambda _ended, _wanted: None

    @property
    def drawing(self) -> SamplingOptions:
        """How votes and candidates are sampled: as asked for, but never greedily."""
        sampling = self.options.sampling
        temperature = sampling.temperature or self.options.effort.settings.temperature
        return replace(sampling, temperature=temperature)


class Draft:
    """A chain with what is known of it. given: how many of its tokens were taken over from another chain."""

    def __init__(
        self, row: Row, witness: HeadWitness | None, window: BottomWindow | None, given: int
    ) -> None:
        self.row = row
        self.chain = row.chain
        self.witness = witness
        self.window = window
        self.given = given
        self.ics: tuple[float, float] | None = None  # the mean and the smallest token, once measured

    @property
    def complete(self) -> bool:
        """The model has ended it by itself."""
        return self.chain.finish_reason == "stop"

    @property
    def written(self) -> int:
        """Tokens that were drawn for it."""
        return len(self.chain.token_ids) - self.given

    def channel(self, name: str) -> float | None:
        """A channel of the head at its last step's end."""
        return self.witness.channels.get(name) if self.witness is not None else None


class Desk:
    """Where the strategies of one question work. Closed by its ``with``."""

    def __init__(self, session: Session, batch: Batch, trunk: Trunk, case: Case) -> None:
        self.case = case
        self.effort = case.options.effort
        self.settings = case.options.effort.settings
        self.drafts: list[Draft] = []
        self.inverse_seconds: float | None = None
        self._session = MeteredSession(session)
        self._batch = batch
        self._trunk = trunk
        self._resources = ExitStack()

    @property
    def generated_tokens(self) -> int:
        return sum(draft.written for draft in self.drafts)

    @property
    def scored_tokens(self) -> int:
        return self._session.tokens

    @property
    def head_seconds(self) -> float | None:
        found = [draft.witness.seconds for draft in self.drafts if draft.witness is not None]
        return sum(found) if found else None

    @property
    def overspent(self) -> bool:
        """Whether the budget is used up."""
        budget = self.effort.budget
        return budget is not None and self.generated_tokens + self.scored_tokens >= budget

    def affords(self, chains: int = 1) -> bool:
        """Whether the budget allows for so many chains more, if they are like those that there are.

        Before the first one has ended that is not known, and only one is afforded.
        """
        budget = self.effort.budget
        if budget is None:
            return True
        ended = [draft for draft in self.drafts if draft.row.ended]
        if not ended:
            return not self.drafts
        live = sum(not draft.row.ended for draft in self.drafts)
        unscored = sum(draft.ics is None for draft in ended)
        spent = sum(draft.written for draft in ended) + self.scored_tokens
        length = MARGIN * sum(len(draft.chain.token_ids) for draft in ended) / len(ended)
        scoring = length + len(self.case.prompt.token_ids) if self.case.frame is not None else 0.0
        return spent + unscored * scoring + (live + chains) * (length + scoring) <= budget

    def draw(
        self,
        sampling: SamplingOptions | None = None,
        *,
        behind: Draft | None = None,
        tokens: int = 0,
        steps: int | None = None,
        keep: bool = False,
    ) -> Draft:
        """A new chain, written from now on; seeded by the question's seed and its own place.

        behind: it begins with that draft's first ``tokens`` tokens. steps: stand still once it has so many. keep: other
        chains may be drawn behind it.
        """
        case, prompt = self.case, self.case.prompt.token_ids
        sampler = self._session.sampler(sampling or case.drawing, seed=row_seed(case.seed, len(self.drafts)))
        witness = HeadWitness(case.head, calibrated=case.trusted) if case.head else None
        window = BottomWindow() if self.effort.windows or self.effort.rule == "deepconf" else None
        room = self._session.n_ctx - len(prompt)
        chain = Chain(
            self._session.vocabulary,
            self._resources.enter_context(sampler),
            max_tokens=min(case.options.max_tokens or room, self.effort.budget or room, room),
            stop=case.options.stop,
            witness=witness,
            delimiter=case.head.spec.step_delimiter if case.head else "\n",
            keep_states=keep,
            on_row=window.read if window is not None else None,
        )
        parent = None
        if behind is not None and tokens:
            chain.replay(
                behind.chain.token_ids[:tokens],
                behind.chain.statistics[:tokens],
                behind.chain.states[:tokens],
            )
            if behind.row.branch is not None:
                parent = behind.row.branch, len(prompt) + tokens - 1 - self._trunk.skipped
        row = Row(self._trunk, chain, parent=parent, steps=steps, hold=keep)
        draft = Draft(row, witness, window, tokens)
        self.drafts.append(draft)
        self._batch.add(row)
        return draft

    def end(self, drafts: Iterable[Draft], reason: FinishReason) -> None:
        """End those that go on where they are, and free the places of all."""
        for draft in drafts:
            if not draft.row.ended:
                draft.chain.end(reason)
            self._batch.drop(draft.row)

    def free(self, drafts: Iterable[Draft]) -> None:
        """Give back the places of those that have ended and were kept."""
        for draft in drafts:
            if draft.row.ended:
                self._batch.drop(draft.row)

    def wait(self, drafts: Sequence[Draft]) -> Plan[None]:
        """Until all of them have ended or stand, or the budget is used up, which ends them."""
        while not all(draft.row.ended or draft.row.stands for draft in drafts):
            if self.overspent:
                self.end([draft for draft in drafts if not draft.row.ended], "length")
                return
            yield

    def answer(self, draft: Draft) -> str | None:
        """What a complete draft comes to, None where it says nothing or was cut off."""
        return answer_of(draft.chain.text, self.case) if draft.complete else None

    def measure(self, drafts: Sequence[Draft]) -> None:
        """The consistency of those whose is not known yet, all of them together.

        Not where it cannot be measured, and not once the budget is used up.
        """
        frame = self.case.frame
        new = [draft for draft in drafts if draft.ics is None and draft.complete]
        if frame is None or not new or self.overspent:
            return
        began = perf_counter()
        longest = max(len(draft.chain.token_ids) for draft in new)
        self._batch.make_room(2 * (len(self.case.prompt.token_ids) + longest))
        found = measure_consistency(
            self._session,
            frame,
            question=self.case.question,
            reasonings=[Reasoning(text=draft.chain.text) for draft in new],
        )
        for draft, one in zip(new, found or (), strict=False):
            draft.ics = one.ics, min(one.tokens)
        self.inverse_seconds = (self.inverse_seconds or 0.0) + perf_counter() - began

    def scored(self, drafts: Sequence[Draft]) -> list[Scored]:
        """What the selection reads. The consistency counts where it is known of all of them."""
        known = all(draft.ics is not None for draft in drafts if draft.complete)
        return [self._scored(draft, draft.ics if known else None) for draft in drafts]

    def _scored(self, draft: Draft, ics: tuple[float, float] | None) -> Scored:
        return Scored(
            answer=self.answer(draft),
            text=draft.chain.text,
            logprob_sum=sum(token.logprob for token in draft.chain.statistics),
            tokens=len(draft.chain.token_ids),
            head=draft.channel("answer"),
            head_logit=draft.witness.logits.get("answer") if draft.witness is not None else None,
            sound=draft.channel("sound"),
            ics=ics[0] if ics is not None else None,
            ics_min=ics[1] if ics is not None else None,
            bottom_window=draft.window.value if draft.window is not None else None,
        )

    def close(self) -> None:
        """Free all places of the question."""
        self.end(self.drafts, "interrupted")
        self._resources.close()


def answer_of(text: str, case: Case) -> str | None:
    """The answer that votes are counted by: what the text states, else what stands behind its reasoning."""
    return final_answer(text, dialect=case.dialect) or normalise(answer_text(text, case))


def answer_text(text: str, case: Case) -> str:
    """What follows the reasoning."""
    return behind_reasoning(text, case.dialect, opened=case.prompt.opens_reasoning)


def row_seed(seed: int, place: int) -> int:
    """The seed of a question's chain: its own for each, whatever else is written. The first one has the question's."""
    if place == 0:
        return seed
    return int.from_bytes(hashlib.sha256(f"{seed}/{place}".encode()).digest()[:4], "little") >> 1
