from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from mch_runtime.errors import Interrupted
from mch_runtime.options import EngineOptions
from mch_runtime.session import Interrupt
from sage_cli.benching import Measured, Trial, measure, needed_context, planned
from tests.fake_session import FakeSession
from tests.sage_cli.fake_engine import PICO
from tests.sage_cli.runner import run


class Loaded:
    """A fake session as an engine without a head."""

    model = PICO
    head = None

    def __init__(self) -> None:
        self.session = FakeSession({})


@contextmanager
def opened(options: EngineOptions, *, interrupt: Interrupt | None = None) -> Iterator[Loaded]:
    yield Loaded()


def names(tests: list[Trial]) -> list[str]:
    return [test.name for test in tests]


def test_what_is_measured() -> None:
    every = planned(n_prompt=512, n_gen=128, votes=8, with_head=True)
    assert names(every) == ["pp512", "tg128", "tg128+head", "vote8x128"]
    assert [test.tokens for test in every] == [512, 128, 128, 1024]
    assert names(planned(n_prompt=0, n_gen=4, votes=0, with_head=False)) == ["tg4"]
    assert names(planned(n_prompt=4, n_gen=0, votes=8, with_head=True)) == ["pp4"]
    assert needed_context(n_prompt=512, n_gen=128, votes=8) == 32 + 8 * 128 + 1
    assert needed_context(n_prompt=512, n_gen=0, votes=8) == 513


@pytest.mark.parametrize(
    "test",
    [Trial(name="pp9", n_prompt=9), Trial(name="tg5", n_gen=5), Trial(name="vote3x5", n_gen=5, chains=3)],
)
def test_repetitions_are_counted_and_warming_up_is_not(test: Trial) -> None:
    seen: list[int] = []
    measured = measure(Loaded(), test, repetitions=3, on_repetition=seen.append)  # type: ignore[arg-type]
    assert seen == [0, 1, 2, 3]
    assert len(measured.rates) == 3
    assert all(rate > 0 for rate in measured.rates)


def test_mean_and_deviation() -> None:
    measured = Measured(test=Trial(name="pp1", n_prompt=1), rates=(2.0, 4.0))
    assert measured.mean == 3.0
    assert measured.deviation == pytest.approx(2**0.5)
    assert Measured(test=measured.test, rates=(2.0,)).deviation is None


ARGS = ("bench", "-m", "m", "-p", "6", "-n", "4", "--votes", "2", "-r", "2")


@pytest.fixture(autouse=True)
def sized(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake's file is not there; its size is said."""
    monkeypatch.setattr("sage_cli.bench._bytes_of", lambda _: 2_700_000)


def test_a_table() -> None:
    result = run(*ARGS, engine=opened)  # type: ignore[arg-type]
    assert (result.code, result.err) == (0, "")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in result.out.splitlines()]
    assert rows[0] == ["model", "size", "test", "tokens/s"]
    assert [row[2] for row in rows[2:]] == ["pp6", "tg4", "vote2x4"]
    assert all(row[:2] == ["sage-pico Q8_0", "2.7 MB"] and "±" in row[3] for row in rows[2:])


def test_csv_and_json() -> None:
    table = run(*ARGS, "--format", "csv", engine=opened).out  # type: ignore[arg-type]
    rows = list(csv.DictReader(io.StringIO(table)))
    assert [row["test"] for row in rows] == ["pp6", "tg4", "vote2x4"]
    assert all(float(row["tokens_per_second"]) > 0 for row in rows)
    objects = json.loads(run(*ARGS, "--format", "json", engine=opened).out)  # type: ignore[arg-type]
    assert [len(entry["samples"]) for entry in objects] == [2, 2, 2]
    assert run(*ARGS, "--format", "xml", engine=opened).code == 2  # type: ignore[arg-type]


def test_an_interrupt_ends_it_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise Interrupted

    monkeypatch.setattr("sage_cli.benching.start_chains", interrupted)
    result = run(*ARGS, engine=opened)  # type: ignore[arg-type]
    assert (result.code, result.err) == (130, "")
    assert "pp6" in result.out
    assert "Traceback" not in result.out


@pytest.mark.slow
def test_on_the_embedded_model() -> None:
    from sage_cli.app import open_engine

    result = run(
        "bench", "-p", "8", "-n", "4", "--votes", "2", "-r", "1", "--format", "json", engine=open_engine
    )
    assert result.code == 0, result.err
    assert [row["test"] for row in json.loads(result.out)] == ["pp8", "tg4", "tg4+head", "vote2x4"]
