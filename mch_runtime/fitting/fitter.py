"""The whole of it: questions to chains, labels, a head that is better than what costs nothing, and its calibration."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from mch_runtime.atomic import atomic_output
from mch_runtime.engine import Engine
from mch_runtime.errors import NothingLearnedError, UsageError
from mch_runtime.fitting import collecting, making, quality
from mch_runtime.fitting.calibrating import with_mode
from mch_runtime.fitting.collecting import Collected, Line
from mch_runtime.fitting.job import Job, Watcher
from mch_runtime.fitting.labels import labelled
from mch_runtime.fitting.making import Tie
from mch_runtime.fitting.quality import Quality
from mch_runtime.head.fit import TraceSet, import_torch
from mch_runtime.head.format import decode_head, encode_head
from mch_runtime.head.spec import Familiarity, Head
from mch_runtime.prompting import Prompt
from mch_runtime.session import Interrupt
from prompts.dialects import dialect_of

FAMILIAR_QUESTIONS = 2000  # more do not move the threshold
FAMILIAR_FEWEST = 200  # questions, without which one in a hundred means nothing
FAMILIAR_ROWS = 8
ROWS = 16  # chains at a time
HELD = 24  # sequences beside them: chains that are kept until their rollouts are drawn


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A head that was found to be of use, and what was measured of it."""

    head: Head
    quality: Quality


def fit_head(job: Job, watcher: Watcher, interrupt: Interrupt) -> Fitted:
    """Fit a head for a model.

    Raises UsageError without torch or where the work folder holds other work, NothingLearnedError where the
    head would be of no use, and Interrupted; what was sampled stays in the work folder.
    """
    import_torch()
    tied, collected, familiarity, name = _observed(job, watcher, interrupt)
    sets = _sets(collected)
    quality.require_both(sets)
    head = _made(job, tied, sets, familiarity, name, watcher)
    logprobs = [value for _, chain in _chains(collected.lines, "test") for value in chain["logprobs"]]
    watcher.working("measuring", 0, 0)
    found = quality.measure(head, sets["test"], sets["test-greedy"], logprobs)
    quality.require_better(found)
    for mode in job.wanted:
        head = with_mode(head, mode, job, watcher, interrupt)
    return Fitted(head=making.with_provenance(head, {**_facts(job, collected), **found.plain}), quality=found)


def _observed(
    job: Job, watcher: Watcher, interrupt: Interrupt
) -> tuple[Tie, Collected, Familiarity | None, str]:
    """All that is learned from the model itself; and a name for its head."""
    bare = replace(job.options.side_by_side(ROWS), use_head=False, head=None, max_sequences=ROWS + HELD)
    with Engine.open(bare, interrupt=interrupt) as engine, job.work.journal("chains.jsonl") as journal:
        for notice in engine.notices:
            watcher.note(notice)
        tied = making.tie(engine.session, bare.model, template=dialect_of(engine.template).sha256)
        collected = collecting.collect(
            engine,
            job.queries,
            job.settings,
            journal,
            job.work.folder,
            end_token=tied.end_token,
            progress=watcher.sampled,
        )
        watcher.working("reading the questions", 0, 0)
        return tied, collected, _familiarity(engine, job), f"{engine.model.name}-mch"


def _familiarity(engine: Engine, job: Job) -> Familiarity | None:
    """How the questions are worded, where there are enough of them and the template shows them as they are."""
    problems = [query.problem for query in job.queries[:FAMILIAR_QUESTIONS]]
    if len(problems) < FAMILIAR_FEWEST:
        return None

    def prompts() -> Iterator[Prompt]:
        for problem in problems:
            with suppress(UsageError):  # it does not fit the context
                yield engine.prompt(job.settings.asked(problem), job.settings.options(problem))

    try:
        return making.familiarity_of(engine.session, prompts(), rows=FAMILIAR_ROWS)
    except UsageError:
        return None


def _chains(lines: Sequence[Line], name: str) -> Iterator[tuple[Line, Line]]:
    for line in lines:
        for chain in collecting.chains_of(line, name):
            yield line, chain


def _sets(collected: Collected) -> dict[str, TraceSet]:
    """The labelled chains of every store. Raises NothingLearnedError where there are none."""
    places = {line["question"]: place for place, line in enumerate(collected.lines)}
    sets = {}
    for name, store in collected.stores.items():
        found = _chains(collected.lines, name)
        rows = [labelled(chain, line, places[line["question"]]) for line, chain in found]
        if not rows:
            raise NothingLearnedError(
                "there is nothing to learn: hardly any chain has text",
                hint="see what sage ask says with this model",
            )
        sets[name] = store.traces(rows)
    return sets


def _made(
    job: Job,
    tied: Tie,
    sets: Mapping[str, TraceSet],
    familiarity: Familiarity | None,
    name: str,
    watcher: Watcher,
) -> Head:
    """The head of these very chains; one that was fitted before is taken over."""
    digest = hashlib.sha256(repr((job.config, tied.fingerprint, name)).encode())
    for traces in sets.values():
        digest.update(traces.labels.tobytes() + traces.starts.tobytes() + traces.step_ends.tobytes())
    path = job.work.folder / f"head-{digest.hexdigest()[:12]}.gguf"
    if path.exists():
        return decode_head(path.read_bytes())
    epochs = 0

    def report(_line: str) -> None:
        nonlocal epochs
        epochs += 1
        watcher.working("fitting", epochs, job.config.epochs)

    watcher.working("fitting", 0, job.config.epochs)
    head = making.make_head(
        tied,
        sets["fit"],
        sets["calibrate"],
        sets["calibrate-greedy"],
        job.config,
        name=name,
        familiarity=familiarity,
        provenance={},
        report=report,
    )
    with atomic_output(path) as partial:
        partial.write_bytes(encode_head(head))
    return head


def _facts(job: Job, collected: Collected) -> dict[str, str | int | float]:
    standing, settings = collected.standing, job.settings
    given = any("valid" in chain for line in collected.lines for chain in line["chains"])
    facts: dict[str, str | int | float] = {
        "data": job.data,
        "questions": len(collected.lines),
        "right": round(standing.right / max(1, standing.chains), 4),
        "labels": f"answer match; steps {'as the data has them' if given else 'by rollouts'}",
        "rollouts": settings.rollouts,
        "temperature": settings.temperature,
        "max_tokens": settings.max_tokens,
        "seed": settings.seed,
    }
    return facts | ({"instruction": settings.instruction} if settings.instruction else {})
