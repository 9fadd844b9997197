from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from benchmarks.explanations import __main__ as command
from benchmarks.explanations import cost, errors, premises
from benchmarks.explanations.chains import Explained, Written, first_invalid, held_out
from benchmarks.explanations.consistency import auroc_of_pairs
from benchmarks.explanations.decisions import Turned, report, turned
from benchmarks.explanations.errors import alarm_threshold, baseline, lowest
from benchmarks.explanations.faithfulness import mean_over
from benchmarks.explanations.figures import ratio, share, verdict
from benchmarks.explanations.premises import Count, count, f1
from mch_runtime.evaluation.metrics import Estimate
from mch_runtime.explanation import Alternative, Decision, Faithfulness, Outcome
from mch_runtime.trace import Step, Trace, Verdict
from training.problems import StepLabel

VALID = StepLabel(valid=True, sound=True, reason="", is_answer=False)
INVALID = StepLabel(valid=False, sound=False, reason="no such fact", is_answer=False)


def step(verdict: Verdict | None, logprob: float) -> Step:
    return Step(
        text="Step 1: 1 + 1 = 2",
        tokens=(0, 1),
        logprob_mean=logprob,
        logprob_min=2 * logprob,
        entropy_mean=0.0,
        verdict=verdict,
    )


def explained(
    verdicts: list[Verdict | None], labels: list[StepLabel], logprobs: list[float], *, group: int = 0
) -> Explained:
    problem = replace(held_out(1, seed=0)[0], family="order")
    written = Written(problem, group, greedy=True, trace=cast(Trace, SimpleNamespace(answer=problem.answer)))
    steps = tuple(step(verdict, logprob) for verdict, logprob in zip(verdicts, logprobs, strict=True))
    return Explained(written, steps, tuple(labels), ics=0.1, logprob_mean=-0.1)


def decision(*answers: str | None, probability: float = 0.3) -> Decision:
    roads = tuple(
        Alternative(
            text="so",
            token_id=1,
            probability=probability / place,
            outcome=Outcome(answer=answer, confidence=None, ics=None, energy=0.0),
            changes=True,
            why_not="",
        )
        for place, answer in enumerate(answers, 1)
    )
    return Decision(step=0, token=0, text="no", probability=0.5, alternatives=roads)


def test_problems_are_of_all_families_and_kinds_and_no_question_twice() -> None:
    drawn = held_out(120, seed=1)
    assert len({one.question for one in drawn}) == 120
    assert {one.family for one in drawn} == {"quantities", "changes", "prices", "order"}
    assert {one.level for one in drawn} == {"easy", "standard"}
    assert {one.kind for one in drawn} == {"answerable", "unanswerable", "contradictory"}
    assert not {one.question for one in held_out(30, seed=1, split="validation")} & {
        one.question for one in drawn
    }


def test_premises_are_counted_above_the_threshold_and_among_the_strongest() -> None:
    score = np.array([0.5, 0.1, 0.3, 0.1], dtype=np.float32)
    assert count(score, frozenset({0, 3}), 0.2) == Count(hits=1, named=2, true=2, first=1)
    assert count(score, frozenset(), 0.9) == Count(0, 0, 0, 0)


def test_f1_is_pooled_over_steps() -> None:
    found = f1([Count(1, 2, 2, 1), Count(2, 2, 2, 2)], [0, 1])
    assert found is not None
    assert found.value == pytest.approx(0.75)
    assert found.low <= 0.75 <= found.high
    assert f1([], []) is None
    assert f1([Count(0, 0, 0, 0)], [0]) is None


def test_a_random_baseline_says_the_same_of_the_same_step() -> None:
    case = cast(Any, SimpleNamespace(text="Step 2", places=(1, 2, 3)))
    assert premises.BASELINES["random"](case).tolist() == premises.BASELINES["random"](case).tolist()


def test_the_first_wrong_step_is_not_one_that_was_taken_back() -> None:
    assert first_invalid([VALID, replace(INVALID, withdrawn=True), VALID, INVALID]) == 3
    assert first_invalid([VALID, replace(INVALID, withdrawn=True), VALID]) is None


def test_found_missed_and_false_alarms_are_told_apart() -> None:
    chains = [
        explained(["valid", "contradicts"], [VALID, INVALID], [-0.1, -0.1], group=0),
        explained(["doubtful", "valid"], [VALID, INVALID], [-0.1, -0.9], group=1),
        explained(["valid", "valid"], [VALID, VALID], [-0.1, -0.1], group=2),
        explained(["valid", "doubtful"], [VALID, VALID], [-0.1, -0.1], group=3),
    ]
    table = errors.report(chains, chains)
    shipped = table.results["methods"]["verdicts"]
    assert (table.results["wrong"], table.results["clean"]) == (2, 2)
    assert (shipped["found"]["value"], shipped["noticed"]["value"]) == (0.5, 1.0)
    assert shipped["false_alarm"]["value"] == 0.5
    assert shipped["found_order"]["value"] == 0.5
    assert shipped["found_prices"] is None
    assert table.results["missed_reasons"] == [{"reason": "no such fact", "chains": 2, "missed": 1}]
    told = table.results["methods"]["least likely step, told that one is wrong"]
    assert (told["found"]["value"], told["false_alarm"]) == (0.5, None)
    assert "missed by 35.0 points" in table.verdicts[0]


