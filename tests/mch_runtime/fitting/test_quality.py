"""What a head is worth: found where there is something to find, and refused where there is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mch_runtime.errors import NothingLearnedError
from mch_runtime.fitting.curves import chain_logits
from mch_runtime.fitting.making import Tie, make_head
from mch_runtime.fitting.quality import chain_means, measure, require_better, require_both
from mch_runtime.head.fit import FitConfig, TraceSet
from mch_runtime.head.spec import Head, Probe
from mch_runtime.statistics import FEATURE_NAMES
from tests.mch_runtime.test_head_fit import STEPS, D, synthetic

CONFIG = FitConfig(width=16, head_count=2, epochs=10)
TIE = Tie(
    architecture="qwen2",
    fingerprint="0" * 64,
    probe=Probe(token_ids=tuple(range(16)), state=np.ones(D, dtype=np.float32), cosine=0.9),
    template="",
    end_token=None,
)


def traces(seed: int, *, problems: int, informative: bool) -> TraceSet:
    """With all the features that heads are fitted on, and some labels missing."""
    made = synthetic(seed, problems=problems, informative=informative)
    rng = np.random.default_rng(seed)
    labels = made.labels.copy()
    labels[:, 2] = np.repeat(labels[made.last_steps, 0], STEPS)  # an answer is as good as its last step
    labels[::7, :2] = np.nan
    features = rng.normal(0, 0.1, size=(len(made.features), len(FEATURE_NAMES))).astype(np.float32)
    return replace(made, features=features, labels=labels)


def fitted(*, informative: bool) -> tuple[Head, TraceSet]:
    train, held, greedy, test = (
        traces(seed, problems=count, informative=informative)
        for seed, count in ((0, 300), (1, 150), (2, 150), (3, 200))
    )
    return make_head(TIE, train, held, greedy, CONFIG, name="h", familiarity=None, provenance={"a": 1}), test


@pytest.mark.parametrize("informative", [True, False])
def test_only_a_head_that_knows_something_passes(informative: bool) -> None:
    pytest.importorskip("torch")
    head, test = fitted(informative=informative)
    noise = np.random.default_rng(5).normal(size=len(test.step_ends)).tolist()
    found = measure(head, test, test, noise)
    assert found.questions == 200
    assert found.answers.n == 400
    assert found.steps is not None
    assert found.steps.n == int(np.isfinite(test.labels[~test.is_answer, 0]).sum())
    assert found.plain["test_answer_auroc"] == round(found.answers.head.value, 4)
    if informative:
        assert found.answers.head.value > 0.75
        require_better(found)
    else:
        with pytest.raises(
            NothingLearnedError, match="no better than the mean log-probability: AUROC"
        ) as caught:
            require_better(found)
        assert caught.value.exit_code == 1
        assert "400 chains for 200 questions" in caught.value.message


def test_the_head_is_described() -> None:
    pytest.importorskip("torch")
    head, test = fitted(informative=True)
    assert head.spec.calibration.keys() == {"fast", "answer", "answer_at_end"}
    assert head.spec.provenance["a"] == 1
    assert chain_logits(head, test).shape == (len(test.step_ends), 3)


def test_the_mean_of_a_chain_is_that_of_its_tokens() -> None:
    test = replace(
        traces(0, problems=1, informative=True),
        step_ends=np.array([2, 3, 9, 4, 5, 6]),  # two chains of three steps
    )
    found = chain_means(test, np.array([-1.0, -4.0, -0.5, -1.0, -2.0, -3.0]))
    assert found.tolist() == pytest.approx([-(2 + 4 + 3) / 9, -(4 + 2 + 3) / 6])


def test_sets_of_one_kind_teach_nothing() -> None:
    good = traces(0, problems=100, informative=True)
    require_both({"fit": good})
    labels = good.labels.copy()
    labels[:, 2] = 1.0
    with pytest.raises(
        NothingLearnedError, match="of the sampled chains to test with 200 are right and 0 are wrong"
    ):
        require_both({"fit": good, "test": replace(good, labels=labels)})
