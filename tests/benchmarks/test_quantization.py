from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import quantization
from benchmarks.divergence import divergence
from sage_cli.assets import DEFAULT_MODEL


def test_divergence_is_the_mean_over_tokens() -> None:
    half, most = np.log([[0.5, 0.5]]), np.log([[0.9, 0.1]])
    rng = np.random.default_rng(0)
    expected = 0.5 * np.log(0.5 / 0.9) + 0.5 * np.log(0.5 / 0.1)
    found = divergence([half, np.concatenate([half, half])], [most, np.concatenate([half, most])], rng=rng)
    assert found.value == pytest.approx(2 / 3 * expected)
    assert divergence([half, most], [half, most], rng=rng).high == 0.0


def test_the_command_compares_types(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    command = ["--base", str(DEFAULT_MODEL), "--types", "F16", "Q4_0", "--problems", "4"]
    command += ["--chain-problems", "6", "--texts", "5", "--records", str(tmp_path)]
    quantization.main(command)
    results = json.loads((tmp_path / "quantization.json").read_text())["results"]
    types = results["types"]
    assert (results["source"], list(types)) == ("Q8_0", ["Q8_0", "F16", "Q4_0"])
    assert types["Q4_0"]["bytes"] < types["Q8_0"]["bytes"] < types["F16"]["bytes"]
    assert types["Q8_0"]["kl"]["value"] == 0.0 < types["Q4_0"]["kl"]["value"] < 0.5
    assert types["F16"]["difference"]["all"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert types["Q4_0"]["cosine"] < types["F16"]["cosine"]
    assert "Types of quantization" in capsys.readouterr().out
