from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mch_runtime.gguf.checked import open_checked
from mch_runtime.head.container import encode_head, fingerprint
from tests import hub_server
from tests.gguf_samples import write_model
from tests.head_samples import random_head
from tests.hub_server import running_hub
from tests.sage_cli.fake_engine import FakeOpener
from tests.sage_cli.runner import REAL, Result, run, spawn

NAME = "ann/tiny-GGUF:Q4_K_M"


@pytest.fixture
def config() -> Path:
    path = Path(os.environ["SAGE_CONFIG"])
    path.write_text("")
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "base.gguf")


@pytest.fixture
def hub(model: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[hub_server.Hub]:
    with open_checked(model) as (fd, gguf):
        head = encode_head(random_head(base_fingerprint=fingerprint(fd, gguf)))
    files = {
        "tiny-Q4_K_M.gguf": model.read_bytes(),
        "tiny-Q4_K_M.mch.gguf": head,
        "tiny-Q8_0.gguf": model.read_bytes() + bytes(32),
    }
    for variable in ("HF_TOKEN", "HF_HUB_OFFLINE", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with running_hub(**{"ann__tiny-GGUF": files}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        yield hub


def opened(*args: str) -> str:
    opener = FakeOpener()
    result = run(*args, "q", engine=opener)
    assert result.code == 0, result.err
    return str(opener.engines[0].options.model)


def refused(result: Result, code: int) -> str:
    assert (result.code, result.out) == (code, "")
    assert result.err.splitlines()[-2].startswith("sage: ")
    assert result.err.splitlines()[-1].startswith("hint: ")
    return result.err


def test_pull_prints_the_path_and_tells_the_rest(hub: hub_server.Hub) -> None:
    result = run("pull", "ann/tiny-GGUF")
    assert result.code == 0
    path = Path(result.out.removesuffix("\n"))
    assert path.name == "tiny-Q4_K_M.gguf"
    assert path.is_relative_to(os.environ["HF_HUB_CACHE"])
    assert "with its head" in result.err
    assert "checksum right" in result.err
    assert run("pull", "-q", "hf.co/ann/tiny-GGUF:q4_k_m") == Result(0, result.out, "")
    assert "already in the cache" in run("pull", "ann/tiny-GGUF").err


def test_pulled_files_have_the_users_permissions(hub: hub_server.Hub) -> None:
    path = Path(run("pull", "ann/tiny-GGUF").out.strip())
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask


def test_pulling_what_is_not_there(hub: hub_server.Hub) -> None:
    assert "Q4_K_M, Q8_0" in refused(run("pull", "ann/tiny-GGUF:Q6_K"), 66)
    assert "there is no repository" in refused(run("pull", "ann/none"), 66)
    assert "not a model on the hub" in refused(run("pull", "tiny"), 2)
    assert "--help" in refused(run("pull"), 2)


def test_asking_by_the_hubs_name_downloads_once(hub: hub_server.Hub) -> None:
    path = opened("-hf", "ann/tiny-GGUF")
    assert Path(path).read_bytes() == hub.repos["ann/tiny-GGUF"].files["tiny-Q4_K_M.gguf"]
    asked = len(hub.requests)
    assert opened("-hf", "ann/tiny-GGUF:Q4_K_M") == path
    assert opened("-m", "ann/tiny-GGUF") == path
    assert opened("-m", NAME) == path
    assert len(hub.requests) == asked
    assert "contradict" in refused(run("-hf", NAME, "-m", "x.gguf", "q"), 2)


def test_offline_only_the_cache_is_used(hub: hub_server.Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "HF_HUB_OFFLINE" in refused(run("-hf", NAME, "q"), 69)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    run("pull", NAME)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert opened("-hf", NAME).endswith("tiny-Q4_K_M.gguf")
    assert hub.requests


def test_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert "cannot reach http://127.0.0.1:9" in refused(run("-hf", NAME, "q"), 69)


def test_a_real_process_pulls_and_uses_the_head(hub: hub_server.Hub, env: dict[str, str]) -> None:
    """The variables reach the client library, and nothing of it reaches standard error."""
    env = env | {"HF_ENDPOINT": hub.endpoint, "no_proxy": "*"}
    pulled = spawn([*REAL, "pull", NAME], env)
    assert pulled.returncode == 0
    assert len(pulled.stderr.splitlines()) == 2
    shown = spawn([*REAL, "show", NAME, "--json"], env)
    assert json.loads(shown.stdout)["head"]["name"] == "sample head"


def test_listing(hub: hub_server.Hub, config: Path, model: Path) -> None:
    run("pull", NAME)
    run("pull", "ann/tiny-GGUF:Q8_0")
    assert run("alias", "small", NAME).code == 0
    assert run("models", "default", "small").code == 0
    lines = [line.split("\t") for line in run("models").out.splitlines()]
    assert [line[0] for line in lines] == ["sage-pico", "small", NAME, "ann/tiny-GGUF:Q8_0"]
    assert [line[3] for line in lines] == ["inside", "beside", "beside", ""]
    assert lines[2][1:3] == [str(model.stat().st_size), "Q4_K_M"]
    objects = [json.loads(line) for line in run("models", "list", "--json").out.splitlines()]
    assert [item["name"] for item in objects if item["default"]] == ["small"]
    assert objects[1]["alias_of"] == NAME
    assert objects[3]["head"] is None
    assert run("models", "path").out == os.environ["HF_HUB_CACHE"] + "\n"


def test_listing_what_is_gone(config: Path) -> None:
    config.write_text('model = "/no/such.gguf"\n[aliases]\nlost = "ann/lost"\n')
    lines = [line.split("\t") for line in run("models").out.splitlines()]
    assert [line[:2] for line in lines[1:]] == [["lost", ""], ["/no/such.gguf", ""]]


def test_showing_a_model(model: Path, hub: hub_server.Hub) -> None:
    shown = run("show", str(model)).out
    for text in ("sample", "qwen2", "2,048 tokens", "none; confidence is not known", "the file's own"):
        assert text in shown
    run("pull", NAME)
    described = run("show", NAME, "--json").json
    assert described["architecture"] == "qwen2"
    assert described["context"] == 2048
    assert described["head"]["problem"] is None
    assert described["problem"] is None
    for text in ("sample head", "calibrated    fast, vote", "Head fitted on", "1,234"):
        assert text in run("show", NAME).out


def test_showing_a_head_that_does_not_fit(model: Path) -> None:
    model.with_suffix(".mch.gguf").write_bytes(encode_head(random_head()))
    assert "refused" in run("show", str(model)).out
    assert run("show", str(model), "--json").json["problem"]
    model.with_suffix(".mch.gguf").write_bytes(b"no head")
    assert run("show", str(model), "--json").json["head"] is None


def test_showing_what_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"GGUF")
    refused_file = run("show", str(tmp_path / "x.gguf"))
    assert (refused_file.code, refused_file.out) == (65, "")
    assert run("show", str(tmp_path / "none.gguf")).code == 66
    assert run("show", str(tmp_path)).code == 65


def test_removing(hub: hub_server.Hub) -> None:
    run("pull", NAME)
    run("pull", "ann/tiny-GGUF:Q8_0")
    assert "several models" in refused(run("rm", "ann/tiny-GGUF", "--yes"), 2)
    assert "no terminal" in refused(run("rm", NAME), 2)
    removed = run("rm", NAME, "--yes")
    assert (removed.code, removed.out) == (0, "")
    assert removed.err.startswith(f"{NAME} removed, ")
    assert [line.split("\t")[0] for line in run("models").out.splitlines()][-1] == "ann/tiny-GGUF:Q8_0"
    assert run("rm", "ann/tiny-GGUF", "-y", "-q") == Result(0, "", "")
    assert "no downloaded model" in refused(run("rm", NAME, "-y"), 66)


def test_files_outside_the_cache_are_never_removed(model: Path, config: Path) -> None:
    run("alias", "mine", str(model))
    for name in (str(model), "mine"):
        assert "not in the Hugging Face cache" in refused(run("rm", name, "--yes"), 2)
    assert "part of sage" in refused(run("rm", "sage-pico", "--yes"), 2)
    assert model.exists()


def test_aliases(model: Path, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(model.parent)
    config.write_text("# mine\n")
    assert run("alias").out == ""
    assert run("alias", "small", model.name).code == 0
    assert run("alias").out == f"small\t{model}\n"
    assert run("alias", "small").out == f"{model}\n"
    monkeypatch.chdir("/")
    assert opened("-m", "small") == str(model)
    assert run("alias", "--remove", "small").code == 0
    assert run("alias").out == ""
    assert config.read_text().startswith("# mine\n")


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["--remove"], 2),
        (["--remove", "none"], 66),
        (["--remove", "none", "x"], 2),
        (["none"], 66),
        (["a/b", "sage-pico"], 2),
        (["sage-pico", "sage-pico"], 2),
        (["x", "no-such-model"], 66),
        (["x", "/no/such.gguf"], 66),
    ],
)
def test_aliases_that_cannot_be(config: Path, args: list[str], code: int) -> None:
    refused(run("alias", *args), code)
    assert config.read_text() == ""


def test_the_default_model(model: Path, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("models", "default").out == "sage-pico\n"
    assert opened().endswith("sage-pico.gguf")
    assert run("models", "default", str(model)).code == 0
    assert run("models", "default").out == f"{model}\n"
    assert opened() == str(model)
    refused(run("models", "default", "none"), 66)
    refused(run("models", "default", "/no/such.gguf"), 66)
    monkeypatch.setenv("SAGE_MODEL", "sage-pico")
    assert opened().endswith("sage-pico.gguf")
    assert "note: SAGE_MODEL is set" in run("models", "default", str(model)).err


def test_a_path_comes_before_an_alias(model: Path, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(model.parent)
    (model.parent / "small").write_bytes(b"")
    config.write_text('[aliases]\nsmall = "/models/other.gguf"\nbase = "/models/other.gguf"\n')
    assert opened("-m", "small") == "small"
    (model.parent / "base").mkdir()
    assert opened("-m", "base") == "/models/other.gguf"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("sage-pica", "did you mean sage-pico?"),
        ("Smal", "did you mean small?"),
        ("xyzzy", "sage models lists what there is"),
        ("bob/other:Q8_0", "sage pull bob/other:Q8_0 downloads it from the hub"),
    ],
)
def test_names_that_fit_nothing(config: Path, name: str, hint: str) -> None:
    config.write_text('[aliases]\nsmall = "/models/small.gguf"\n')
    for args in (["-m", name, "q"], ["show", name], ["head", "show", name]):
        assert f"hint: {hint}" in refused(run(*args), 66)


def test_near_names_in_the_cache(hub: hub_server.Hub) -> None:
    run("pull", NAME)
    for near in ("ann/tiny-GGUF:Q4_K_S", "tiny-gguf:q4_k_m"):
        assert f"did you mean {NAME}?" in refused(run("-m", near, "q"), 66)
