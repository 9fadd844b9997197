"""The benchmark's rules are those of the runtime, and its settings never see test problems."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.selection import votes
from benchmarks.selection.chains import ChainSet, load
from benchmarks.selection.problems import write_problems
from benchmarks.selection.rules import deepconf, elect, fit, only_the_best, weighed
from mch_runtime.effort import Rule, SelectionSettings
from mch_runtime.evaluation.problems import Problem
from mch_runtime.evaluation.samples import Answered, Chains, Sample, Setup, to_line
from mch_runtime.strategies.selection import Scored, select
from mch_runtime.trace import ModelInfo

ANSWERED = Answered(
    answer="1",
    confidence=0.9,
    logprob_mean=-0.1,
    spoken=None,
    steps=2,
    valid=(0.9, 0.8),
    prompt_tokens=10,
    generated_tokens=5,
    scored_tokens=0,
    seconds=0.1,
)
SETUP = Setup(
    task="pico",
    title="t",
    task_sha256="",
    instruction="",
    model=ModelInfo(name="m", file="m.gguf", quantization="F32", fingerprint="f", head="h"),
    parameters=None,
    modes=("fast", "vote"),
    votes=6,
    temperature=0.8,
    seed=0,
    max_tokens=400,
    sage_version="",
)


def chain(rng: np.random.Generator, right: bool) -> Scored:
    answer = "1" if right else str(rng.choice([2, 3]))
    return Scored(
        answer=answer if rng.random() > 0.1 else None,
        text=answer,
        logprob_sum=float(-rng.random()),
        tokens=int(rng.integers(5, 30)),
        head=float(np.clip(rng.normal(0.7 if right else 0.4, 0.2), 0.01, 0.99)),
        ics=float(rng.normal(0.5 if right else 0.3, 0.1)),
        ics_min=float(rng.normal()),
        bottom_window=float(rng.uniform(1, 5)),
    )


@pytest.fixture(scope="module")
def chains(tmp_path_factory: pytest.TempPathFactory) -> ChainSet:
    rng = np.random.default_rng(1)
    path: Path = tmp_path_factory.mktemp("samples") / "samples.jsonl"
    lines = [to_line(SETUP)]
    for number in range(120):
        problem = Problem(
            id=str(number),
            question=f"q{number}",
            kind="text",
            answer="1",
            group="standard" if number % 2 else "hard",
            depth=number % 3 + 2,
        )
        scored = tuple(chain(rng, rng.random() < 0.5) for _ in range(6))
        drawn = Chains(
            scored=scored,
            spoken=(None,) * 6,
            confidence=None,
            prompt_tokens=10,
            question_tokens=8,
            scored_tokens=50,
            seconds=0.1,
            scoring_seconds=0.1,
        )
        lines.append(to_line(Sample(problem=problem, modes={"fast": ANSWERED}, chains=drawn)))
    path.write_text("\n".join(lines) + "\n")
    return load(path)[1]


@pytest.mark.parametrize(
    ("rule", "settings"),
    [
        ("majority", SelectionSettings()),
        ("both", SelectionSettings(ics_weight=7.0, head_weight=0.5)),
        ("ics", SelectionSettings(ics_weight=20.0)),
        ("deepconf", SelectionSettings(deepconf_keep=0.5)),
        ("best-logprob", SelectionSettings()),
    ],
)
def test_the_benchmark_elects_what_the_runtime_selects(
    chains: ChainSet, rule: Rule, settings: SelectionSettings
) -> None:
    weights = {
        "majority": np.zeros(chains.answers.shape),
        "both": weighed(chains, {"ics": settings.ics_weight, "head": settings.head_weight}),
        "ics": weighed(chains, {"ics": settings.ics_weight}),
        "deepconf": deepconf(chains, settings.deepconf_keep),
        "best-logprob": only_the_best(chains, "logprob_mean"),
    }[rule]
    elected = elect(chains, weights)
    for place, one in enumerate(chains.samples):
        assert one.chains is not None
        selected = select(one.chains.scored, rule, settings)
        assert (selected.answer == "1") == elected.right[place]
        if rule != "deepconf":  # which counts the chains that it keeps
            assert selected.share == pytest.approx(elected.share[place])
        assert selected.weighted_share == pytest.approx(elected.weighted[place], abs=1e-6)


def test_the_fit_finds_what_tells_right_chains(chains: ChainSet) -> None:
    found = fit(chains, ("ics", "logprob_sum"))
    assert found["ics"] > 5
    assert abs(found["logprob_sum"]) < 2


def test_settings_and_tables(chains: ChainSet) -> None:
    rng = np.random.default_rng(0)
    settings = votes.choose(chains)
    assert settings.shipped == {
        "ics": SelectionSettings().ics_weight,
        "head": SelectionSettings().head_weight,
    }
    assert set(settings.guides) == set(settings.accuracy) == set(votes.GUIDES)
    table = votes.table(chains, settings, rng=rng)
    assert table["rows"][votes.MAJORITY]["against_majority"]["value"] == 0
    assert table["rows"][votes.GUIDED]["right"]["value"] > table["rows"][votes.MAJORITY]["right"]["value"]
    assert table["rows"]["any chain right"]["right"]["value"] >= table["rows"][votes.GUIDED]["right"]["value"]
    grown = votes.growth(chains, settings.shipped, [1, 2, 6])
    assert grown["1"][votes.MAJORITY] == grown["1"][votes.GUIDED]
    json.dumps([table, grown])


def test_no_errors_to_remove() -> None:
    rng = np.random.default_rng(0)
    base = np.array([True, False, False, True])
    assert votes.errors_removed(base, np.array([True, True, False, True]), rng=rng).value == pytest.approx(
        0.5
    )


def test_problems_alternate_levels_and_splits_differ(tmp_path: Path) -> None:
    found = {}
    for split in ("validation", "test"):
        path = tmp_path / f"{split}.jsonl"
        assert write_problems(path, split=split, count=4, more_standard=2) == 10
        found[split] = [json.loads(line) for line in path.read_text().splitlines()]
    levels = [record["level"] for record in found["test"]]
    assert levels == ["standard", "hard"] * 4 + ["standard"] * 2
    questions = [record["question"] for split in found.values() for record in split]
    assert len(set(questions)) == len(questions)
