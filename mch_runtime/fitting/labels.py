"""Labels of a chain's steps: as the data has them, else from what is written behind them.

All steps of a chain that comes to the right answer count as valid, but for those it takes back. In a wrong chain a
step is valid if chains that begin with it still reach the right answer about as often as before it. Behind a
mistake no step leads to the right answer any more; there a step is valid if it keeps to the answer that most chains
come to from what precedes it. A chain is sound as long as its steps are valid or taken back.
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
        valid = [UNKNOWN if one is None else float(one) for one in chain["valid"]]
    elif chain["right"]:
        valid = with_withdrawals([1.0] * len(texts), texts, withdrawn, right=True)
    elif not chain["outcomes"]:
        valid = [UNKNOWN] * len(texts)
    else:
        first = [one["answer"] for one in line["chains"]]
        found = from_outcomes(chain["outcomes"], first, line["answer"])
        valid = with_withdrawals(found, texts, withdrawn, right=False)
    sound = soundness(valid, withdrawn)
    if not chain["right"]:
        sound[-1] = 0.0
    answer = float(chain["right"])
    return Labelled(
        problem=problem,
        tokens=chain["tokens"],
        step_ends=chain["ends"],
        labels=[(*pair, answer) for pair in zip(valid, sound, strict=True)],
        is_answer=[place == len(texts) - 1 and states_answer(text) for place, text in enumerate(texts)],
    )


def soundness(valid: Sequence[float], withdrawn: Sequence[bool]) -> list[float]:
    """Whether all steps up to each are valid, but for those that were taken back by then."""
    return [
        _all(one for place, one in enumerate(valid[: end + 1]) if place == end or not withdrawn[place])
        for end in range(len(valid))
    ]


def with_withdrawals(
    valid: Sequence[float], texts: Sequence[str], withdrawn: Sequence[bool], *, right: bool
) -> list[float]:
    """With what a chain thinks of its own steps: taking one back is valid if that step was not.

    A step that is said again in the same words was taken back for nothing. In a chain that comes to the right answer one
    that is said otherwise was wrong.
    """
    found = list(valid)
    for place in (place for place, taken_back in enumerate(withdrawn) if taken_back):
        again = texts[place + 2] if place + 2 < len(texts) else None
        if again == texts[place]:
            found[place + 1] = 0.0
            continue
        if right:
            found[place] = UNKNOWN if again is None else 0.0
        found[place + 1] = 1.0 - found[place]
    return found


def from_outcomes(outcomes: Outcomes, first: Sequence[str | None], right: str) -> list[float]:
    """``valid`` of every step of a wrong chain.

    outcomes: behind every step; the last one's is the chain's own answer. first: answers of chains from the
    question's beginning.
    """
    best = max(_share(first, right), *(_share(found, right) for found in outcomes[:-1]), 0.0)
    valid: list[float] = []
    if best < RARELY:
        return [UNKNOWN] * len(outcomes)
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
        if now == 1.0:
            reach = max(reach, _reach(found, right))
        still, before = now, found
    return valid


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
