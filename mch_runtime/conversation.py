"""A conversation with one model: its turns, what they take up, and asking without reading anything twice.

The engine keeps the tokens of the last prompt in its cache and goes back to the longest beginning that the next one
shares with it; a conversation only has to say what was said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, get_args

from mch_runtime.errors import UsageError
from mch_runtime.observer import Observer
from mch_runtime.options import AskOptions, ExplainOptions, Landmarks, Message
from mch_runtime.trace import Trace

Policy = Literal["full", "landmark", "single"]
POLICIES: tuple[Policy, ...] = get_args(Policy)
LEAST_ROOM = 256  # tokens of an answer that a question should leave room for; a quarter of a small context


class Converses(Protocol):
    """What a conversation needs of an engine."""

    @property
    def n_ctx(self) -> int: ...

    def ask(self, question: str, options: AskOptions, *, observer: Observer) -> Trace: ...

    def size(self, question: str, options: AskOptions) -> int:
        """How many tokens the prompt of this question has."""
        ...

    def message(self, trace: Trace) -> Message:
        """What the model is shown later of an answer that it gave."""
        ...


@dataclass(frozen=True, kw_only=True)
class Turn:
    """A question and what came of it. said: the answer as the model is shown it afterwards."""

    question: str
    trace: Trace
    said: Message

    @property
    def interrupted(self) -> bool:
        return self.trace.finish_reason == "interrupted"

    @property
    def messages(self) -> tuple[Message, Message]:
        return Message(role="user", content=self.question), self.said


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Whether a question fits. needed: tokens of its prompt; holds: of the context; reserve: for an answer.

    drop: how many of the oldest turns would have to go; None if it would not fit even then.
    """

    needed: int
    holds: int
    reserve: int
    drop: int | None = 0

    @property
    def ok(self) -> bool:
        return self.needed + self.reserve <= self.holds


class Conversation:
    """Turns in order. ``turns`` is the record; change it with the methods only.

    policy: "full" shows the model every turn, "landmark" lets them outgrow the context, "single" shows it none.
    """

    def __init__(
        self,
        engine: Converses,
        options: AskOptions,
        *,
        policy: Policy = "full",
        landmarks: Landmarks | None = None,
    ) -> None:
        self.turns: list[Turn] = []
        self.options = options
        self.policy: Policy = policy
        self.landmarks = landmarks or Landmarks()
        self._engine = engine

    @property
    def last(self) -> Turn | None:
        """The latest turn."""
        return self.turns[-1] if self.turns else None

    def ask(self, question: str, *, observer: Observer, begin: Sequence[int] = ()) -> Turn | None:
        """The answer, as a new turn; None if it was interrupted before it began.

        begin: tokens that it begins with. Raises what the engine raises, and UsageError if the question does not
        fit.
        """
        options = self.asking(begin=begin)
        fit = self._fit(question, options)
        if not fit.ok:
            raise UsageError(
                f"with this question the conversation has {fit.needed:,} tokens, "
                f"and the context of {fit.holds:,} must leave {fit.reserve:,} for the answer",
                hint=_remedy(fit),
            )
        trace = self._engine.ask(question, options, observer=observer)
        if trace.finish_reason == "interrupted" and not trace.text.strip():
            return None
        turn = Turn(question=question, trace=trace, said=self._engine.message(trace))
        self.turns.append(turn)
        return turn

    def again(
        self, *, observer: Observer, begin: Sequence[int] = (), options: AskOptions | None = None
    ) -> Turn | None:
        """The last question once more, in place of its answer; that stays if no other begins.

        begin: see :meth:`ask`. Raises UsageError if nothing was asked yet.
        """
        replaced = self.undo()
        before, self.options = self.options, options or self.options
        turn = None
        try:
            turn = self.ask(replaced.question, observer=observer, begin=begin)
        finally:
            self.options = before
            if turn is None:
                self.turns.append(replaced)
        return turn

    def undo(self) -> Turn:
        """Take back the last question and its answer. Raises UsageError if there is none."""
        if not self.turns:
            raise UsageError("nothing was asked yet")
        return self.turns.pop()

    def forget(self, count: int) -> int:
        """Drop the oldest turns; how many there were to drop."""
        count = min(count, len(self.turns))
        del self.turns[:count]
        return count

    def fits(self, question: str) -> Fit:
        """Whether a question would fit, and what would have to go if not. Nothing is decoded."""
        return self._fit(question, self.asking())

    def used(self) -> int:
        """Tokens of everything said so far, with the system prompt and the template's own."""
        if not self.turns or self.policy == "single":
            last = self.last
            return _tokens(last.trace) if last else 0
        options = replace(self.asking(), past=self._past(self.turns[:-1]))
        last = self.turns[-1]
        return self._engine.size(last.question, options) + _written(last.trace)

    def asking(self, *, begin: Sequence[int] = ()) -> AskOptions:
        """How the next question is asked."""
        return replace(
            self.options,
            past=self._past(self.turns),
            begin=tuple(begin),
            landmarks=self.landmarks if self.policy == "landmark" else None,
            keep=True,
        )

    def explaining(self, **changes: bool | int) -> ExplainOptions:
        """How the last answer is explained: under the messages that it was given under."""
        options = ExplainOptions(system=self.options.system, past=self._past(self.turns[:-1]))
        return replace(options, **changes)  # type: ignore[arg-type]

    def _past(self, turns: Sequence[Turn]) -> tuple[Message, ...]:
        if self.policy == "single":
            return ()
        return tuple(message for turn in turns for message in turn.messages)

    def _fit(self, question: str, options: AskOptions) -> Fit:
        holds = self._engine.n_ctx
        reserve = min(LEAST_ROOM, holds // 4, options.max_tokens or holds) + len(options.begin)
        if (
            self.policy == "landmark"
        ):  # the past gives way; what it must leave room for is seen when it is read
            return Fit(needed=0, holds=holds, reserve=reserve)
        fit = Fit(needed=self._engine.size(question, options), holds=holds, reserve=reserve)
        return fit if fit.ok else replace(fit, drop=self._to_drop(question, options, fit))

    def _to_drop(self, question: str, options: AskOptions, fit: Fit) -> int | None:
        """The smallest number of oldest turns without which it fits, by bisection."""
        turns = 0 if self.policy == "single" else len(self.turns)
        low, high = 1, turns + 1
        while low < high:
            middle = (low + high) // 2
            past = self._past(self.turns[middle:])
            if self._engine.size(question, replace(options, past=past)) + fit.reserve <= fit.holds:
                high = middle
            else:
                low = middle + 1
        return low if low <= turns else None


def _remedy(fit: Fit) -> str:
    if fit.drop is None:
        return "shorten the question, or raise --ctx-size"
    turns = "turn" if fit.drop == 1 else f"{fit.drop} turns"
    return f"/forget {fit.drop} drops the oldest {turns}; /set context landmark lets the past fade instead"


def _tokens(trace: Trace) -> int:
    return trace.cost.prompt_tokens + _written(trace)


def _written(trace: Trace) -> int:
    """Tokens of the answer; of several chains the one that was chosen counts, and what was spent is the cost's."""
    return len(trace.token_ids) or trace.cost.generated_tokens