def test_the_baseline_raises_as_many_false_alarms_as_the_verdicts() -> None:
    assert lowest([-0.1, -2.0, -0.3]) == (1, -2.0)
    lows = [-5.0, -4.0, -3.0, -2.0, -1.0]
    assert sum(low < alarm_threshold(lows, 0.4) for low in lows) == 2
    assert sum(low < alarm_threshold(lows, 0.0) for low in lows) == 0
    validation = [
        explained(["doubtful"], [VALID], [-3.0]),
        *(explained(["valid"], [VALID], [-float(k)]) for k in (1, 2, 4)),
    ]
    find, threshold = baseline(lambda one: one.logprob_mean, validation)
    assert threshold == -3.0
    assert [find(one) for one in validation] == [None, None, None, 0]


def test_a_chain_is_fixable_if_any_road_leads_to_the_right_answer() -> None:
    shipped = [decision("3", "7"), decision("9")]
    found = turned(0, "9", shipped, [decision("9", "3", probability=0.1), decision("3", probability=0.4)])
    assert found == Turned(0, top=(False, False), likeliest=(False, True, False), any=True)
    assert turned(1, "9", [decision(None)], []) == Turned(1, top=(False,), likeliest=(), any=False)
    assert turned(2, "9", [], []) == Turned(2, (), (), any=False)


def test_fixed_is_a_share_of_the_fixable() -> None:
    found = [
        Turned(0, (False, True), (True,), any=True),
        Turned(1, (False, False, False, True), (), any=True),
        Turned(2, (False,), (), any=False),
    ]
    within = report(found).results["within"]
    assert [within[k]["of_fixable"]["value"] for k in "123"] == [0.0, 0.5, 0.5]
    assert within["3"]["of_wrong"]["value"] == pytest.approx(1 / 3, abs=1e-4)
    assert report([]).results["fixable"] is None


def test_pairs_are_of_one_problem() -> None:
    scores, right, groups = [0.1, 0.2, 0.9, 0.8, 0.5], [True, False, True, False, False], [0, 0, 1, 1, 1]
    found = auroc_of_pairs(scores, right, groups)
    assert found is not None
    assert found.value == pytest.approx(2 / 3)
    assert auroc_of_pairs([0.1, 0.2], [True, False], [0, 1]) is None


def test_ratios_are_of_sums_over_whole_problems() -> None:
    assert ratio([1, 1, 4], [1, 1, 2], [0, 0, 1]) == Estimate(1.5, 1.0, 2.0)
    assert share([True, False], [0, 0]) == Estimate(0.5, 0.5, 0.5)
    assert share([], []) is None
    assert "reached" in verdict("light", "cost", Estimate(0.5, 0.4, 0.6))
    assert "missed by 1 times the generation" in verdict("full", "cost", Estimate(5.0, 4.0, 6.0))
    assert "nothing" in verdict("found", "found", None)


def test_missing_figures_of_faithfulness_are_left_out() -> None:
    one = Faithfulness(
        comprehensiveness=1.0,
        comprehensiveness_random=0.5,
        sufficiency=0.1,
        sufficiency_random=1.0,
        answer_follows=None,
    )
    both = [one, replace(one, comprehensiveness=2.0, answer_follows=1.0)]
    assert mean_over(both, "comprehensiveness") == Estimate(1.5, 1.0, 2.0)
    assert mean_over(both, "answer_follows") == Estimate(1.0, 1.0, 1.0)


def test_cost_is_in_units_of_the_generation() -> None:
    spent = {name: [cost.Spent(2.0, 1.0), cost.Spent(4.0, 2.0)] for name in (*cost.KEPT, *cost.READ_AGAIN)}
    table = cost.report({cost.GENERATION: [cost.Spent(4.0, 1.0), cost.Spent(8.0, 2.0)], **spent})
    way = table.results["ways"]["steps, commitment, consistency"]
    assert (way["wall_ratio"]["value"], way["processor_ratio"]["value"]) == (0.5, 1.0)
    assert way["wall_ratio_of_chains"]["median"] == 0.5
    assert all("reached" in sentence for sentence in table.verdicts)


def test_the_command_measures_the_shipped_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    sizes = ["--problems", "3", "--chains", "1", "--validation", "2", "--wrong", "1", "--sample", "1"]
    command.main([*sizes, "--families", "quantities", "--records", str(tmp_path)])
    results = json.loads((tmp_path / "explanations.json").read_text())["results"]
    assert set(results) >= set(command.PARTS)
    assert results["errors"]["wrong"] + results["errors"]["clean"] == 6
    assert results["cost"]["chains"] == 1
    assert "goal >= 90 %" in "".join(capsys.readouterr().out)


def test_only_known_parts_are_run() -> None:
    with pytest.raises(SystemExit):
        command.main(["--only", "errors,nothing"])
