"""Problems are asked in each mode as a user would ask them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mch_runtime.answering import Answered, Question
from mch_runtime.effort import SelectionSettings
from mch_runtime.evaluation.sampling import sample
from mch_runtime.evaluation.tasks import Task
from mch_runtime.options import AskOptions
from tests.fake_session import FakeSession
from tests.mch_runtime.evaluation.chains import problem, setup
from tests.mch_runtime.test_records import trace


class Recorder:
    """``asked`` are the options of every question."""

    def __init__(self) -> None:
        self.session = FakeSession({})
        self.asked: list[AskOptions] = []

    def answers(self, questions: Iterable[Question]) -> Iterator[Answered]:
        for place, question in enumerate(questions):
            self.asked.append(question.options)
            yield Answered(place=place, trace=trace())


def test_modes_begin_with_the_chain_of_fast_and_draw_at_the_temperature_of_the_run() -> None:
    one, recorder = problem(1), Recorder()
    task = Task(name="free", title="free answers", instruction="", problems=(one,))
    asked = setup(modes=("fast", "vote", "think", "auto"), temperature=0.6)
    sample(recorder, task, one, asked, SelectionSettings())
    fast, *others = recorder.asked
    assert fast.sampling.temperature == 0
    assert [options.effort.mode for options in others] == ["vote", "think", "auto"]
    assert {options.sampling.temperature for options in others} == {0}
    assert {options.effort.settings.temperature for options in others} == {0.6}
    assert len({options.sampling.seed for options in others}) == 1
