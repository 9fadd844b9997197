"""What was measured before is not measured again: explanations kept with the answers they explain."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mch_runtime.explanation import Explanation
from mch_runtime.options import EngineOptions, ExplainOptions, Message
from mch_runtime.wire import plain
from sage_cli.entries import StoredExplanation
from sage_cli.history import Log
from sage_cli.log_file import log_path
from sage_cli.shell import Shell
from sage_cli.subjects import Subject

_SWITCHES = {"monotonicity", "control", "premises", "alternatives", "faithfulness"}
_OF_ALTERNATIVES = {"points", "alternatives_each", "budget"}


def recall(
    shell: Shell,
    subject: Subject,
    engine: EngineOptions,
    options: ExplainOptions,
    *,
    own_words: bool,
    partly: bool = False,
) -> StoredExplanation | None:
    """The kept explanation that says all that is wanted, and no more; None if there is none, or no answer's id.

    partly: one that says less will do. Raises DataError if it is damaged, FileError and its like if the log cannot be read.
    """
    if not subject.id:
        return None
    wanted = conditions(engine, options)
    path, named = log_path(shell.environ)
    with Log(path, named=named) as log:
        stored = log.explanation(subject.id, suits=lambda had: serves(had, wanted, partly=partly))
    if stored is None or (own_words and not partly and stored.explanation.words is None):
        return None
    return replace(stored, explanation=_reduced(stored.explanation, options, own_words=own_words))


def conditions(engine: EngineOptions, options: ExplainOptions) -> dict[str, Any]:
    """All that an explanation depends on beside the answer: plain values. What was said counts as text."""
    return {
        "model": str(engine.model.absolute()),
        "model_file": _state(engine.model),
        "head": None if engine.head is None else str(engine.head.absolute()),
        "use_head": engine.use_head,
        "force_head": engine.force_head,
        **_steered(engine),
        **plain(dataclasses.asdict(replace(options, past=tuple(map(_as_text, options.past))))),
    }


def _as_text(message: Message) -> Message:
    return replace(message, token_ids=())


def _steered(engine: EngineOptions) -> dict[str, Any]:
    """Nothing where nothing steers, as it was before there was steering."""
    vectors = [[str(file.path.absolute()), file.scale] for file in engine.control_vectors]
    return {"control_vectors": vectors} if vectors else {}


def _state(path: Path) -> list[int] | None:
    """By which a file that took another's place is told from it, without reading it; None if it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns]


def serves(had: Mapping[str, Any], wanted: Mapping[str, Any], *, partly: bool = False) -> bool:
    """Whether what was measured under ``had`` holds what would be measured under ``wanted``, or a part of it."""
    lacks = [name for name in _SWITCHES if wanted[name] and not had.get(name)]
    if had.keys() != wanted.keys() or (lacks and not partly):
        return False
    free = _SWITCHES if wanted["alternatives"] and not partly else _SWITCHES | _OF_ALTERNATIVES
    return all(had[name] == wanted[name] for name in wanted.keys() - free)


def _reduced(explanation: Explanation, options: ExplainOptions, *, own_words: bool) -> Explanation:
    return replace(
        explanation,
        premises=explanation.premises if options.premises else None,
        decisions=explanation.decisions if options.alternatives else None,
        faithfulness=explanation.faithfulness if options.faithfulness else None,
        words=explanation.words if own_words else None,
    )
