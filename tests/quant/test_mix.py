from __future__ import annotations

from itertools import pairwise, product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mch_runtime.errors import UsageError
from mch_runtime.gguf_file import open_checked
from quant.frontier import (
    Choice,
    filled,
    groups_of,
    hull,
    ladder,
    last_that_fits,
    matrices,
    size_at,
    thinned,
    upgrades,
)
from quant.mix import Goal, find_mix
from quant.quantize import quantize
from quant.texts import Text
from tests.gguf_samples import write_model

TEXT = Text(name="t", parts=("A river does not choose its bed once and for all. " * 6,), window=48)

choices = st.lists(
    st.builds(Choice, st.just("T"), st.integers(1, 50), st.integers(0, 1000).map(float)),
    min_size=1,
    max_size=5,
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("mix") / "m.gguf", n_embd=64, ffn=256, n_layer=2)


@settings(max_examples=60, deadline=None)
@given(st.lists(choices, min_size=1, max_size=4))
def test_the_way_only_grows_and_only_saves(groups: list[list[Choice]]) -> None:
    path = upgrades(groups)
    sizes = [size_at(groups, place) for place in path]
    losses = [sum(steps[i].kl for steps, i in zip(groups, place, strict=True)) for place in path]
    assert all(a < b for a, b in pairwise(sizes))
    assert all(a > b for a, b in pairwise(losses))
    assert losses[-1] == pytest.approx(sum(min(step.kl for step in steps) for steps in groups))


@settings(max_examples=60, deadline=None)
@given(st.lists(choices, min_size=1, max_size=3))
def test_no_choice_of_a_places_size_is_better(groups: list[list[Choice]]) -> None:
    """Every place of the way is the best that its bytes can buy."""
    for place in upgrades(groups):
        room = size_at(groups, place)
        loss = sum(steps[i].kl for steps, i in zip(groups, place, strict=True))
        rivals = [
            sum(step.kl for step in taken)
            for taken in product(*groups)
            if sum(step.n_bytes for step in taken) <= room
        ]
        assert loss <= min(rivals) + 1e-9


@settings(max_examples=60, deadline=None)
@given(st.lists(choices, min_size=1, max_size=4), st.integers(0, 200))
def test_what_is_left_of_the_room_is_used(groups: list[list[Choice]], more: int) -> None:
    start = upgrades(groups)[0]
    room = size_at(groups, start) + more
    place = filled(groups, start, room)
    assert size_at(groups, place) <= room
    for steps, before, after in zip(groups, start, place, strict=True):
        assert steps[after].kl <= steps[before].kl
        for index in hull(steps):
            better = steps[index].kl < steps[after].kl
            assert not (
                better and size_at(groups, place) + steps[index].n_bytes - steps[after].n_bytes <= room
            )


def test_what_fits() -> None:
    steps = [Choice("a", 10, 1.0), Choice("b", 20, 0.2), Choice("c", 40, 0.0)]
    path = upgrades([steps, steps])
    assert size_at([steps, steps], path[last_that_fits([steps, steps], path, 45)]) == 40
    assert last_that_fits([steps, steps], path, 1) == 0
    assert hull([*steps, Choice("worse", 30, 0.5)]) == [0, 1, 2]


def test_groups_are_roles_in_bands_of_layers(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.gguf", n_layer=12, tied=False)
    with open_checked(path) as (_, header):
        groups = groups_of(header, most=16)
        assert len(groups) == 2 + 7 * 2
        assert sorted(t.name for g in groups for t in g.tensors) == sorted(t.name for t in matrices(header))
        assert [g.name for g in groups if "attn_q" in g.name] == ["attn_q.weight 0-5", "attn_q.weight 6-11"]
        assert len(groups_of(header, most=1)) == 9


def test_ladders_fit_rows_and_shrink(model: Path) -> None:
    with open_checked(model) as (_, header):
        for tensor in matrices(header):
            steps = ladder(tensor, important=True)
            assert ("IQ2_XS" in steps) == (tensor.shape[-1] % 256 == 0)
            assert steps[-1] == "Q8_0"


def test_thinned() -> None:
    assert thinned("abcdefgh", 3) == ("a", "e", "h")
    assert thinned("ab", 3) == ("a", "b")


def test_the_best_of_a_size(model: Path, tmp_path: Path) -> None:
    most = 190_000
    told: list[tuple[int, int]] = []
    mix = find_mix(
        model,
        Goal(most_bytes=most),
        text=TEXT,
        threads=1,
        measurements=16,
        folder=tmp_path,
        progress=lambda *pair: told.append(pair),
    )
    assert mix.file_bytes <= most
    assert told[-1][0] == told[-1][1] == mix.measurements <= 24
    report = quantize(model, tmp_path / "o.gguf", type_name=mix.base_type, overrides=mix.overrides, threads=1)
    assert mix.file_bytes - 2048 <= report.after_bytes <= most
    assert sorted(path.name for path in tmp_path.iterdir()) == ["o.gguf"]
    larger = find_mix(model, Goal(most_kl=2 * mix.kl.value), text=TEXT, threads=1, measurements=16)
    assert larger.kl.value <= 2 * mix.kl.value


@pytest.mark.parametrize("most", [1000, 100_000_000])
def test_sizes_that_cannot_be(model: Path, most: int) -> None:
    with pytest.raises(UsageError, match=r"cannot be made as small|has .* bytes already"):
        find_mix(model, Goal(most_bytes=most), text=TEXT)
