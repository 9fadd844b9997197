"""What is kept comes back as it was, and what is not ours is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from mch_runtime.errors import DataError
from mch_runtime.evaluation.samples import from_lines, to_line
from tests.mch_runtime.evaluation.chains import answered, random_samples, setup


def test_a_round_trip() -> None:
    samples = random_samples(3)
    lines = [json.loads(to_line(value)) for value in (setup(), *samples)]
    again, found = from_lines(lines, path="x.jsonl")
    assert again == setup()
    assert [to_line(one) for one in found] == [to_line(one) for one in samples]
    assert found[0].problem == samples[0].problem


def test_a_chain_without_text_has_no_log_probability() -> None:
    (sample,) = random_samples(1)
    silent = replace(answered(None), logprob_mean=float("-inf"))
    line = json.loads(to_line(replace(sample, modes={"fast": silent})))
    _, (again,) = from_lines([json.loads(to_line(setup())), line], path="x")
    assert again.modes["fast"].logprob_mean == float("-inf")


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [{"schema": "other"}],
        [{"schema": "sage.samples/1"}],
        [json.loads(to_line(setup())), {"problem": {}}],
    ],
)
def test_other_files_are_refused_by_name(lines: list[dict[str, object]]) -> None:
    with pytest.raises(DataError, match=r"x\.jsonl"):
        from_lines(lines, path="x.jsonl")
