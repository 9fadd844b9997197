"""Questions to traces in every mode: the strategies put to work, and what they come to written down."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from mch_runtime.answers import normalise
from mch_runtime.errors import Interrupted, SageError
from mch_runtime.options import AskOptions
from mch_runtime.session import Session
from mch_runtime.stamp import now, sage_version
from mch_runtime.strategies.confidence import confidence_of, outcome_features
from mch_runtime.strategies.desk import answer_text
from mch_runtime.strategies.outcome import Outcome
from mch_runtime.strategies.selection import Scored
from mch_runtime.strategies.work import Task, Worked, by_mode, work
from mch_runtime.trace import Choice, Cost, ModelInfo, Trace


@dataclass(frozen=True, kw_only=True)
class Answered:
    """A question's answer, or why there is none.

    place: of the question among those asked. chains: those that the answer was chosen from, in the order of their
    seeds, for other rules to choose from. features: what a calibrator may ask for, by name.
    """

    place: int
    trace: Trace | None
    chains: tuple[Scored, ...] = ()
    features: Mapping[str, float] = field(default_factory=dict)
    error: SageError | None = None


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question, and how to answer it."""

    text: str
    options: AskOptions


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What an engine brings to its questions. task: a question made ready; raises SageError if it cannot be asked.

    familiar: whether a task's question was worded as the head knows it. most: chains at a time.
    """

    session: Session
    model: ModelInfo
    load_seconds: float
    most: int
    task: Callable[[Question], Task]
    familiar: Callable[[Task], bool | None]


def answer_all(bench: Bench, questions: Iterable[Question]) -> Generator[Answered, None, None]:
    """Every question's answer, in order. A question that cannot be answered does not stop the others.

    After an interrupt those under way come with what they have, and Interrupted is raised behind them.
    """
    queue = _Queue(bench, questions)
    try:
        for worked in work(bench.session, queue.tasks(), most=bench.most, strategy=by_mode):
            queue.put(_answered(bench, worked, queue.place(worked)))
            yield from queue.due()
        yield from queue.due()
    except Interrupted:
        yield from queue.rest()
        raise


class _Queue:
    """Puts answers back into the order of their questions. Those that cannot be asked are answered at once."""

    def __init__(self, bench: Bench, questions: Iterable[Question]) -> None:
        self._bench = bench
        self._questions = questions
        self._places: list[int] = []  # of the tasks
        self._ready: dict[int, Answered] = {}
        self._next = 0

    def tasks(self) -> Iterator[Task]:
        for place, question in enumerate(self._questions):
            try:
                task = self._bench.task(question)
            except SageError as error:
                self.put(Answered(place=place, trace=None, error=error))
                continue
            self._places.append(place)
            yield task

    def place(self, worked: Worked[Outcome]) -> int:
        return self._places[worked.place]

    def put(self, answered: Answered) -> None:
        self._ready[answered.place] = answered

    def due(self) -> Iterator[Answered]:
        """Those whose turn it is."""
        while self._next in self._ready:
            self._next += 1
            yield self._ready.pop(self._next - 1)

    def rest(self) -> Iterator[Answered]:
        """Those that would have to wait for one that will not come."""
        for place in sorted(self._ready):
            yield self._ready.pop(place)


def _answered(bench: Bench, worked: Worked[Outcome], place: int) -> Answered:
    if worked.outcome is None:
        return Answered(place=place, trace=None, error=worked.error)
    return Answered(
        place=place,
        trace=_trace(bench, worked, worked.outcome),
        chains=worked.outcome.chains,
        features=outcome_features(worked.outcome),
    )


def _trace(bench: Bench, worked: Worked[Outcome], outcome: Outcome) -> Trace:
    case = worked.task.case
    effort = case.options.effort
    chain = outcome.chosen.chain
    said = answer_text(chain.text, case).strip()
    confidence = confidence_of(outcome, effort, case.head, trusted=case.trusted())
    greedy = effort.mode == "fast" or outcome.chosen is outcome.fast
    sampling = case.options.sampling if greedy else case.drawing
    seconds = replace(worked.seconds, load=bench.load_seconds)
    reason = "interrupted" if outcome.interrupted else chain.finish_reason
    assert reason is not None
    return Trace(
        question=case.question,
        answer=_answer(outcome, said),
        answer_text=said,
        text=chain.text,
        mode=effort.mode,
        model=bench.model,
        confidence=confidence.value,
        confidence_basis=confidence.basis,
        confidence_raw=confidence.raw,
        steps=tuple(chain.steps),
        cost=Cost(
            prompt_tokens=len(case.prompt.token_ids),
            generated_tokens=worked.generated_tokens,
            scored_tokens=worked.scored_tokens,
            seconds=seconds,
            tokens_per_second=worked.generated_tokens / seconds.decode if seconds.decode > 0 else 0.0,
        ),
        seed=case.seed,
        sampling=sampling.recorded,
        finish_reason=reason,
        token_ids=tuple(chain.said_ids),
        created=now(),
        sage_version=sage_version(),
        ics=outcome.chosen.ics[0] if outcome.chosen.ics is not None else None,
        familiar=bench.familiar(worked.task),
        votes=outcome.selection.votes if outcome.selection is not None else (),
        escalations=outcome.escalations,
        choice=_choice(outcome, case.options),
    )


def _answer(outcome: Outcome, said: str) -> str | None:
    """What was voted for; of one chain, what it says."""
    if outcome.selection is not None and outcome.selection.answer is not None:
        return outcome.selection.answer
    return normalise(said)


def _choice(outcome: Outcome, options: AskOptions) -> Choice | None:
    selection, effort = outcome.selection, options.effort
    if effort.mode == "fast" or (selection is None and not outcome.escalations):
        return None
    return Choice(
        rule=effort.rule,
        ics_weight=effort.settings.ics_weight,
        head_weight=effort.settings.head_weight,
        sound_weight=effort.settings.sound_weight,
        chains=len(outcome.chains),
        share=selection.share if selection is not None else None,
        weighted_share=selection.weighted_share if selection is not None else None,
        margin=selection.margin if selection is not None else None,
    )
