"""Rotary positions: what config.json says about them, and how a GGUF says it.

llama.cpp stretches positions in three of transformers' ways: linear, YaRN, and Llama 3's, which is a
factor for every frequency, stored as a tensor. The others are refused.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from convert.json_file import JsonObject
from mch_runtime.errors import DataError

SECTIONS = ("rope_parameters", "rope_scaling")  # transformers 5 writes the first, older ones the second
_KNOWN = frozenset(
    {"rope_type", "type", "rope_theta", "factor", "original_max_position_embeddings", "partial_rotary_factor"}
    | {"low_freq_factor", "high_freq_factor", "attention_factor", "beta_fast", "beta_slow", "mscale"}
    | {"mscale_all_dim", "truncate"}
)
_MAX_CONTEXT = (1 << 31) - 1


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """A linear or YaRN stretch of positions by ``factor``. The rest is YaRN's.

    original_context: tokens the model was first trained on. attention_ratio: the attention factor divided
    by YaRN's usual one, 1 + ln(factor) / 10.
    """

    kind: Literal["linear", "yarn"]
    factor: float
    original_context: int = 0
    attention_ratio: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Rope:
    """theta: the base of the frequencies; divisors: (head_dim / 2,) Llama 3's, one for each frequency."""

    theta: float
    stretch: Stretch | None = None
    divisors: NDArray[np.float32] | None = None


def read_rope(config: JsonObject, *, head_dim: int, context: int) -> Rope:
    """The rotary positions of a config.json. Raises DataError for a kind that llama.cpp does not have."""
    section = _section(config)
    theta = _place_of("rope_theta", section, config).number("rope_theta", high=1e30, default=10_000.0)
    if (
        _place_of("partial_rotary_factor", section, config).number(
            "partial_rotary_factor", high=1, default=1.0
        )
        != 1
    ):
        raise _unsupported(section, "a rotary part smaller than a head")
    kind = section.text("rope_type") or section.text("type") or "default"
    if kind == "default":
        return Rope(theta=theta)
    factor = section.number("factor", high=1e6)
    if factor < 1:
        raise section.error("factor", "a number from 1 to 1000000")
    original = _place_of("original_max_position_embeddings", config, section).integer(
        "original_max_position_embeddings", low=1, high=_MAX_CONTEXT, default=context
    )
    if kind == "linear":
        return Rope(theta=theta, stretch=Stretch(kind="linear", factor=factor))
    if kind == "yarn":
        return Rope(theta=theta, stretch=_yarn(section, factor, original))
    if kind == "llama3":
        return Rope(theta=theta, divisors=_llama3(section, theta, head_dim, factor, original))
    raise _unsupported(section, f"type {kind}")


def _section(config: JsonObject) -> JsonObject:
    """Where the settings are, an empty section if they are nowhere."""
    found = [section for key in SECTIONS if (section := config.section(key)) is not None]
    section = found[0] if found else JsonObject(f"{config.where}: rope_scaling", {})
    if unknown := [key for key in section.values if key not in _KNOWN]:
        raise _unsupported(section, f"the setting {unknown[0]}")
    return section


def _place_of(key: str, first: JsonObject, second: JsonObject) -> JsonObject:
    return first if first.values.get(key) is not None else second


def _yarn(section: JsonObject, factor: float, original: int) -> Stretch:
    if not section.flag("truncate", default=True):
        raise _unsupported(section, "YaRN without truncation")
    for key, fixed in (("beta_fast", 32), ("beta_slow", 1)):
        if section.number(key, high=1e6, default=fixed) != fixed:
            raise _unsupported(section, f"YaRN with a {key} other than {fixed}")
    usual = _magnitude(factor, 1.0)
    scales = [section.number(key, high=1e6, default=0.0) for key in ("mscale", "mscale_all_dim")]
    inferred = _magnitude(factor, scales[0]) / _magnitude(factor, scales[1]) if all(scales) else usual
    return Stretch(
        kind="yarn",
        factor=factor,
        original_context=original,
        attention_ratio=section.number("attention_factor", high=1e6, default=inferred) / usual,
    )


def _magnitude(factor: float, scale: float) -> float:
    return 0.1 * scale * math.log(factor) + 1.0


def _llama3(
    section: JsonObject, theta: float, head_dim: int, factor: float, original: int
) -> NDArray[np.float32]:
    """What each frequency is divided by: 1 for short waves, ``factor`` for long ones, smooth between.

    In float32 throughout, as llama.cpp's converter computes it.
    """
    low = section.number("low_freq_factor", high=1e6)
    high = section.number("high_freq_factor", high=1e6)
    if high <= low:
        raise section.error("high_freq_factor", "a number above low_freq_factor")
    one = np.float32(1)
    exponents = np.arange(0, head_dim, 2, dtype=np.float32) / np.float32(head_dim)
    wave = np.float32(2 * math.pi) / (one / np.float32(theta) ** exponents)
    share = (np.float32(original) / wave - np.float32(low)) / np.float32(high - low)
    smooth = one / ((one - share) / np.float32(factor) + share)
    divisors = np.where(
        wave < original / high, one, np.where(wave > original / low, np.float32(factor), smooth)
    )
    return divisors.astype(np.float32)


def _unsupported(section: JsonObject, what: str) -> DataError:
    return DataError(
        f"{section.where}: {what} is not supported",
        hint="llama.cpp would compute something else; default, linear, yarn and llama3 can be converted",
    )
