from __future__ import annotations

import difflib
import inspect
import json
import os
import stat
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mch_runtime.errors import AccessError, DataError, UsageError
from mch_runtime.options import AskOptions
from sage_cli import ask
from sage_cli.config import MODEL, SETTINGS, change, config_path, effective, load_config, parse_config
from sage_cli.toml_lines import edited, line_of
from tests.sage_cli.fake_engine import FakeOpener
from tests.sage_cli.runner import run


@pytest.fixture
def config() -> Path:
    path = Path(os.environ["SAGE_CONFIG"])
    path.write_text("")
    return path


def test_every_setting_stands_for_a_flag() -> None:
    assert set(SETTINGS) - {MODEL} <= set(inspect.signature(ask.ask).parameters)


def test_flag_then_environment_then_file_then_default(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*args: str) -> tuple[Any, Any, str]:
        opener = FakeOpener()
        assert run("-m", "/m.gguf", *args, "q", engine=opener).code == 0
        engine = opener.engines[0]
        return engine.options.threads, engine.options.gpu_layers, engine.asked[0][1].system

    assert asked() == (None, 0, "")
    config.write_text('threads = 3\ngpu_layers = 7\nsystem = "Be brief."\n')
    assert asked() == (3, 7, "Be brief.")
    monkeypatch.setenv("SAGE_THREADS", "4")
    assert asked() == (4, 7, "Be brief.")
    assert asked("--threads", "5", "-ngl", "0", "-s", "") == (5, 0, "")


def test_what_was_typed_wins_over_mode_and_votes(config: Path) -> None:
    def effort(text: str, *args: str) -> tuple[str, int]:
        config.write_text(text)
        opener = FakeOpener()
        assert run("-m", "/m.gguf", *args, "q", engine=opener).code == 0
        found = opener.engines[0].asked[0][1].effort
        return found.mode, found.votes

    assert effort("votes = 5\n")[0] == "fast"
    assert effort("votes = 5\n", "--mode", "vote") == ("vote", 5)
    assert effort('votes = 5\nmode = "vote"\n') == ("vote", 5)
    assert effort('votes = 5\nmode = "vote"\n', "--mode", "fast")[0] == "fast"
    assert effort('mode = "fast"\n', "--votes", "4") == ("vote", 4)


def test_settings_give_way_to_what_is_typed(config: Path) -> None:
    def asked(*args: str, stdin: bytes = b"") -> AskOptions:
        opener = FakeOpener()
        result = run("-m", "/m.gguf", *args, engine=opener, stdin=stdin)
        assert result.code in {0, 1}, result.err  # 1: cut off before there was an answer
        engine = opener.engines[0]
        return engine.asked[0][1] if engine.asked else AskOptions()

    run("ask", "-n", "200", "--save", "short")
    config.write_text('max_tokens = 700\nfail_under = 0.99999\ntemplate = "brief"\n')
    assert asked("--no-head", "q").max_tokens == 700, "the threshold is for answers that a head judges"
    assert asked("--no-head", "-o", "max_tokens=5", "q").max_tokens == 5
    assert asked("--no-head", "-o", "max_tokens=5", "-t", "short", "q").max_tokens == 5
    assert asked("--no-head", "-t", "short", "q").max_tokens == 200
    assert asked("--no-head", "--jsonl", stdin=b"q\n").system == ""
    assert run("-m", "/m.gguf", "q").code == 3
    assert run("-m", "/m.gguf", "--no-head", "--fail-under", "0.5", "q").code == 2


def test_arguments_have_no_settings(config: Path) -> None:
    config.write_text('template = "brief"\nmodel = "x"\n')
    assert "is missing" in run("templates", "show").err
    assert "is missing" in run("head", "attach").err


def test_model_comes_from_the_file(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*args: str) -> str:
        opener = FakeOpener()
        assert run(*args, "q", engine=opener).code == 0
        return str(opener.engines[0].options.model)

    config.write_text('model = "small"\n[aliases]\nsmall = "/models/small.gguf"\n')
    assert asked() == "/models/small.gguf"
    assert asked("-m", "/other.gguf") == "/other.gguf"
    monkeypatch.setenv("SAGE_MODEL", "/env.gguf")
    assert asked() == "/env.gguf"


def test_colour_comes_from_the_file(config: Path) -> None:
    config.write_text('color = "always"\n')
    assert "\x1b[" in run("show", "sage-pico").out
    assert "\x1b[" not in run("show", "sage-pico", "--color", "never").out


