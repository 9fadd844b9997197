"""Chains of every question, sampled or given, with all that labels are made of; kept as they come.

One line of a journal per question, and what the head sees of its chains in stores beside it. A line is written once
its chains are in the stores, so that work that was killed goes on behind the last whole question.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

from mch_runtime.answering import Question
from mch_runtime.answers import behind_reasoning
from mch_runtime.engine import Engine
from mch_runtime.errors import DataError, NothingLearnedError, UsageError
from mch_runtime.evaluation.extraction import extract
from mch_runtime.evaluation.problems import Problem
from mch_runtime.evaluation.sampling import problem_seed
from mch_runtime.fitting.given import Reader, read_given
from mch_runtime.fitting.questions import Query
from mch_runtime.fitting.seen import Seen
from mch_runtime.fitting.store import Store
from mch_runtime.fitting.trying import Attempts, Effort, Tried, attempts
from mch_runtime.options import AskOptions, SamplingOptions
from mch_runtime.prompting import Prompt
from mch_runtime.strategies.desk import Desk, Plan
from mch_runtime.strategies.work import Worked
from prompts.dialects import Dialect, dialect_of

SETS = ("fit", "calibrate", "test", "calibrate-greedy", "test-greedy")
HOPELESS = 60  # questions without a right answer among them are no chance

Line = Mapping[str, Any]


class Journal(Protocol):
    """A file of JSON Lines that grows, such as ``sage_cli.growing.GrowingFile``. lines: what it held when opened."""

    lines: list[dict[str, Any]]

    def append(self, line: str) -> None:
        """On the disk before it returns."""
        ...


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How chains are drawn. instruction: what is added below every question, "" for nothing."""

    chains: int = 4
    rollouts: int = 4
    temperature: float = 1.0
    max_tokens: int = 512
    seed: int = 0
    instruction: str = ""

    def asked(self, problem: Problem) -> str:
        """What the model is asked."""
        return f"{problem.question}\n\n{self.instruction}" if self.instruction else problem.question

    def options(self, problem: Problem) -> AskOptions:
        """With the problem's own seed: the same wherever it stands among the others."""
        return AskOptions(
            max_tokens=self.max_tokens,
            sampling=SamplingOptions(
                temperature=self.temperature,
                top_k=0,
                top_p=1.0,
                min_p=0.0,
                seed=problem_seed(self.seed, problem) >> 1,
            ),
        )


@dataclass(kw_only=True)
class Standing:
    """How far it is. resumed: of the done, those that were there before. right and chains: of the sampled ones."""

    total: int
    done: int = 0
    resumed: int = 0
    right: int = 0
    chains: int = 0
    tokens: int = 0


@dataclass(frozen=True, kw_only=True)
class Collected:
    """lines: of every question that could be asked, in the order of the stores."""

    lines: Sequence[Line]
    stores: Mapping[str, Store]
    standing: Standing = field(compare=False)


def collect(
    engine: Engine,
    queries: Sequence[Query],
    settings: Settings,
    journal: Journal,
    folder: Path,
    *,
    end_token: int | None,
    progress: Callable[[Standing], None] = lambda _standing: None,
) -> Collected:
    """Draw the chains of all questions that the journal does not hold yet.

    end_token: what the model ends its answers with. Raises UsageError if the journal belongs to other work,
    NothingLearnedError as soon as it shows that the model cannot answer at all, and Interrupted; what there is stays.
    """
    stores = {name: Store(folder / name, embedding_length=engine.session.n_embd) for name in SETS}
    lines = _begun(engine, settings, journal)
    standing = Standing(total=len(queries))
    _check_known(lines, queries)
    for line in lines:
        _count(standing, line)
    standing.resumed = standing.done
    for name, store in stores.items():
        store.cut(sum(chain["tokens"] for line in lines for chain in chains_of(line, name)))
    done = {line["question"] for line in lines}
    progress(standing)
    _check_hope(standing)
    left = [query for query in queries if query.problem.sha256 not in done]
    for found in _collected(engine, left, settings, end_token):
        line = _kept(found, stores)
        journal.append(json.dumps(line, ensure_ascii=False))
        lines.append(line)
        _count(standing, line)
        progress(standing)
        _check_hope(standing)
    return Collected(lines=lines, stores=stores, standing=standing)


def chains_of(line: Line, name: str) -> list[dict[str, Any]]:
    """The chains of a line that are in the store ``name``."""
    part, _, greedy = name.partition("-")
    if line["part"] != part:
        return []
    return cast("list[dict[str, Any]]", line["greedy"] if greedy else line["chains"])


