from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def samples() -> ModuleType:
    """tests.hf_samples, where torch and transformers are installed."""
    pytest.importorskip("torch").set_num_threads(1)
    pytest.importorskip("transformers")
    from tests import hf_samples

    return hf_samples


@pytest.fixture(scope="session")
def tied(samples: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint in one file, tied, as Qwen2.5 is published."""
    return samples.save(tmp_path_factory.mktemp("tied"), samples.random_model(samples.config()))


@pytest.fixture(scope="session")
def sharded(samples: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same weights in shards, as transformers 5 saves them."""
    folder = tmp_path_factory.mktemp("sharded")
    model = samples.random_model(samples.config())
    return samples.save(folder, model, shard_size="700KB", form="transformers")


@pytest.fixture(scope="session")
def _tiny(samples: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    small = samples.config(tied=False, hidden_size=64, intermediate_size=96, num_hidden_layers=1)
    return samples.save(tmp_path_factory.mktemp("tiny"), samples.random_model(small))


@pytest.fixture
def tiny(_tiny: Path, tmp_path: Path) -> Path:
    """A small untied checkpoint of the test's own, to be damaged."""
    return Path(shutil.copytree(_tiny, tmp_path / "tiny"))


@pytest.fixture
def tiny_shards(samples: ModuleType, tmp_path: Path) -> Path:
    """A small checkpoint in shards, to be damaged."""
    small = samples.config(hidden_size=64, intermediate_size=96, num_hidden_layers=1)
    return samples.save(tmp_path / "shards", samples.random_model(small), shard_size="100KB")


@pytest.fixture
def edit() -> Callable[[Path, Callable[[dict], object]], None]:
    """Change a JSON file in place."""
    import json

    def change(path: Path, how: Callable[[dict], object]) -> None:
        values = json.loads(path.read_text(encoding="utf-8"))
        how(values)
        path.write_text(json.dumps(values), encoding="utf-8")

    return change
