"""Whether inverse consistency tells right chains of a problem from wrong ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from benchmarks.explanations.chains import Explained
from benchmarks.explanations.figures import Table, ratio, recorded, shown
from mch_runtime.evaluation.metrics import Estimate
from training.curriculum import ALL_FAMILIES

SCORES: Mapping[str, Callable[[Explained], float | None]] = {
    "inverse consistency": lambda one: one.ics,
    "mean log P": lambda one: one.logprob_mean,
    "inverse consistency + mean log P": lambda one: None if one.ics is None else one.ics + one.logprob_mean,
    "head's P(the answer is right)": lambda one: one.written.trace.confidence_raw,
}


def auroc_of_pairs(scores: Sequence[float], right: Sequence[bool], groups: Sequence[int]) -> Estimate | None:
    """P(a right chain scores higher than a wrong one of its problem), ties counted half, all pairs pooled."""
    members: dict[int, list[int]] = defaultdict(list)
    for i, group in enumerate(groups):
        members[group].append(i)
    won, pairs = [], []
    for own in members.values():
        good = np.array([scores[i] for i in own if right[i]])
        bad = np.array([scores[i] for i in own if not right[i]])
        differences = good[:, None] - bad[None, :]
        won.append(float((differences > 0).sum() + 0.5 * (differences == 0).sum()))
        pairs.append(differences.size)
    return ratio(won, pairs, list(members))


def report(chains: Sequence[Explained]) -> Table:
    """Over the sampled chains of the same problem; by family too."""
    chains = [one for one in chains if not one.written.greedy]
    rows, results = [], {}
    for name, score in SCORES.items():
        figures = {"all": _auroc(chains, score)}
        for family in ALL_FAMILIES:
            figures[family] = _auroc([one for one in chains if one.written.problem.family == family], score)
        results[name] = {key: recorded(value) for key, value in figures.items()}
        rows.append([name, *(shown(value) for value in figures.values())])
    mixed = _mixed(chains)
    return Table(
        f"AUROC, right against wrong chains of a problem: {len(chains)} chains, {mixed} problems with both",
        ["score", "all", *ALL_FAMILIES],
        rows,
        {"chains": len(chains), "problems_with_both": mixed, "auroc_within": results},
    )


def _auroc(chains: Sequence[Explained], score: Callable[[Explained], float | None]) -> Estimate | None:
    scored = [(one, value) for one in chains if (value := score(one)) is not None]
    return auroc_of_pairs(
        [value for _, value in scored],
        [one.written.right for one, _ in scored],
        [one.written.group for one, _ in scored],
    )


def _mixed(chains: Sequence[Explained]) -> int:
    kinds: dict[int, set[bool]] = defaultdict(set)
    for one in chains:
        kinds[one.written.group].add(one.written.right)
    return sum(len(both) == 2 for both in kinds.values())
