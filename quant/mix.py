"""Types chosen tensor by tensor: the smallest file of a divergence, or the best one of a size.

Each group of tensors is quantized alone to each type, and the divergence that this causes is measured. The
divergences of groups nearly add up, so the best choice for a size is nearly the one that always takes the
upgrade with the most divergence saved for a byte. What comes out is measured as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mch_runtime.errors import UsageError
from mch_runtime.gguf_file import GgufFile, TensorInfo
from mch_runtime.llama.abi import QuantizeSettings
from mch_runtime.session import Interrupt
from quant.frontier import (
    Choice,
    Group,
    filled,
    group_bytes,
    groups_of,
    ladder,
    last_that_fits,
    matrices,
    thinned,
    upgrades,
)
from quant.importance import ImportanceMatrix, check_fits
from quant.measure import Measure
from quant.quantize import HEAD_ALIGNMENT, PlannedTensor, Source, file_bytes, open_source, padded, planned
from quant.sensitivity import Ruler
from quant.texts import Text
from quant.types import NEED_IMPORTANCE, NUMBERS, Override, bytes_as, is_matrix

MEASUREMENTS = 160
_RIVALS = 2

# The recipe that a file says it is of, by the type that most of its bytes have.
_RECIPES = {"Q2_K": "Q2_K", "Q3_K": "Q3_K_M", "Q4_K": "Q4_K_M", "Q5_K": "Q5_K_M"}
_COMPARED: tuple[str, ...] = (
    "Q8_0",
    "Q6_K",
    "Q5_K_M",
    "Q5_K_S",
    "Q4_K_M",
    "Q4_K_S",
    "IQ4_XS",
    "Q3_K_L",
    "Q3_K_M",
    "IQ3_M",
)
_COMPARED += ("IQ3_S", "Q3_K_S", "IQ3_XS", "IQ3_XXS", "Q2_K", "IQ2_M", "IQ2_S", "IQ2_XS")

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Goal:
    """Either the most bytes of the whole file, or the most divergence, nats per token."""

    most_bytes: int | None = None
    most_kl: float | None = None


@dataclass(frozen=True, kw_only=True)
class Mix:
    """What was chosen. types: of every matrix; kl: measured of the whole on the text; predicted_kl: the sum of
    the groups'; recipe: llama.cpp's own that is no worse and no larger, "" where the choice is ours.
    """

    types: Mapping[str, str]
    base_type: str
    file_bytes: int
    kl: Measure
    predicted_kl: float
    measurements: int
    recipe: str = ""
    groups: tuple[tuple[str, str, float], ...] = ()

    @property
    def overrides(self) -> tuple[Override, ...]:
        """For :func:`quant.quantize.quantize`."""
        return tuple(Override(f"^{re.escape(name)}$", kind) for name, kind in self.types.items())


def find_mix(source: Path, goal: Goal, **settings: Any) -> Mix:
    """Choose types for one goal. settings, and errors: those of :func:`find_mixes`."""
    return find_mixes(source, [goal], **settings)[0]


def find_mixes(
    source: Path,
    goals: Sequence[Goal],
    *,
    text: Text | None = None,
    importance: ImportanceMatrix | None = None,
    threads: int | None = None,
    allow_requantize: bool = False,
    measurements: int = MEASUREMENTS,
    folder: Path | None = None,
    interrupt: Interrupt | None = None,
    progress: Progress = lambda _done, _total: None,
) -> list[Mix]:
    """Choose types for each goal, measured on ``text`` (the bundled one if None).

    measurements: of groups, at most so many; a few are made for each goal at the end. folder: where trial files
    go, as large as the source. progress: measurements done and in all. Raises UsageError for a goal that cannot be
    reached, and what quantizing and loading a model raise.
    """
    with open_source(source, allow_requantize=allow_requantize) as opened:
        if importance is not None:
            check_fits(importance, opened.gguf, model=source)
        search = _Search(opened, importance, measurements, progress)
        for goal in goals:
            search.check_reachable(goal)
        with (
            TemporaryDirectory(prefix=".sage-mix-", dir=folder) as name,
            closing(Ruler(opened, Path(name), text, importance, threads, interrupt or Interrupt())) as ruler,
        ):
            search.measure(ruler)
            return [search.mix(goal, ruler) for goal in goals]


class _Search:
    """Groups, their choices, and the way from the smallest file to the largest."""

    def __init__(
        self,
        source: Source,
        importance: ImportanceMatrix | None,
        measurements: int,
        progress: Progress,
    ) -> None:
        self._source, self._progress = source, progress
        self._choices: list[list[Choice]] = []
        self._importance = importance
        ladders = {t.name: ladder(t, important=self._important(t)) for t in matrices(source.gguf)}
        most = max(1, measurements // max(map(len, ladders.values())))
        self._groups = groups_of(source.gguf, most=most)
        each = max(2, measurements // len(self._groups))
        self._ladders = [thinned(ladders[group.tensors[0].name], each) for group in self._groups]
        self._total = sum(map(len, self._ladders))
        self._done = 0

    def _important(self, tensor: TensorInfo) -> bool:
        return self._importance is not None and tensor.name in self._importance.sums

    def check_reachable(self, goal: Goal) -> None:
        """Before anything is measured."""
        most = goal.most_bytes
        if most is None:
            return
        smallest = self._bytes([steps[0] for steps in self._ladders])
        if most < smallest:
            hint = "" if self._importance else "; an importance matrix (--imatrix) allows smaller types"
            raise UsageError(
                f"the model cannot be made as small as {most:,} bytes",
                hint=f"{smallest:,} bytes is the least{hint}",
            )
        if most >= self._source.size:
            raise UsageError(f"the model has {self._source.size:,} bytes already", hint="give a smaller size")

    def measure(self, ruler: Ruler) -> None:
        """Every group alone in every type."""
        self._choices = [
            self._measured(group, steps, ruler)
            for group, steps in zip(self._groups, self._ladders, strict=True)
        ]

    def mix(self, goal: Goal, ruler: Ruler) -> Mix:
        """The best choice for a goal, measured as a whole."""
        path = upgrades(self._choices)
        if goal.most_kl is not None:
            return self._smallest_within(goal.most_kl, path, ruler)
        assert goal.most_bytes is not None
        room = goal.most_bytes - self._fixed()
        place = path[last_that_fits(self._choices, path, room)]
        mix = self._mix(filled(self._choices, place, room), ruler)
        return self._better_of(mix, goal.most_bytes, ruler)

    def _measured(self, group: Group, steps: Sequence[str], ruler: Ruler) -> list[Choice]:
        """A choice for each type, the source's own, which loses nothing, last."""
        found = []
        for type_name in steps:
            kl = ruler.divergence(self._types([(group, type_name)])).value
            found.append(Choice(type_name, group_bytes(group, type_name), kl))
            self._tick()
        return [*found, Choice("", sum(padded(t.n_bytes) for t in group.tensors), 0.0)]

    def _tick(self) -> None:
        self._done += 1
        self._progress(self._done, max(self._done, self._total))

    def _smallest_within(self, most_kl: float, path: Sequence[tuple[int, ...]], ruler: Ruler) -> Mix:
        """Halve the way until the first place whose measured divergence is small enough."""
        low, high, best = 0, len(path) - 1, None
        while low < high:
            middle = (low + high) // 2
            mix = self._mix(path[middle], ruler)
            if mix.kl.value <= most_kl:
                high, best = middle, mix
            else:
                low = middle + 1
        return best if best is not None else self._mix(path[high], ruler)

    def _mix(self, place: tuple[int, ...], ruler: Ruler) -> Mix:
        taken = [steps[index] for steps, index in zip(self._choices, place, strict=True)]
        types = self._types(
            (group, one.type_name) for group, one in zip(self._groups, taken, strict=True) if one.type_name
        )
        kl = ruler.divergence(types)
        self._tick()
        return Mix(
            types=types,
            base_type=_base_type(self._source.gguf, types),
            file_bytes=self._fixed() + sum(one.n_bytes for one in taken),
            kl=kl,
            predicted_kl=sum(one.kl for one in taken),
            measurements=self._done,
            groups=tuple(
                (group.name, one.type_name or group.tensors[0].type, one.kl)
                for group, one in zip(self._groups, taken, strict=True)
            ),
        )

    def _better_of(self, mix: Mix, most_bytes: int, ruler: Ruler) -> Mix:
        """The mix, or one of llama.cpp's own recipes if that fits too and is better."""
        best = mix
        for recipe, tensors in self._recipes(most_bytes)[:_RIVALS]:
            types = {one.name: one.after for one in tensors if one.name in mix.types}
            kl = ruler.divergence(types)
            self._tick()
            if kl.value < best.kl.value:
                best = Mix(
                    types=types,
                    base_type=recipe,
                    file_bytes=file_bytes(self._source, tensors),
                    kl=kl,
                    predicted_kl=mix.predicted_kl,
                    measurements=self._done,
                    recipe=recipe,
                )
        return replace(best, measurements=self._done)

    def _recipes(self, most: int) -> list[tuple[str, tuple[PlannedTensor, ...]]]:
        """llama.cpp's recipes that fit, the largest first."""
        found = []
        for recipe in _COMPARED:
            if recipe in NEED_IMPORTANCE and self._importance is None:
                continue
            importance = self._importance.means() if self._importance is not None else None
            settings = QuantizeSettings(type_name=recipe, allow_requantize=True, importance=importance)
            tensors = planned(self._source, settings)
            size = file_bytes(self._source, tensors)
            if size <= most:
                found.append((size, recipe, tensors))
        return [(recipe, tensors) for _, recipe, tensors in sorted(found, reverse=True)]

    def _types(self, changed: Iterable[tuple[Group, str]]) -> dict[str, str]:
        """Every matrix's type: its own but for the groups that are changed."""
        types = {tensor.name: tensor.type for tensor in matrices(self._source.gguf)}
        for group, type_name in changed:
            types |= dict.fromkeys((tensor.name for tensor in group.tensors), type_name)
        return types

    def _fixed(self) -> int:
        """Bytes of the file that no choice changes, at most."""
        kept = [
            PlannedTensor(
                name=t.name, shape=t.shape, before=t.type, after=t.type, before_bytes=0, after_bytes=t.n_bytes
            )
            for t in self._source.gguf.tensors
            if not is_matrix(t)
        ]
        slack = HEAD_ALIGNMENT if self._source.head_bytes else 0
        return file_bytes(self._source, kept) + slack

    def _bytes(self, types: Sequence[str]) -> int:
        return self._fixed() + sum(group_bytes(g, kind) for g, kind in zip(self._groups, types, strict=True))


def _base_type(gguf: GgufFile, types: Mapping[str, str]) -> str:
    """What the file calls itself: the recipe of the type that most weights have, quantized in any case."""
    weights: dict[str, int] = {}
    for tensor in matrices(gguf):
        kind = types[tensor.name]
        weights[kind] = weights.get(kind, 0) + bytes_as(tensor, "I8")
    order = sorted(weights, key=lambda kind: -weights[kind])
    quantized = [kind for kind in order if kind not in ("F32", "F16", "BF16")]
    kind = quantized[0] if quantized else "Q8_0"
    assert kind in NUMBERS
    return _RECIPES.get(kind, kind)
