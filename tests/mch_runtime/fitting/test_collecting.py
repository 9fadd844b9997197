"""Collecting chains: all that labels are made of, and work that was broken off goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mch_runtime.engine import Engine
from mch_runtime.errors import DataError, NothingLearnedError, UsageError
from mch_runtime.evaluation.problems import Problem
from mch_runtime.fitting.collecting import SETS, Collected, Settings, chains_of, collect
from mch_runtime.fitting.labels import labelled
from mch_runtime.fitting.questions import LabelledStep, Query
from mch_runtime.head.fit import TraceSet
from mch_runtime.trace import ModelInfo
from prompts.dialects import shipped
from tests.fake_session import END, FakeSession

INFO = ModelInfo(name="fake", file="fake.gguf", quantization="F32", fingerprint="f", head=None)
COUNT = 12
SETTINGS = Settings(chains=3, rollouts=2, temperature=0.7, max_tokens=60)


class Lines:
    """A journal in memory."""

    def __init__(self, lines: list[dict[str, Any]] | None = None) -> None:
        self.lines = lines or []

    def append(self, line: str) -> None:
        self.lines.append(json.loads(line))


def queries(**changes: Any) -> list[Query]:
    """Every third one has another answer than the model gives."""
    return [
        Query(
            problem=Problem(id="", question=question(k), kind="text", answer=str(k + 5 * (k % 3 == 0))),
            **changes,
        )
        for k in range(COUNT)
    ]


def question(k: int) -> str:
    return f"How many is {k}?"


def collected(
    folder: Path, journal: Lines, asked: list[Query] | None = None, settings: Settings = SETTINGS
) -> Collected:
    replies = {question(k): f"Step 1: {k} + 0 = {k}.\nStep 2: {k} = {k}.\nAnswer: {k}" for k in range(COUNT)}
    session = FakeSession(replies, n_ctx=600, room=6000, max_sequences=40)
    engine = Engine(session, model=INFO, dialect=shipped()["sage-pico"])
    lines = Lines(list(journal.lines))
    found = collect(engine, asked or queries(), settings, lines, folder, end_token=END)
    journal.lines = lines.lines
    return found


def sets(found: Collected) -> dict[str, TraceSet]:
    made = {}
    for name in SETS:
        rows = [labelled(chain, line, 0) for line in found.lines for chain in chains_of(line, name)]
        if rows:
            made[name] = found.stores[name].traces(rows)
    return made


def test_every_question_has_its_chains(tmp_path: Path) -> None:
    journal = Lines()
    found = collected(tmp_path, journal)
    assert found.standing.done == found.standing.total == COUNT
    assert {line["question"] for line in found.lines} == {query.problem.sha256 for query in queries()}
    for line in found.lines:
        assert len(line["chains"]) == 3
        assert len(line["greedy"]) == (line["part"] != "fit")
        for chain in line["chains"]:
            assert len(chain["texts"]) == len(chain["ends"]) == len(chain["logprobs"])
            assert chain["ends"][-1] == chain["tokens"] - 1
            if chain["right"] or not any(other["right"] for other in line["chains"]):
                assert chain["outcomes"] == []
            else:  # two continuations of each beginning at least, and the chain's own end
                assert all(len(outcomes) >= 2 for outcomes in chain["outcomes"][:-1])
                assert chain["outcomes"][-1] == [chain["answer"]]
    for name, traces in sets(found).items():
        assert np.isfinite(traces.hidden).all(), name
        assert traces.hidden.shape == (traces.starts[-1], FakeSession.n_embd)


def test_work_that_was_broken_off_goes_on(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    journal, torn = Lines(), Lines()
    at_once = collected(whole, journal)
    collected(parts, torn, queries()[:5])
    for name in SETS:  # killed after states were written and before their line was
        with (parts / f"{name}.hidden").open("ab") as file:
            file.write(b"torn")
    again = collected(parts, torn)
    assert again.standing.resumed == 5
    key = lambda line: line["question"]  # noqa: E731
    assert sorted(again.lines, key=key) == sorted(at_once.lines, key=key)
    for name, traces in sets(again).items():
        expected = sets(at_once)[name]
        assert sorted(map(tuple, traces.hidden.tolist())) == sorted(map(tuple, expected.hidden.tolist()))


def test_other_settings_are_refused(tmp_path: Path) -> None:
    journal = Lines()
    collected(tmp_path, journal, queries()[:2])
    with pytest.raises(UsageError, match=r"drawn with temperature 0.7, and this is 0.9"):
        collected(tmp_path, journal, settings=Settings(chains=3, rollouts=2, temperature=0.9, max_tokens=60))
    with pytest.raises(DataError, match="something else"):
        collected(tmp_path, Lines([{"a": 1}]))


def test_questions_cannot_be_taken_away(tmp_path: Path) -> None:
    journal = Lines()
    collected(tmp_path, journal, queries()[:3])
    with pytest.raises(UsageError, match="holds 1 questions that are not in the data"):
        collected(tmp_path, journal, queries()[:2])


def test_states_that_are_gone_are_missed(tmp_path: Path) -> None:
    journal = Lines()
    collected(tmp_path, journal, queries()[:4])
    (tmp_path / "fit.hidden").write_bytes(b"")
    with pytest.raises(DataError, match="too short"):
        collected(tmp_path, journal)


def test_a_model_that_is_never_right_is_noticed_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mch_runtime.fitting.collecting.HOPELESS", 4)
    hopeless = [
        Query(problem=Problem(id="", question=question(k), kind="text", answer="x")) for k in range(9)
    ]
    journal = Lines()
    with pytest.raises(NothingLearnedError, match="none of 12 chains for 4 questions"):
        collected(tmp_path, journal, hopeless)


def test_chains_of_the_data_are_read_and_not_sampled(tmp_path: Path) -> None:
    steps = (LabelledStep("Step 1: 1 + 1 = 3.", False), LabelledStep("Answer: 3", True))
    found = collected(tmp_path, Lines(), queries(chains=(steps,)))
    for line in found.lines:
        (chain,) = line["chains"]
        assert chain["texts"] == [step.text for step in steps]
        assert chain["valid"] == [False, True]
        assert chain["answer"] == "3"
        first = len("Step 1: 1 + 1 = 3.\n")
        assert chain["ends"] == [first, first + len("Answer: 3") + 1]  # with the token that ends it
        row = labelled(chain, line, 0)
        assert [list(labels[:2]) for labels in row.labels] == [[0, 0], [1, 0]]
