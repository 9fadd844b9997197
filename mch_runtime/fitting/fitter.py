"""The whole of it: questions to chains, labels, a head that is better than what costs nothing, and its calibration."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from mch_runtime.atomic import atomic_output
from mch_runtime.engine import Engine
from mch_runtime.errors import UsageError
from mch_runtime.evaluation.extraction import extract
from mch_runtime.fitting import collecting, making, modes, quality
from mch_runtime.fitting.collecting import Collected, Journal, Line, Settings, Standing
from mch_runtime.fitting.labels import labelled
from mch_runtime.fitting.making import Tie
from mch_runtime.fitting.quality import Quality
from mch_runtime.fitting.questions import Query
from mch_runtime.head.fit import FitConfig, TraceSet, import_torch
from mch_runtime.head.format import decode_head, encode_head
from mch_runtime.head.spec import Familiarity, Head
from mch_runtime.options import EngineOptions
from mch_runtime.session import Interrupt
from mch_runtime.trace import Mode, Trace
from prompts.dialects import dialect_of

FAMILIAR_QUESTIONS = 2000  # more do not move the threshold
FAMILIAR_FEWEST = 200  # questions, without which one in a hundred means nothing
FAMILIAR_ROWS = 8
ROWS = 16  # chains at a time
HELD = 24  # sequences beside them: chains that are kept until their rollouts are drawn


class Watcher(Protocol):
    """Is told how far it is."""

    def sampled(self, standing: Standing) -> None:
        """Questions whose chains are there."""
        ...

    def working(self, what: str, done: int, total: int) -> None:
        """Anything else that takes its time."""
        ...

    def note(self, sentence: str) -> None:
        """Something worth knowing."""
        ...


@dataclass(frozen=True, kw_only=True)
class Work:
    """Where unfinished work is kept. journal: opens one of its files by name."""

    folder: Path
    journal: Callable[[str], AbstractContextManager[Journal]]


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A head that was found to be of use, and what was measured of it."""

    head: Head
    quality: Quality


def fit_head(
    options: EngineOptions,
    queries: Sequence[Query],
    settings: Settings,
    work: Work,
    watcher: Watcher,
    *,
    config: FitConfig,
    wanted: Sequence[Mode],
    data: str,
    interrupt: Interrupt,
) -> Fitted:
    """Fit a head for a model. data: what the questions are, in words. wanted: the modes to calibrate beside fast.

    Raises UsageError without torch or where the work folder holds other work, NothingLearnedError where the
    head would be of no use, and Interrupted; what was sampled stays in the work folder.
    """
    import_torch()
    bare = replace(options.side_by_side(ROWS), use_head=False, head=None, max_sequences=ROWS + HELD)
    with Engine.open(bare, interrupt=interrupt) as engine, work.journal("chains.jsonl") as journal:
        for notice in engine.notices:
            watcher.note(notice)
        tied = making.tie(engine.session, options.model, template=dialect_of(engine.template).sha256)
        collected = collecting.collect(
            engine,
            queries,
            settings,
            journal,
            work.folder,
            end_token=tied.end_token,
            progress=watcher.sampled,
        )
        familiarity = _familiarity(engine, queries, settings, watcher)
        name = f"{engine.model.name}-mch"
    sets = _sets(collected)
    quality.require_both(sets)
    head = _made(work, tied, collected, sets, config, name, familiarity, watcher)
    logprobs = [value for _, chain in _chains(collected.lines, "test") for value in chain["logprobs"]]
    watcher.working("measuring", 0, 0)
    found = quality.measure(head, sets["test"], sets["test-greedy"], logprobs)
    quality.require_better(found)
    held = [query for query in queries if query.part == "calibrate"]
    for mode in wanted:
        head = _calibrated(head, mode, options, held, settings, work, watcher, interrupt)
    facts = _facts(settings, collected, data, [*wanted])
    return Fitted(head=making.with_provenance(head, {**facts, **found.plain}), quality=found)


def _chains(lines: Sequence[Line], name: str) -> Iterator[tuple[Line, Line]]:
    for line in lines:
        for chain in collecting.chains_of(line, name):
            yield line, chain


def _sets(collected: Collected) -> dict[str, TraceSet]:
    """The labelled chains of every store. Raises NothingLearnedError where there are none."""
    places = {line["question"]: place for place, line in enumerate(collected.lines)}
    sets = {}
    for name, store in collected.stores.items():
        rows = [
            labelled(chain, line, places[line["question"]]) for line, chain in _chains(collected.lines, name)
        ]
        sets[name] = store.traces(rows)
    return sets


