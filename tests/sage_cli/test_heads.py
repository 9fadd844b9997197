from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from mch_runtime.gguf.checked import open_checked
from mch_runtime.head.container import encode_head, fingerprint, write_safetensors_head
from tests.gguf_samples import write_model
from tests.head_samples import random_head
from tests.sage_cli.runner import run


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "base.gguf")


@pytest.fixture
def head(model: Path, tmp_path: Path) -> Path:
    with open_checked(model) as (fd, gguf):
        fitting = random_head(base_fingerprint=fingerprint(fd, gguf))
    path = tmp_path / "head.gguf"
    path.write_bytes(encode_head(fitting))
    return path


def words(*values: object) -> list[str]:
    return [str(value) for value in values]


def test_attach_show_verify_detach(model: Path, head: Path, tmp_path: Path) -> None:
    both, base, saved = tmp_path / "both.gguf", tmp_path / "again.gguf", tmp_path / "saved.gguf"
    attached = run(*words("head", "attach", model, head, "-o", both))
    assert (attached.code, attached.out) == (0, "")
    assert attached.err == f"{both}: head attached\n"

    shown = run(*words("head", "show", both))
    assert shown.code == 0
    for text in (
        "sample head",
        "behind the model",
        "valid, sound, answer",
        "auroc",
        "0.91",
        "1,234",
        "fits          yes",
    ):
        assert text in shown.out
    assert run(*words("head", "verify", both)).out == f"{both}: the head sample head is whole and fits\n"

    assert run(*words("head", "detach", both, "-o", base, "--save-head", saved)).code == 0
    assert base.read_bytes() == model.read_bytes()
    assert saved.read_bytes() == head.read_bytes()


def test_show_as_json(model: Path, head: Path) -> None:
    shown = run(*words("head", "show", model, "--head", head, "--json"))
    assert shown.out.count("\n") == 1
    assert shown.json["name"] == "sample head"
    assert shown.json["place"] == "file"
    assert shown.json["problem"] is None
    assert shown.json["base"]["fingerprint"] == shown.json["base"]["model_fingerprint"]
    assert shown.json["provenance"] == {"data": "sums", "steps": 1234, "auroc": 0.91}


def test_in_place(model: Path, head: Path) -> None:
    before = model.read_bytes()
    assert run(*words("head", "attach", model, head, "--in-place")).code == 0
    assert run(*words("head", "verify", model)).code == 0
    damaged = bytearray(model.read_bytes())
    damaged[-100] ^= 1
    model.write_bytes(damaged)
    assert run(*words("head", "verify", model)).code == 65
    assert run(*words("head", "detach", model, "--in-place")).code == 0
    assert model.read_bytes() == before


def test_safetensors_heads(model: Path, tmp_path: Path) -> None:
    with open_checked(model) as (fd, gguf):
        fitting = random_head(base_fingerprint=fingerprint(fd, gguf))
    write_safetensors_head(fitting, tmp_path / "head.safetensors")
    assert (
        run(*words("head", "attach", model, tmp_path / "head.safetensors", "-o", tmp_path / "x.gguf")).code
        == 0
    )


def test_a_head_for_another_model(model: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.gguf"
    wrong.write_bytes(encode_head(random_head()))
    out = tmp_path / "out.gguf"
    refused = run(*words("head", "attach", model, wrong, "-o", out))
    assert refused.code == 65
    assert not out.exists()
    assert run(*words("head", "attach", model, wrong, "-o", out, "--force-head")).code == 0
    assert run(*words("head", "verify", out)).code == 65
    assert "fits          no: " in run(*words("head", "show", out)).out
    assert run(*words("head", "show", out, "--json")).json["problem"]


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["show", "MODEL"], 65),
        (["verify", "MODEL"], 65),
        (["detach", "MODEL", "--in-place"], 65),
        (["detach", "MODEL"], 2),
        (["detach", "MODEL", "-o", "x.gguf", "--in-place"], 2),
        (["attach", "MODEL", "HEAD"], 2),
        (["attach", "MODEL", "HEAD", "-o", "MODEL"], 2),
        (["attach", "MODEL", "MODEL", "-o", "x.gguf"], 65),
        (["attach", "HEAD", "HEAD", "-o", "x.gguf"], 65),
        (["attach", "MODEL", "none.gguf", "-o", "x.gguf"], 66),
        (["show", "none.gguf"], 66),
        (["show", "."], 65),
        (["attach", "MODEL", "HEAD", "-o", "no/such/folder/x.gguf"], 74),
    ],
)
def test_what_cannot_be_done(
    args: list[str], code: int, model: Path, head: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("head", *[{"MODEL": str(model), "HEAD": str(head)}.get(arg, arg) for arg in args])
    assert result.code == code
    assert result.out == ""
    assert result.err.startswith("sage: ")
    assert len(result.err.splitlines()) <= 2
    assert not (tmp_path / "x.gguf").exists()


def test_head_and_model_do_not_go_to_one_file(model: Path, head: Path, tmp_path: Path) -> None:
    both, out = tmp_path / "both.gguf", tmp_path / "out.gguf"
    run(*words("head", "attach", model, head, "-o", both))
    result = run(*words("head", "detach", both, "-o", out, "--save-head", tmp_path / "." / "out.gguf"))
    assert result.code == 2
    assert not out.exists()


def test_files_get_the_permissions_the_user_wants(model: Path, head: Path, tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        run(*words("head", "attach", model, head, "-o", tmp_path / "x.gguf"))
        run(
            *words(
                "head",
                "detach",
                tmp_path / "x.gguf",
                "-o",
                tmp_path / "y.gguf",
                "--save-head",
                tmp_path / "h",
            )
        )
    finally:
        os.umask(old)
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("x.gguf", "y.gguf", "h")}
    assert modes == {0o640}


def test_metadata_is_shown_and_not_obeyed(model: Path, tmp_path: Path) -> None:
    import dataclasses

    hostile = random_head()
    hostile = dataclasses.replace(
        hostile, spec=dataclasses.replace(hostile.spec, name="a\x1b[2Jb", provenance={"data": "\u202ez"})
    )
    path = tmp_path / "head.gguf"
    path.write_bytes(encode_head(hostile))
    shown = run(*words("head", "show", model, "--head", path)).out
    assert "a\\x1b[2Jb" in shown
    assert "\\u202ez" in shown
    assert "\x1b" not in shown
