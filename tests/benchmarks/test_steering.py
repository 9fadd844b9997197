from __future__ import annotations

import numpy as np

from benchmarks.steering import Answered, compared, contrasted


def test_pairs_stop_before_the_last_step_and_behind_it() -> None:
    pairs = contrasted(20, seed=1)
    assert len(pairs) == 20
    for pair in pairs:
        assert pair.negative.startswith(pair.positive)
        assert pair.positive.endswith("\n")
        assert pair.positive != pair.negative
        assert "Answer:" not in pair.negative
        assert pair.question


def test_differences_are_of_the_same_problems() -> None:
    plain = Answered(
        *(np.array(row, dtype=float) for row in ([3, 5, 2, 4], [60, 90, 40, 80], [1, 0, 1, 1], [1] * 4))
    )
    longer = Answered(plain.steps + 1, plain.tokens + 20, plain.right, plain.stopped)
    found = compared(longer, plain, np.random.default_rng(0))
    assert found["steps"]["value"] == 4.5
    assert found["steps_difference"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert found["tokens_difference"]["value"] == 20.0
    assert "steps_difference" not in compared(plain, plain, np.random.default_rng(0))
