"""Selection among stored chains: rules, ties, filters, when to stop."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mch_runtime.errors import UsageError
from mch_runtime.strategies.selection import (
    NO_ANSWER,
    Rule,
    Scored,
    SelectionSettings,
    answer_key,
    is_decided,
    probability_ahead,
    select,
    selection_features,
)

RULES: tuple[Rule, ...] = ("majority", "head", "ics", "both", "best-logprob", "deepconf", "best-energy")
DEFAULTS = SelectionSettings()


def chain(answer: str | None, **known: float) -> Scored:
    return Scored(answer=answer, text="", logprob_sum=known.pop("logprob", -5.0), tokens=10, **known)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("27", "27.0"),
        ("1,000", "1000"),
        ("+5", "5"),
        ("Yes.", " yes"),
        ("12345678901234567", "12345678901234567.0"),
    ],
)
def test_answers_that_are_the_same(one: str, other: str) -> None:
    assert answer_key(one) == answer_key(other)


@pytest.mark.parametrize(
    ("one", "other"), [("27", "28"), ("1,2,3", "123"), ("12345678901234567", "12345678901234568")]
)
def test_answers_that_are_not(one: str, other: str) -> None:
    assert answer_key(one) != answer_key(other)


def test_a_majority_counts() -> None:
    found = select([chain("3"), chain("27"), chain("27.0"), chain(None)], "majority", DEFAULTS)
    assert found.answer == "27"
    assert (found.share, found.weighted_share, found.margin) == (0.5, 0.5, 0.25)
    assert [(vote.answer, vote.count, vote.kept) for vote in found.votes] == [
        ("27", 2, True),
        ("3", 1, True),
        (None, 1, False),
    ]
    assert found.votes[-1].why_dropped == NO_ANSWER
    assert found.chosen == 1


def test_consistency_outweighs_numbers() -> None:
    chains = [chain("3", ics=0.1), chain("3", ics=0.1), chain("27", ics=0.5)]
    assert select(chains, "majority", DEFAULTS).answer == "3"
    found = select(chains, "ics", DEFAULTS)
    assert found.answer == "27"
    assert found.weighted_share == pytest.approx(math.exp(12.8) / (math.exp(12.8) + 2))
    assert select(chains, "ics", DEFAULTS.with_skepticism(0.0)).answer == "3"


def test_the_head_weighs_by_its_odds() -> None:
    found = select([chain("3", head=0.5), chain("27", head=0.9)], "head", DEFAULTS)
    assert found.weighted_share == pytest.approx(0.9)


def test_what_was_not_measured_is_left_out() -> None:
    chains = [chain("3"), chain("27"), chain("27")]
    for rule in ("head", "ics", "both", "deepconf"):
        assert select(chains, rule, DEFAULTS) == select(chains, "majority", DEFAULTS)


def test_one_without_a_measurement_weighs_least() -> None:
    assert select([chain("3"), chain("27", ics=0.1), chain("4", ics=0.2)], "ics", DEFAULTS).answer == "4"


def test_single_chains_are_chosen() -> None:
    chains = [chain("3", logprob=-1.0, ics=0.0), chain("27", logprob=-2.0, ics=0.5), chain(None, logprob=0.0)]
    assert select(chains, "best-logprob", DEFAULTS).chosen == 0
    assert select(chains, "best-energy", DEFAULTS).chosen == 1


def test_filters_say_what_they_dropped() -> None:
    chains = [chain("3", ics=0.1), chain("27", ics=0.5), chain("27", ics=0.48)]
    found = select(chains, "majority", SelectionSettings(ics_margin=0.05))
    assert (found.weighted_share, found.share) == (1.0, 2 / 3)
    assert [(vote.answer, vote.kept, vote.weight) for vote in found.votes][-1] == ("3", False, 0.0)
    chains = [chain("3", bottom_window=1.0), chain("27", bottom_window=5.0)]
    assert select(chains, "deepconf", SelectionSettings(deepconf_keep=0.5)).answer == "27"


def test_nothing_to_choose_from() -> None:
    with pytest.raises(ValueError, match="no chains"):
        select([], "majority", DEFAULTS)
    found = select([chain(None, logprob=-3.0), chain(None, logprob=-1.0)], "both", DEFAULTS)
    assert (found.answer, found.share, found.chosen) == (None, 0.0, 1)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.builds(
            Scored,
            answer=st.sampled_from(["1", "2", "3", None]),
            text=st.just(""),
            logprob_sum=st.floats(-50, 0),
            tokens=st.integers(1, 50),
            head=st.none() | st.floats(0, 1),
            sound=st.none() | st.floats(0, 1),
            ics=st.none() | st.floats(-2, 4),
            bottom_window=st.none() | st.floats(0, 20),
        ),
        min_size=1,
        max_size=12,
    ),
    st.sampled_from(RULES),
)
def test_every_rule_makes_a_selection(chains: list[Scored], rule: Rule) -> None:
    found = select(chains, rule, DEFAULTS)
    assert sum(vote.count for vote in found.votes) == len(chains)
    assert sum(vote.weight for vote in found.votes) == pytest.approx(1.0)
    assert 0 <= found.weighted_share <= 1 + 1e-9
    if found.answer is None:
        assert all(one.answer is None for one in chains) or rule == "deepconf"
    else:
        assert chains[found.chosen].answer == found.answer
    # The order of chains is no evidence.
    if found.margin > 1e-9:
        assert select(chains[::-1], rule, DEFAULTS).answer == found.answer


def test_features_are_what_was_measured() -> None:
    chains = [chain("27", ics=0.5, head_logit=2.0), chain("27", ics=0.3, head_logit=1.0), chain("3", ics=0.4)]
    features = selection_features(chains, select(chains, "majority", DEFAULTS))
    assert features["answer_logit_mean"] == 1.5
    assert features["ics_margin"] == pytest.approx(0.1)
    assert (features["n"], features["share"]) == (3.0, pytest.approx(2 / 3))
    assert selection_features(chains[:2], select(chains[:2], "majority", DEFAULTS))["ics_margin"] == 1.0
    bare = selection_features([chain("3")], select([chain("3")], "majority", DEFAULTS))
    assert set(bare) == {"weighted_share", "share", "margin", "n"}


def test_when_more_chains_are_not_worth_it() -> None:
    never = SelectionSettings(stop_at=2.0)
    assert is_decided([chain("3")] * 5, 4, "majority", never)
    assert not is_decided([chain("3")] * 4, 4, "majority", never)
    assert not is_decided([chain("3")] * 9, 4, "ics", never)
    assert is_decided([chain("3")] * 6, 26, "both", DEFAULTS)
    assert not is_decided([chain("3")] * 5, 26, "both", DEFAULTS)
    assert not is_decided([chain("3")] * 4 + [chain("27")] * 4, 24, "both", DEFAULTS)
    assert is_decided([], 0, "both", DEFAULTS)
    assert not is_decided([chain(None)] * 8, 8, "both", DEFAULTS)


def test_the_probability_of_being_ahead() -> None:
    assert probability_ahead(6, 0) == pytest.approx(1 - 0.5**7)
    assert probability_ahead(3, 3) == pytest.approx(0.5)
    assert probability_ahead(10, 2) > probability_ahead(8, 4) > 0.5


def test_skepticism_scales_all_doubts() -> None:
    doubled = DEFAULTS.with_skepticism(64.0)
    assert (doubled.ics_weight, doubled.head_weight, doubled.sound_weight) == (64.0, 2.0, 2.0)
    with pytest.raises(UsageError, match="skepticism"):
        DEFAULTS.with_skepticism(-1.0)