def _begun(engine: Engine, settings: Settings, journal: Journal) -> list[Line]:
    """The lines of questions; a new journal gets its header."""
    header = {
        "schema": "sage.head-fit/1",
        "model": engine.model.fingerprint,
        "quantization": engine.model.quantization,
        "template": dialect_of(engine.template).sha256,
        **asdict(settings),
    }
    if not journal.lines:
        journal.append(json.dumps(header))
        return []
    before, *lines = journal.lines
    if before.get("schema") != header["schema"] or any("question" not in line for line in lines):
        raise DataError("the work folder holds something else", hint="name another one with --work")
    other = next((name for name in header if before.get(name) != header[name]), None)
    if other is not None:
        raise UsageError(
            f"the work folder holds chains drawn with {other.replace('_', ' ')} {before.get(other)!r}, "
            f"and this is {header[other]!r}",
            hint="name another folder with --work, or remove that one",
        )
    return list(lines)


@dataclass(frozen=True, kw_only=True)
class _Found:
    """What came of a question: its chains as a line holds them and as a head sees them, sampled ones and greedy."""

    query: Query
    chains: Sequence[tuple[dict[str, Any], Seen]]
    greedy: Sequence[tuple[dict[str, Any], Seen]]
    tokens: int


def _collected(
    engine: Engine, queries: Sequence[Query], settings: Settings, end_token: int | None
) -> Iterator[_Found]:
    """Each question as it is done."""
    dialect = dialect_of(engine.template)
    by_text = {settings.asked(query.problem): query for query in queries}
    reader = Reader(session=engine.session, end_token=end_token)

    def strategy(desk: Desk) -> Plan[Attempts]:
        query = by_text[desk.case.question]
        effort = Effort(
            chains=0 if query.chains else settings.chains,
            rollouts=settings.rollouts,
            greedy=query.part != "fit",
        )
        said = lambda case, text: _said(text, case.dialect, case.prompt, query.problem)  # noqa: E731
        return attempts(desk, effort, read=said, right=query.problem.answer)

    questions = (Question(text=text, options=settings.options(q.problem)) for text, q in by_text.items())
    worked: Worked[Attempts]
    for worked in engine.pursue(questions, strategy):
        if worked.outcome is None:
            continue
        query = by_text[worked.task.case.question]
        right = query.problem.answer
        greedy = worked.outcome.greedy
        chains = [_line_of(one, right) for one in worked.outcome.sampled]
        if query.chains:
            prompt = worked.task.case.prompt
            for given in read_given(reader, prompt, query.chains):
                answer = _said(given.text, dialect, prompt, query.problem)
                chains.append((given.line | {"answer": answer, "right": answer == right}, given.seen))
        yield _Found(
            query=query,
            chains=chains,
            greedy=[_line_of(greedy, right)] if greedy is not None else [],
            tokens=worked.generated_tokens,
        )


def _said(text: str, dialect: Dialect, prompt: Prompt, problem: Problem) -> str | None:
    """The canonical answer of a chain's text."""
    answer = behind_reasoning(text, dialect, opened=prompt.opens_reasoning)
    return extract(answer, problem.kind, problem.options) if answer.strip() else None


def _line_of(tried: Tried, right: str) -> tuple[dict[str, Any], Seen]:
    steps = tried.chain.steps
    line = {
        "tokens": len(tried.seen.hidden),
        "ends": list(tried.seen.step_ends),
        "texts": [step.text for step in steps],
        "logprobs": [round(step.logprob_mean, 5) for step in steps],
        "answer": tried.answer,
        "right": tried.answer == right,
        "outcomes": [list(found) for found in tried.outcomes],
    }
    return line, tried.seen


def _kept(found: _Found, stores: Mapping[str, Store]) -> Line:
    part = found.query.part
    for name, chains in ((part, found.chains), (f"{part}-greedy", found.greedy)):
        if chains:
            stores[name].append([seen for _, seen in chains])
    return {
        "question": found.query.problem.sha256,
        "answer": found.query.problem.answer,
        "part": part,
        "chains": [line for line, _ in found.chains],
        "greedy": [line for line, _ in found.greedy],
        "tokens": found.tokens,
    }


def _check_known(lines: Sequence[Line], queries: Sequence[Query]) -> None:
    """What is stored cannot be left out again."""
    wanted = {query.problem.sha256 for query in queries}
    others = sum(line["question"] not in wanted for line in lines)
    if others:
        raise UsageError(
            f"the work folder holds {others:,} questions that are not in the data",
            hint="name another folder with --work, or put them back",
        )


def _count(standing: Standing, line: Line) -> None:
    standing.done += 1
    standing.chains += len(line["chains"])
    standing.right += sum(chain["right"] for chain in line["chains"])
    standing.tokens += line["tokens"]


def _check_hope(standing: Standing) -> None:
    if standing.done >= HOPELESS and standing.right == 0:
        raise NothingLearnedError(
            f"there is nothing to learn: none of {standing.chains:,} chains for {standing.done:,} questions "
            "comes to the right answer",
            hint="are the answers written as the model writes them? a head needs right and wrong chains",
        )
