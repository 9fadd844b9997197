"""Questions answered side by side in one batch, each by its own strategy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from time import perf_counter
from typing import Generic, TypeVar

from mch_runtime.chain import Reading, read_prompts
from mch_runtime.errors import Interrupted, ResourceError, SageError
from mch_runtime.familiarity import QuestionReader
from mch_runtime.session import Session
from mch_runtime.strategies.auto import auto
from mch_runtime.strategies.batching import ROOM_TO_BEGIN, SPARE_BRANCHES, Batch, Trunk
from mch_runtime.strategies.desk import Case, Desk, Plan
from mch_runtime.strategies.outcome import Outcome
from mch_runtime.strategies.single import single
from mch_runtime.strategies.think import think
from mch_runtime.strategies.vote import vote
from mch_runtime.trace import Mode, Seconds

T = TypeVar("T")

STRATEGIES: Mapping[Mode, Callable[[Desk], Plan[Outcome]]] = {
    "fast": single,
    "vote": vote,
    "think": think,
    "auto": auto,
}


@dataclass(frozen=True, kw_only=True)
class Task:
    """A question to be answered. reader: reads along in its prompt."""

    case: Case
    reader: QuestionReader | None = None
    on_prefill: Callable[[int, int], None] = lambda _done, _total: None


@dataclass(frozen=True, kw_only=True)
class Worked(Generic[T]):
    """A task done, or why it could not be. outcome: what its strategy came to. seconds: load is 0; decode: from the first token to the last, whatever
    else was written meanwhile.
    """

    place: int
    task: Task
    outcome: T | None = None
    error: SageError | None = None
    seconds: Seconds
    generated_tokens: int = 0
    scored_tokens: int = 0


def by_mode(desk: Desk) -> Plan[Outcome]:
    """The strategy of the mode that the question is to be answered in."""
    return STRATEGIES[desk.effort.mode](desk)


def work(
    session: Session, tasks: Iterable[Task], *, most: int, strategy: Callable[[Desk], Plan[T]]
) -> Iterator[Worked[T]]:
    """Each task as it is done. most: chains at a time.

    A task that fails does not stop the others; one that has no room beside them is begun anew behind them. An
    interrupt ends all that are under way with what they have, and is raised behind the last of them.
    """
    batch = Batch(session, most=most)
    waiting = _Waiting(tasks)
    under_way: list[_Job[T]] = []
    try:
        while waiting or under_way:
            while (task := waiting.next_beside(len(under_way))) is not None and _has_place(
                session, batch, task, beside=len(under_way)
            ):
                job = _Job(session, batch, *waiting.take(), strategy)
                under_way.append(job)
                job.begin()
            _step(batch, under_way, waiting)
            for job in [job for job in under_way if job.done]:
                under_way.remove(job)
                yield job.close()
    except Interrupted:
        while under_way:
            job = under_way.pop(0)
            job.interrupt()
            yield job.close()
        raise
    finally:
        for job in under_way:
            job.close()


class _Waiting:
    """Tasks that have not begun, with their places. One that was put back is the first, and begins alone."""

    def __init__(self, tasks: Iterable[Task]) -> None:
        self._tasks = enumerate(tasks)
        self._following = next(self._tasks, None)
        self._back: list[tuple[int, Task]] = []

    def __bool__(self) -> bool:
        return bool(self._back) or self._following is not None

    def next_beside(self, others: int) -> Task | None:
        """The first, if it may begin beside so many others."""
        if self._back:
            return None if others else self._back[-1][1]
        return self._following[1] if self._following is not None else None

    def take(self) -> tuple[int, Task]:
        """The first; not where there is none."""
        if self._back:
            return self._back.pop()
        taken, self._following = self._following, next(self._tasks, None)
        assert taken is not None
        return taken

    def put_back(self, place: int, task: Task) -> None:
        self._back.append((place, task))


def _step(batch: Batch, under_way: list[_Job[T]], waiting: _Waiting) -> None:
    """A token for each chain, and a look at it for each strategy. Where there is no room, the last job gives way."""
    jobs = [job for job in under_way if not job.done]
    if not jobs:
        return
    try:
        batch.step()
    except Interrupted:
        raise
    except ResourceError as error:
        last = jobs[-1]
        if len(jobs) == 1:
            last.error = error
            return
        under_way.remove(last)
        last.close()
        waiting.put_back(last.place, last.task)
    except SageError as error:
        for job in jobs:
            job.error = error
    for job in jobs:
        if job in under_way:
            job.look()


def _has_place(session: Session, batch: Batch, task: Task, *, beside: int) -> bool:
    """Whether the question's prompt can be read and a chain begun behind it. For a lone one that is tried."""
    return not beside or (
        batch.has_room
        and session.free_branches > SPARE_BRANCHES + 1
        and session.free_tokens >= len(task.case.prompt.token_ids) + ROOM_TO_BEGIN * (beside + 1)
    )


class _Job(Generic[T]):
    """A task under way."""

    def __init__(
        self, session: Session, batch: Batch, place: int, task: Task, strategy: Callable[[Desk], Plan[T]]
    ) -> None:
        self.outcome: T | None = None
        self.error: SageError | None = None
        self.place, self.task = place, task
        self._session, self._batch = session, batch
        self._resources = ExitStack()
        self._desk: Desk | None = None
        self._strategy = strategy
        self._plan: Plan[T] | None = None
        self._began = self._read = perf_counter()

    @property
    def done(self) -> bool:
        return self.outcome is not None or self.error is not None

    def begin(self) -> None:
        """Read the prompt and ask the strategy for its first chains."""
        case = self.task.case
        self._began = perf_counter()
        try:
            branch = self._resources.enter_context(self._session.branch())
            reader = self.task.reader
            if reader is not None and reader.complete:  # in an attempt before this one
                reader = None
            reading = Reading(branch=branch, token_ids=case.prompt.token_ids, question=reader)
            read_prompts(self._session, [reading], on_prefill=self.task.on_prefill)
            self._desk = Desk(
                self._session, self._batch, Trunk(branch=branch, token_ids=case.prompt.token_ids), case
            )
            self._resources.callback(self._desk.close)
            self._plan = self._strategy(self._desk)
        except Interrupted:
            raise
        except SageError as error:
            self.error = error
        self._read = perf_counter()
        self.look()

    def look(self) -> None:
        """Let the strategy see what has been written."""
        if self.done or self._plan is None:
            return
        try:
            next(self._plan)
        except StopIteration as stop:
            self.outcome = stop.value
        except SageError as error:
            self.error = error

    def interrupt(self) -> None:
        """Let the strategy make the best of what there is."""
        if self.done:
            return
        if self._plan is None:
            self.error = Interrupted()
            return
        try:
            self._plan.throw(Interrupted())
        except StopIteration as stop:
            self.outcome = stop.value
        except SageError as error:
            self.error = error

    def close(self) -> Worked[T]:
        """Free everything; what came of it."""
        ended = perf_counter()
        desk = self._desk
        worked = Worked(
            place=self.place,
            task=self.task,
            outcome=self.outcome,
            error=self.error,
            seconds=Seconds(
                load=0.0,
                prefill=self._read - self._began,
                decode=ended - self._read - ((desk.inverse_seconds or 0.0) if desk else 0.0),
                head=desk.head_seconds if desk else None,
                inverse=desk.inverse_seconds if desk else None,
            ),
            generated_tokens=desk.generated_tokens if desk else 0,
            scored_tokens=desk.scored_tokens if desk else 0,
        )
        self._resources.close()
        return worked