def test_an_option_comes_before_a_setting(config: Path) -> None:
    config.write_text("max_tokens = 900\n")
    opener = FakeOpener()
    assert run("-m", "/m.gguf", "-o", "max_tokens=800", "q", engine=opener).code == 0
    assert opener.engines[0].asked[0][1].max_tokens == 800


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\nthread = 3\n", "line 2: thread is not a setting"),
        ('threads = "3"\n', "line 1: threads must be a whole number"),
        ("threads = true\n", "line 1: threads must be a whole number"),
        ("threads = 3.0\n", "line 1: threads must be a whole number"),
        ("# x\n\nthreads = 0\n", "line 3: threads must be 1 to 512"),
        ('fail_under = "0.5"\n', "line 1: fail_under must be a number"),
        ("fail_under = nan\n", "line 1: fail_under must be 0 to 1"),
        ("max_tokens = 0\n", "line 1: max_tokens must be 1 or more"),
        ('color = "blue"\n', "line 1: color must be one of auto, always, never"),
        ("aliases = 3\n", "line 1: aliases must be a table"),
        ("[aliases]\na = 3\n", "line 2: a must be text"),
        ("[other]\na = 3\n", "line 1: other is not a setting"),
        ("threads 3\n", "line 1"),
        ("threads = 1\nthreads = 2\n", "line 2"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(config: Path, text: str, message: str) -> None:
    config.write_text(text)
    for args in (["config"], ["-m", "/m.gguf", "q"]):
        result = run(*args)
        assert (result.code, result.out) == (65, "")
        assert f"{config}" in result.err
        assert message in result.err
        assert result.err.splitlines()[1].startswith("hint: ")


def test_a_broken_file_does_not_stand_in_the_way(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text("threads = \n")
    for args in (["--help"], ["ask", "--help"], ["--version"], ["config", "path"]):
        assert run(*args).code == 0
    monkeypatch.setenv("EDITOR", "sed -i s/=/=2/")
    assert run("config", "edit").code == 0
    assert run("config", "get", "threads").out == "2\n"


@pytest.mark.parametrize(("value", "message"), [("x", "is not a whole number"), ("0", "must be 1 to 512")])
def test_wrong_variables(config: Path, value: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGE_THREADS", value)
    result = run("-m", "/m.gguf", "q")
    assert result.code == 2
    assert "SAGE_THREADS" in result.err
    assert message in result.err


def test_set_get_unset(config: Path) -> None:
    config.write_text("# mine\nthreads = 2  # two\n")
    assert run("config", "set", "threads", "3").code == 0
    assert run("config", "set", "gpu-layers", "--", "-1").code == 0
    assert run("config", "set", "system", 'Say "no"\nand \\ \x7f é').code == 0
    assert run("config", "get", "threads").out == "3\n"
    assert load_config(os.environ).values == {
        "threads": 3,
        "gpu_layers": -1,
        "system": 'Say "no"\nand \\ \x7f é',
    }
    assert config.read_text().startswith("# mine\nthreads = 3\n")
    assert run("config", "unset", "system").code == 0
    assert run("config", "unset", "system").code == 0
    unset = run("config", "get", "system")
    assert (unset.code, unset.out) == (1, "")
    assert config.read_text() == "# mine\nthreads = 3\ngpu_layers = -1\n"


@pytest.mark.parametrize(
    ("args", "code", "hint"),
    [
        (["set", "thread", "3"], 2, "did you mean threads?"),
        (["set", "threads", "many"], 2, None),
        (["set", "threads", "1000"], 2, None),
        (["set", "fail_under", "nan"], 2, None),
        (["get", "colour"], 2, "did you mean color?"),
        (["set", "threads"], 2, None),
    ],
)
def test_what_cannot_be_set(config: Path, args: list[str], code: int, hint: str | None) -> None:
    result = run("config", *args)
    assert (result.code, result.out) == (code, "")
    assert hint is None or f"hint: {hint}" in result.err
    assert config.read_text() == ""


def test_listing_says_where_from(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text('\n\ncolor = "never"\n')
    monkeypatch.setenv("SAGE_CTX_SIZE", "512")
    lines = [line.split("\t") for line in run("config").out.splitlines()]
    assert ["color", "never", "config.toml:3"] in lines
    assert ["ctx_size", "512", "SAGE_CTX_SIZE"] in lines
    assert ["threads", "", "not set"] in lines
    assert run("config", "--json").json["ctx_size"] == 512
    assert json.loads(run("config", "list", "--json").out)["threads"] is None


def test_the_first_edit_starts_with_all_settings(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.unlink()
    monkeypatch.setenv("VISUAL", "true")
    assert run("config", "edit").code == 0
    text = config.read_text()
    assert all(f"# {key} = " in text for key in SETTINGS)
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    assert load_config(os.environ).values == {}
    uncommented = [line.removeprefix("# ") for line in text.splitlines() if " = " in line]
    assert set(parse_config("\n".join(uncommented), config).values) == set(SETTINGS)
    monkeypatch.setenv("VISUAL", "/no/such/editor")
    assert run("config", "edit").code == 66
    monkeypatch.setenv("VISUAL", "false")
    assert run("config", "edit").code == 1


def test_a_link_stays_a_link(config: Path, tmp_path: Path) -> None:
    kept = tmp_path / "dotfiles.toml"
    kept.write_text("threads = 1\n")
    kept.chmod(0o640)
    config.unlink()
    config.symlink_to(kept)
    assert run("config", "set", "threads", "2").code == 0
    assert config.is_symlink()
    assert kept.read_text() == "threads = 2\n"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o640


def test_who_may_write_the_file(config: Path) -> None:
    config.chmod(0o602)
    result = run("-m", "/m.gguf", "q")
    assert result.code == 77
    assert f"hint: chmod o-w {config}" in result.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(config: Path) -> None:
    config.chmod(0)
    assert run("config").code == 77


def test_what_is_no_text_file(config: Path) -> None:
    config.write_bytes(b"\xff\xfe")
    assert run("config").code == 65
    config.unlink()
    config.mkdir()
    assert run("config").code == 65


def test_the_place_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert config_path({"SAGE_CONFIG": "~/x.toml"}) == Path.home() / "x.toml"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert config_path({}) == tmp_path / "sage" / "config.toml"


def test_effective_values_are_typed(tmp_path: Path) -> None:
    config = parse_config("fail_under = 1\n", tmp_path / "config.toml")
    assert effective({"SAGE_THREADS": "2"}, config)["threads"].value == 2
    with pytest.raises(UsageError):
        effective({"SAGE_FAIL_UNDER": "2"}, config)


def test_changing_reports_what_is_wrong_already(config: Path) -> None:
    config.write_text("oops = 1\n")
    with pytest.raises(DataError, match="oops is not a setting"):
        change(os.environ, "", "threads", 1)
    assert config.read_text() == "oops = 1\n"
    config.chmod(0o666)
    with pytest.raises(AccessError):
        change(os.environ, "", "threads", 1)


MESSY = '''\
# first
a = """
b = 1
[t]
"""   # not a table
"b" = [
  1,
]

[t]   # table
c = 3 # three

[ "u" ]
'''


@pytest.mark.parametrize(
    ("table", "key", "value", "gone", "new"),
    [
        ("", "b", 2, ['"b" = [', "  1,", "]"], ["b = 2"]),
        ("", "a", "x", ['a = """', "b = 1", "[t]", '"""   # not a table'], ['a = "x"']),
        ("", "d", True, [], ["d = true"]),
        ("t", "c", 0.5, ["c = 3 # three"], ["c = 0.5"]),
        ("t", "c", None, ["c = 3 # three"], []),
        ("t", "d", 1, [], ["d = 1"]),
        ("u", "a b", 1, [], ['"a b" = 1']),
        ("v", "e", 1, [], ["", "[v]", "e = 1"]),
    ],
)
def test_only_the_lines_of_the_value_change(
    table: str, key: str, value: Any, gone: list[str], new: list[str]
) -> None:
    changes = list(difflib.ndiff(MESSY.splitlines(), edited(MESSY, table, key, value).splitlines()))
    assert [line[2:] for line in changes if line.startswith("- ")] == gone
    assert [line[2:] for line in changes if line.startswith("+ ")] == new


def test_edits_that_lines_cannot_make() -> None:
    for text, table, key in (
        ("t = { a = 1 }\n", "t", "a"),
        ("t.a = 1\n", "t", "a"),
        ("[t.x]\ny = 1\n[t]", "", "t"),
    ):
        with pytest.raises(ValueError):
            edited(text, table, key, "new")


KEYS = st.sampled_from(["a", "b", "long-name", "with space", "ü"])
VALUES = st.one_of(
    st.booleans(),
    st.integers(-(2**60), 2**60),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
)


@given(st.lists(st.tuples(st.sampled_from(["", "t"]), KEYS, st.none() | VALUES), max_size=8))
def test_edits_mean_what_they_say(edits: list[tuple[str, str, Any]]) -> None:
    text = "# begin\n\n[t]\n# end"
    wanted: dict[str, Any] = {"t": {}}
    for table, key, value in edits:
        home = wanted["t"] if table else wanted
        if isinstance(value, str) and any("\ud800" <= c <= "\udfff" for c in value):
            continue
        if value is None and key not in home:
            continue
        if value is None:
            del home[key]
        else:
            home[key] = value
        text = edited(text, table, key, value)
        assert tomllib.loads(text) == wanted
        assert "# begin" in text
        assert "# end" in text
    for key in wanted["t"]:
        assert line_of(text, "t", key)
