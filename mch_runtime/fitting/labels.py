"""Labels of a chain's steps: as the data has them, else from what is written behind them.

All steps of a chain that comes to the right answer count as right, but for those it takes back. In a wrong chain a
step is *sound* if chains that begin with it still reach the right answer about as often as before it. While
a chain is sound, a step is *valid* if the chain still is behind it. Behind a mistake no step leads to the
right answer any more; there a step is valid if it keeps to the answer that most chains come to from what precedes it.
What too few outcomes decide is left open, and so is everything about a question that is hardly ever answered rightly,
or a wrong chain without outcomes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mch_runtime.fitting.seen import Labelled
from mch_runtime.stated_answer import states_answer
from mch_runtime.withdrawal import withdraws

UNKNOWN = math.nan
BY_ACCIDENT = 0.05  # how often a chain with a mistake in it reaches the answer all the same
RARELY = 0.25  # share of right chains from a question's beginning, below which soundness does not show
MOST = 0.5  # share of an answer that counts as what a beginning leads to
SURE = 0.8  # probability of a label that is given

Outcomes = Sequence[Sequence[str | None]]


def labelled(chain: Mapping[str, Any], line: Mapping[str, Any], problem: int) -> Labelled:
    """A chain of a journal's line with its labels; problem: the question's place."""
    texts: list[str] = chain["texts"]
    withdrawn = [withdraws(later, step) for step, later in zip(texts, [*texts[1:], ""], strict=True)]
    if "valid" in chain:
        valid, sound = from_data(chain["valid"], withdrawn)
    elif chain["right"]:
        valid = sound = [UNKNOWN if taken_back else 1.0 for taken_back in withdrawn]
    elif not chain["outcomes"]:
        valid = sound = [UNKNOWN] * len(texts)
    else:
        first = [one["answer"] for one in line["chains"]]
        valid, sound = from_outcomes(chain["outcomes"], first, line["answer"])
    answer = float(chain["right"])
    return Labelled(
        problem=problem,
        tokens=chain["tokens"],
        step_ends=chain["ends"],
        labels=[(*pair, answer) for pair in zip(valid, sound, strict=True)],
        is_answer=[place == len(texts) - 1 and states_answer(text) for place, text in enumerate(texts)],
    )


def from_data(valid: Sequence[bool | None], withdrawn: Sequence[bool]) -> tuple[list[float], list[float]]:
    """``valid`` and ``sound`` of every step. withdrawn: those that the line right behind takes back."""
    known = [UNKNOWN if one is None else float(one) for one in valid]
    # A step is withdrawn from the line behind it on.
    stay = [
        [place for place in range(end + 1) if place == end or not withdrawn[place]]
        for end in range(len(known))
    ]
    return known, [_all(known[place] for place in places) for places in stay]


def from_outcomes(
    outcomes: Outcomes, first: Sequence[str | None], right: str
) -> tuple[list[float], list[float]]:
    """``valid`` and ``sound`` of every step of a wrong chain.

    outcomes: behind every step; the last one's is the chain's own answer. first: answers of chains from the
    question's beginning.
    """
    best = max(_share(first, right), *(_share(found, right) for found in outcomes[:-1]), 0.0)
    valid: list[float] = []
    sound: list[float] = []
    if best < RARELY:
        unknown = [UNKNOWN] * len(outcomes)
        return unknown, [*unknown[:-1], 0.0]
    before: Sequence[str | None] = first
    still, reach = 1.0, _reach(first, right)
    for place, found in enumerate(outcomes):
        last = place == len(outcomes) - 1
        now = 0.0 if last else _judged(found, right, reach)
        if still == 1.0:
            valid.append(now)
        elif now == 1.0:
            valid.append(1.0)
        else:
            valid.append(_consistent(before, found, last=last) if still == 0.0 else UNKNOWN)
        sound.append(now)
        if now == 1.0:
            reach = max(reach, _reach(found, right))
        still, before = now, found
    return valid, sound


def _consistent(before: Sequence[str | None], behind: Sequence[str | None], *, last: bool) -> float:
    """Whether a step keeps to the answer that what precedes it leads to, if it leads to one."""
    (answer, count), *_ = Counter(before).most_common(1)
    if answer is None or len(before) < 2 or count / len(before) < MOST:
        return UNKNOWN
    return float(behind[0] == answer) if last else _judged(behind, answer, _reach(before, answer))


def _judged(found: Sequence[str | None], answer: str, reach: float) -> float:
    """1 or 0, whether chains reach the answer as often as ``reach`` or only by accident; unknown if that is not clear."""
    count = sum(one == answer for one in found)
    odds = _binomial(count, len(found), reach) / _binomial(count, len(found), BY_ACCIDENT)
    probability = odds / (1 + odds)
    return 1.0 if probability >= SURE else 0.0 if probability <= 1 - SURE else UNKNOWN


def _binomial(count: int, of: int, share: float) -> float:
    return float(share**count * (1 - share) ** (of - count))


def _reach(found: Sequence[str | None], answer: str) -> float:
    """How often chains reach the answer, from few of them; never less than what counts as rarely."""
    return max(RARELY, (sum(one == answer for one in found) + 1) / (len(found) + 2))


def _share(found: Sequence[str | None], answer: str) -> float:
    return sum(one == answer for one in found) / len(found) if found else 0.0


def _all(values: Iterable[float]) -> float:
    """Whether all are 1: 0 as soon as one is 0, else unknown as soon as one is unknown."""
    found = list(values)
    return 0.0 if 0.0 in found else UNKNOWN if any(map(math.isnan, found)) else 1.0
