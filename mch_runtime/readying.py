"""Questions made ready for the strategies, and what a rig brings to their answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from functools import partial
from typing import TypeVar

from mch_runtime.answering import Bench, Question, answer_all
from mch_runtime.answers import AnswerSplitter
from mch_runtime.errors import Interrupted, UsageError
from mch_runtime.listener import Listener
from mch_runtime.observer import Observer, SilentObserver
from mch_runtime.options import AskOptions
from mch_runtime.rig import Rig
from mch_runtime.stamp import seed_of
from mch_runtime.strategies.batching import SPARE_BRANCHES
from mch_runtime.strategies.desk import Case, Desk, Plan
from mch_runtime.strategies.work import Task, Worked, work
from mch_runtime.trace import Trace

T = TypeVar("T")


def ask_deliberately(rig: Rig, question: str, options: AskOptions, observer: Observer) -> Trace:
    """In any mode. Which chain is shown is known at the end, so the observer is told all of it then.

    Raises Interrupted if there is nothing yet, and whatever else has kept the question from being answered.
    """
    with closing(answer_all(bench_of(rig, observer), [Question(text=question, options=options)])) as found:
        answered = next(found)
    if answered.trace is None:
        raise answered.error or Interrupted()
    opened = rig.prompter.prompt(question, options).opens_reasoning
    Listener(observer, AnswerSplitter(rig.dialect, opened=opened)).replay(answered.trace)
    return answered.trace


def bench_of(rig: Rig, observer: Observer | None = None) -> Bench:
    """Where a rig's questions are answered. The cache is theirs alone: what was held of the last question goes."""
    rig.held.release()
    return Bench(
        session=rig.session,
        model=rig.model,
        load_seconds=rig.load_seconds,
        most=max(1, rig.session.free_branches - SPARE_BRANCHES - 1),
        task=partial(ready, rig, observer=observer or SilentObserver()),
        familiar=lambda task: rig.trust.familiar(task.reader),
    )


def pursue(
    rig: Rig, questions: Iterable[Question], strategy: Callable[[Desk], Plan[T]]
) -> Iterator[Worked[T]]:
    """Questions put to a strategy of the caller's own, each as it is done; one that cannot be asked is left out."""
    bench = bench_of(rig)

    def tasks() -> Iterator[Task]:
        for question in questions:
            with suppress(UsageError):
                yield bench.task(question)

    yield from work(bench.session, tasks(), most=bench.most, strategy=strategy)


def ready(rig: Rig, question: Question, *, observer: Observer) -> Task:
    """A question made ready. Raises UsageError if it is empty or does not fit the context."""
    options = question.options
    if options.begin or options.landmarks:
        raise UsageError(
            f"mode {options.effort.mode} begins every answer anew, in the whole context",
            hint="use mode fast here",
        )
    prompt = rig.prompter.fitting(question.text, options)
    reader = rig.reader(prompt, options)
    case = Case(
        question=question.text,
        prompt=prompt,
        options=options,
        seed=seed_of(options.sampling),
        dialect=rig.dialect,
        head=rig.head if rig.trust.fits else None,
        frame=rig.prompter.frame if options.effort.wants_ics else None,
        trusted=partial(rig.trust.trusted, options, reader),
        drawn=observer.drawn,
    )
    return Task(case=case, reader=reader, on_prefill=observer.prefill)
