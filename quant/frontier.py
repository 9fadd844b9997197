"""What types a group of tensors may have, and the best way from the smallest file to the largest.

Pure arithmetic: nothing here opens a model.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from mch_runtime.gguf_file import GgufFile, TensorInfo
from quant.quantize import padded
from quant.types import bytes_as, fits, is_matrix

# From small to large. Those of the first row need an importance matrix; those of the last have blocks of 32.
_WITH_IMPORTANCE = ("IQ2_XS", "IQ3_XXS", "IQ3_S", "IQ4_XS", "Q4_K", "Q5_K", "Q6_K", "Q8_0")
_WITHOUT = ("Q2_K", "Q3_K", "IQ4_XS", "Q4_K", "Q5_K", "Q6_K", "Q8_0")
_NARROW = ("IQ4_NL", "Q4_1", "Q5_0", "Q5_1", "Q8_0")


@dataclass(frozen=True)
class Group:
    """Tensors of one role in neighbouring layers; they get one type."""

    name: str
    tensors: tuple[TensorInfo, ...]


@dataclass(frozen=True)
class Choice:
    """A type for a group: the bytes it then has, and the divergence measured when it alone has that type."""

    type_name: str
    n_bytes: int
    kl: float


def matrices(gguf: GgufFile) -> list[TensorInfo]:
    """The tensors that types are chosen for."""
    return [tensor for tensor in gguf.tensors if is_matrix(tensor)]


def ladder(tensor: TensorInfo, *, important: bool) -> tuple[str, ...]:
    """The types that are tried for a tensor, from small to large, all smaller than what it is.

    important: the importance of its columns is known.
    """
    names: tuple[str, ...] = _WITH_IMPORTANCE if important else _WITHOUT
    if not fits(tensor, names[0]):
        names = _NARROW
    return tuple(
        name for name in names if fits(tensor, name) and bytes_as(tensor, name) < tensor.n_bytes
    ) or (tensor.type,)


def thinned(steps: Sequence[str], most: int) -> tuple[str, ...]:
    """At most so many of the types, the smallest and the largest among them."""
    if len(steps) <= most:
        return tuple(steps)
    return tuple(steps[round(i * (len(steps) - 1) / (most - 1))] for i in range(most))


def groups_of(gguf: GgufFile, *, most: int) -> list[Group]:
    """Matrices by role and band of layers, at most ``most`` groups unless there are more roles than that."""
    roles: dict[str, list[TensorInfo]] = {}
    for tensor in matrices(gguf):
        roles.setdefault(re.sub(r"^blk\.\d+\.", "", tensor.name), []).append(tensor)
    single = [tensors for tensors in roles.values() if len(tensors) == 1]
    layered = len(roles) - len(single)
    bands = max(1, (most - len(single)) // layered) if layered else 1
    return [
        Group(role if len(tensors) == 1 else f"{role} {_layer(part[0])}-{_layer(part[-1])}", part)
        for role, tensors in roles.items()
        for part in _bands(tensors, bands)
    ]


def _layer(tensor: TensorInfo) -> int:
    """The number in ``blk.N.``, 0 without one."""
    found = re.match(r"blk\.(\d+)\.", tensor.name)
    return int(found[1]) if found else 0


def _bands(tensors: Sequence[TensorInfo], bands: int) -> list[tuple[TensorInfo, ...]]:
    """In the order of layers, cut into parts of nearly equal size."""
    ordered = sorted(tensors, key=_layer)
    count = min(bands, len(ordered))
    cuts = [round(len(ordered) * i / count) for i in range(count + 1)]
    return [tuple(ordered[a:b]) for a, b in pairwise(cuts)]


def upgrades(choices: Sequence[Sequence[Choice]]) -> list[tuple[int, ...]]:
    """The way from the smallest choice of every group to the largest: an index into each group's choices.

    Every step takes the upgrade that saves the most divergence for a byte; choices that are no better than a
    smaller one, or than a mixture of their neighbours, are left out.
    """
    hulls = [hull(steps) for steps in choices]
    steps = [
        ((steps[a].kl - steps[b].kl) / (steps[b].n_bytes - steps[a].n_bytes), group, b)
        for group, steps in enumerate(choices)
        for a, b in pairwise(hulls[group])
    ]
    place = [kept[0] for kept in hulls]
    path = [tuple(place)]
    for _, group, index in sorted(steps, key=lambda step: (-step[0], step[1], step[2])):
        place[group] = index
        path.append(tuple(place))
    return path


def hull(steps: Sequence[Choice]) -> list[int]:
    """Indices of the lower convex hull over bytes, in the order of bytes."""
    kept: list[int] = []
    for index in sorted(range(len(steps)), key=lambda i: (steps[i].n_bytes, steps[i].kl)):
        one = steps[index]
        if kept and one.kl >= steps[kept[-1]].kl:
            continue
        while len(kept) > 1 and _above(steps[kept[-2]], steps[kept[-1]], one):
            kept.pop()
        kept.append(index)
    return kept


def _above(first: Choice, middle: Choice, last: Choice) -> bool:
    """Whether ``middle`` is on or above the line between its neighbours."""
    across = (middle.kl - first.kl) * (last.n_bytes - first.n_bytes)
    return across >= (last.kl - first.kl) * (middle.n_bytes - first.n_bytes)


def last_that_fits(choices: Sequence[Sequence[Choice]], path: Sequence[tuple[int, ...]], room: int) -> int:
    """The last place of the way whose choices have at most ``room`` bytes; the first if none has."""
    fitting = [i for i, place in enumerate(path) if size_at(choices, place) <= room]
    return fitting[-1] if fitting else 0


def filled(choices: Sequence[Sequence[Choice]], place: Sequence[int], room: int) -> tuple[int, ...]:
    """The place with what is left of ``room`` used up, upgrade by upgrade, by those that still fit."""
    full = list(place)
    while True:
        left = room - size_at(choices, full)
        fitting = [
            (saved / grown, group, index)
            for group, steps in enumerate(choices)
            for index in hull(steps)
            if (saved := steps[full[group]].kl - steps[index].kl) > 0
            and 0 < (grown := steps[index].n_bytes - steps[full[group]].n_bytes) <= left
        ]
        if not fitting:
            return tuple(full)
        _, group, index = max(fitting)
        full[group] = index


def size_at(choices: Sequence[Sequence[Choice]], place: Sequence[int]) -> int:
    """Bytes of all groups at a place of the way."""
    return sum(steps[index].n_bytes for steps, index in zip(choices, place, strict=True))


def group_bytes(group: Group, type_name: str) -> int:
    return sum(padded(bytes_as(tensor, type_name)) for tensor in group.tensors)