def _familiarity(
    engine: Engine, queries: Sequence[Query], settings: Settings, watcher: Watcher
) -> Familiarity | None:
    """How the questions are worded, where there are enough of them and the template shows them as they are."""
    watcher.working("reading the questions", 0, 0)
    problems = [query.problem for query in queries[:FAMILIAR_QUESTIONS]]
    prompts = (engine.prompt(settings.asked(one), settings.options(one)) for one in problems)
    if len(problems) < FAMILIAR_FEWEST:
        return None
    try:
        return making.familiarity_of(engine.session, prompts, rows=FAMILIAR_ROWS)
    except UsageError:
        return None


def _made(
    work: Work,
    tied: Tie,
    collected: Collected,
    sets: Mapping[str, TraceSet],
    config: FitConfig,
    name: str,
    familiarity: Familiarity | None,
    watcher: Watcher,
) -> Head:
    """The head of these very chains; one that was fitted before is taken over."""
    told = repr((config, name, [line["question"] for line in collected.lines]))
    path = work.folder / f"head-{hashlib.sha256(told.encode()).hexdigest()[:12]}.gguf"
    if path.exists():
        return decode_head(path.read_bytes())
    epochs = 0

    def report(_line: str) -> None:
        nonlocal epochs
        epochs += 1
        watcher.working("fitting", epochs, config.epochs)

    watcher.working("fitting", 0, config.epochs)
    head = making.make_head(
        tied,
        sets["fit"],
        sets["calibrate"],
        sets["calibrate-greedy"],
        config,
        name=name,
        familiarity=familiarity,
        provenance={},
        report=report,
    )
    with atomic_output(path) as partial:
        partial.write_bytes(encode_head(head))
    return head


def _calibrated(
    head: Head,
    mode: Mode,
    options: EngineOptions,
    held: Sequence[Query],
    settings: Settings,
    work: Work,
    watcher: Watcher,
    interrupt: Interrupt,
) -> Head:
    """With the confidence of ``mode``, or without where its answers are all alike."""
    path = work.folder / "asking.gguf"
    data = encode_head(head)
    with atomic_output(path) as partial:
        partial.write_bytes(data)
    # The calibrators found so far change nothing of what another mode measures: the network's bytes do.
    digest = hashlib.sha256(
        b"".join(head.tensors[name].tobytes() for name in sorted(head.tensors))
    ).hexdigest()
    asking = replace(options.side_by_side(modes.ROWS), head=path)
    measured = []
    with work.journal(f"{mode}-{digest[:12]}.jsonl") as journal:
        known = {line["question"]: line for line in journal.lines}
        places = [place for place, query in enumerate(held) if query.problem.sha256 not in known]
        with Engine.open(asking, interrupt=interrupt) as engine:
            stream = modes.answer(
                engine,
                [settings.asked(query.problem) for query in held],
                mode=mode,
                max_tokens=settings.max_tokens,
                seed=settings.seed,
                is_right=lambda place, trace: _is_right(held[place], trace),
                places=places,
            )
            watcher.working(f"calibrating {mode}", len(known), len(held))
            for one in stream:
                digest_ = held[one.place].problem.sha256
                told = {"question": digest_, "features": dict(one.features), "right": one.right}
                journal.append(json.dumps(told))
                known[digest_] = told
                watcher.working(f"calibrating {mode}", len(known), len(held))
        for place, query in enumerate(held):
            line = known[query.problem.sha256]
            measured.append(modes.Measured(place=place, features=line["features"], right=line["right"]))
    try:
        return modes.calibrated(head, mode, measured)
    except UsageError as error:
        watcher.note(f"{mode} has no confidence: {error.message}")
        return head


def _is_right(query: Query, trace: Trace) -> bool:
    problem = query.problem
    said = trace.answer_text or trace.answer
    return bool(said) and extract(said or "", problem.kind, problem.options) == problem.answer


def _facts(
    settings: Settings, collected: Collected, data: str, wanted: Sequence[Mode]
) -> dict[str, str | int | float]:
    standing = collected.standing
    given = sum(
        len(line["chains"]) for line in collected.lines if line["chains"] and "valid" in line["chains"][0]
    )
    facts: dict[str, str | int | float] = {
        "data": data,
        "questions": len(collected.lines),
        "right": round(standing.right / max(1, standing.chains), 4),
        "labels": "answer match; steps by rollouts"
        if not given
        else "answer match; steps as the data has them",
        "rollouts": settings.rollouts,
        "temperature": settings.temperature,
        "max_tokens": settings.max_tokens,
        "seed": settings.seed,
    }
    if settings.instruction:
        facts["instruction"] = settings.instruction
    return facts
