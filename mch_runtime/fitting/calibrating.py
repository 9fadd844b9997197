"""The confidence of a mode, calibrated on the questions set aside for it; every answer is kept as it comes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from mch_runtime.atomic import atomic_output
from mch_runtime.engine import Engine
from mch_runtime.errors import UsageError
from mch_runtime.evaluation.extraction import extract
from mch_runtime.fitting import modes
from mch_runtime.fitting.job import Job, Watcher
from mch_runtime.fitting.questions import Query
from mch_runtime.head.format import encode_head
from mch_runtime.head.spec import Head
from mch_runtime.session import Interrupt
from mch_runtime.trace import Mode, Trace


def with_mode(head: Head, mode: Mode, job: Job, watcher: Watcher, interrupt: Interrupt) -> Head:
    """The head with the confidence of ``mode``, or without where its answers are all alike. Raises Interrupted."""
    held = [query for query in job.queries if query.part == "calibrate"]
    measured = []
    with job.work.journal(f"{mode}-{_digest(head)}.jsonl") as journal:
        known = {line["question"]: line for line in journal.lines}
        for one in _answers(head, mode, job, held, frozenset(known), watcher, interrupt):
            question = held[one.place].problem.sha256
            known[question] = {"question": question, "features": dict(one.features), "right": one.right}
            journal.append(json.dumps(known[question]))
            watcher.working(f"calibrating {mode}", len(known), len(held))
    for place, query in enumerate(held):
        line = known[query.problem.sha256]
        measured.append(modes.Measured(place=place, features=line["features"], right=line["right"]))
    try:
        return modes.calibrated(head, mode, measured)
    except UsageError as error:
        watcher.note(f"{mode} has no confidence: {error.message}")
        return head


def _digest(head: Head) -> str:
    """Of the network: what a mode measures depends on it, and not on how other modes are calibrated."""
    tensors = b"".join(head.tensors[name].tobytes() for name in sorted(head.tensors))
    return hashlib.sha256(tensors).hexdigest()[:12]


def _answers(
    head: Head,
    mode: Mode,
    job: Job,
    held: Sequence[Query],
    known: Collection[str],
    watcher: Watcher,
    interrupt: Interrupt,
) -> Iterator[modes.Measured]:
    """What the mode makes of the questions that are not known yet."""
    places = [place for place, query in enumerate(held) if query.problem.sha256 not in known]
    watcher.working(f"calibrating {mode}", len(held) - len(places), len(held))
    if not places:
        return
    path = job.work.folder / "asking.gguf"
    with atomic_output(path) as partial:
        partial.write_bytes(encode_head(head))
    options = replace(job.options.side_by_side(modes.ROWS), head=path)
    with Engine.open(options, interrupt=interrupt) as engine:
        yield from modes.answer(
            engine,
            [job.settings.asked(query.problem) for query in held],
            mode=mode,
            max_tokens=job.settings.max_tokens,
            seed=job.settings.seed,
            is_right=lambda place, trace: _is_right(held[place], trace),
            places=places,
        )


def _is_right(query: Query, trace: Trace) -> bool:
    problem = query.problem
    said = trace.answer_text or trace.answer or ""
    return bool(said) and extract(said, problem.kind, problem.options) == problem.answer
