"""What was measured of an answer is kept with it, and shown again without a model."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from mch_runtime.errors import NativeError
from sage_cli.history import Log
from sage_cli.log_file import turn
from tests.explanation_samples import right
from tests.sage_cli.fake_engine import QUESTION
from tests.sage_cli.fake_explainer import ExplainerOpener
from tests.sage_cli.runner import Result, run


def explain(*args: str, engine: ExplainerOpener | None = None) -> Result:
    return run("explain", "-m", "m", "--no-stdin", *args, engine=engine or no_engine())  # type: ignore[arg-type]


def no_engine() -> ExplainerOpener:
    """One that cannot be opened."""
    opener = ExplainerOpener()
    opener.script = replace(opener.script, load_error=NativeError("there is no model"))
    return opener


@pytest.fixture
def explained() -> Result:
    """An answer in the log, and its explanation."""
    assert run("-m", "m", QUESTION).code == 0
    result = explain(engine=ExplainerOpener())
    assert (result.code, result.err) == (0, "")
    return result


@pytest.mark.parametrize("args", [[], ["--fail-under", "0.5"], ["--threads", "2"], ["--ctx-size", "512"]])
def test_it_is_shown_again_without_the_model(explained: Result, args: list[str]) -> None:
    again = explain(*args)
    assert (again.code, again.out) == (0, explained.out)
    assert again.err.startswith("note: as measured at 20")
    assert explain("-q", *args).err == ""


@pytest.mark.parametrize("form", ["md", "html", "json"])
def test_in_every_format(explained: Result, form: str, tmp_path: Path) -> None:
    fresh = explain("--again", "--faithfulness", "--format", form, engine=ExplainerOpener())
    assert explain("--faithfulness", "--format", form).out == fresh.out
    assert explain("--faithfulness", "--format", form, "-o", str(tmp_path / "page")).code == 0
    assert (tmp_path / "page").read_text() == fresh.out


def test_what_it_says_about_confidence_holds(explained: Result) -> None:
    assert explain("--fail-under", "0.999").code == 3
    assert explain("--fail-under-ics", "9").code == 4


@pytest.mark.parametrize(
    "args",
    [
        ["--again"],
        ["--faithfulness"],
        ["--alternatives", "5"],
        ["-s", "Be brief."],
        ["--no-head"],
        ["--offline-self"],
    ],
)
def test_what_was_not_measured_needs_the_model(explained: Result, args: list[str]) -> None:
    assert explain(*args).code == NativeError.exit_code
    assert explain(*args, engine=ExplainerOpener()).code == 0


def test_another_model_measures_for_itself(explained: Result, tmp_path: Path) -> None:
    other = run("explain", "--no-stdin", "-m", str(tmp_path / "other.gguf"), engine=no_engine())  # type: ignore[arg-type]
    assert other.code == NativeError.exit_code


def test_less_is_part_of_more(explained: Result) -> None:
    assert right().premises
    less = explain("--no-premises", "--no-alternatives", "--alternatives", "5", "--json")
    assert less.code == 0
    trace = less.json["trace"]
    assert (trace["premises"], trace["decisions"]) == (None, None)
    assert trace["monotonicity"] is not None


def test_measuring_anew_replaces(explained: Result) -> None:
    def other() -> object:
        sample = right()
        return replace(sample, trace=replace(sample.trace, confidence=0.25))

    assert explain("--again", engine=ExplainerOpener(other)).code == 0  # type: ignore[arg-type]
    assert "0.25" in explain().out


def test_nothing_is_kept_where_the_log_is_off() -> None:
    run("-m", "m", QUESTION)
    turn(Path(os.environ["SAGE_LOG"]), on=False, named=True)
    assert explain(engine=ExplainerOpener()).code == 0
    assert explain().code == NativeError.exit_code


def test_a_damaged_explanation_is_an_error_that_again_repairs(explained: Result) -> None:
    with Log(Path(os.environ["SAGE_LOG"])) as log:
        log._db.execute("UPDATE explanations SET explanation = '{'")
    damaged = explain()
    assert damaged.code == 65
    assert "--again" in damaged.err
    assert explain("--again", engine=ExplainerOpener()).code == 0
    assert explain().out == explained.out
