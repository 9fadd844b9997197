"""A head's spec as a flat mapping of keys to plain values, as files hold it, and back, checked.

The keys and their types are those of ``docs/head-format.md``. A GGUF stores the mapping as its
metadata, a safetensors file as one JSON object.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import NoReturn

import numpy as np

from mch_runtime.errors import HeadError
from mch_runtime.head.spec import FORMAT_VERSION, Calibrator, Familiarity, HeadSpec, Probe

Plain = str | int | float | tuple[str, ...] | tuple[int, ...] | tuple[float, ...]

NAME = "general.name"
VERSION = "mch.format_version"
_PROVENANCE = "mch.provenance."
_CALIBRATION = re.compile(r"mch\.calibration\.([a-z][a-z0-9_]*)\.(features|weight|bias)")
_PROVENANCE_KEY = re.compile(r"mch\.provenance\.[A-Za-z0-9_.-]{1,64}")

_TYPES = {
    NAME: "string",
    VERSION: "uint32",
    "mch.base.architecture": "string",
    "mch.base.fingerprint": "string",
    "mch.base.probe.tokens": "[uint32]",
    "mch.base.probe.state": "[float32]",
    "mch.base.probe.cosine": "float32",
    "mch.embedding_length": "uint32",
    "mch.width": "uint32",
    "mch.attention.head_count": "uint32",
    "mch.rope.freq_base": "float32",
    "mch.layer_norm_rms_epsilon": "float32",
    "mch.statistics": "[string]",
    "mch.confidence.channels": "[string]",
    "mch.confidence.platt_scale": "[float32]",
    "mch.confidence.platt_bias": "[float32]",
    "mch.step.delimiter": "string",
    "mch.template": "string",
    "mch.familiarity.threshold": "float32",
    "mch.familiarity.window": "uint32",
}
_CALIBRATION_TYPES = {"features": "[string]", "weight": "[float32]", "bias": "float32"}
_PROVENANCE_TYPES = ("string", "int64", "float64")

MAX_EMBEDDING = 1 << 17
MAX_WIDTH = 1 << 13
MAX_NAMES = 64
MAX_WINDOW = 4096
LOWEST_THRESHOLD = -1000.0  # nats per token
MAX_TEXT = 1024
MAX_PROVENANCE = 256


def to_metadata(spec: HeadSpec) -> dict[str, tuple[str, Plain]]:
    """Key to (type, value), in the order of the file."""
    values: dict[str, Plain] = {
        NAME: spec.name,
        VERSION: FORMAT_VERSION,
        "mch.base.architecture": spec.base_architecture,
        "mch.base.fingerprint": spec.base_fingerprint,
        "mch.base.probe.tokens": spec.probe.token_ids,
        "mch.base.probe.state": tuple(spec.probe.state.tolist()),
        "mch.base.probe.cosine": spec.probe.cosine,
        "mch.embedding_length": spec.embedding_length,
        "mch.width": spec.width,
        "mch.attention.head_count": spec.head_count,
        "mch.rope.freq_base": spec.rope_freq_base,
        "mch.layer_norm_rms_epsilon": spec.rms_epsilon,
        "mch.statistics": spec.statistics,
        "mch.confidence.channels": spec.channels,
        "mch.confidence.platt_scale": spec.platt_scale,
        "mch.confidence.platt_bias": spec.platt_bias,
        "mch.step.delimiter": spec.step_delimiter,
        "mch.template": spec.template,
    }
    if spec.familiarity is not None:
        values |= {
            "mch.familiarity.threshold": spec.familiarity.threshold,
            "mch.familiarity.window": spec.familiarity.window,
        }
    metadata = {key: (_TYPES[key], value) for key, value in values.items()}
    for mode, calibrator in sorted(spec.calibration.items()):
        for part, kind in _CALIBRATION_TYPES.items():
            metadata[f"mch.calibration.{mode}.{part}"] = (kind, getattr(calibrator, part))
    for name, value in sorted(spec.provenance.items()):
        metadata[_PROVENANCE + name] = (_provenance_type(value), value)
    return metadata


def key_types(key: str) -> tuple[str, ...]:
    """The types that the value of a key may have, empty for a key that heads do not have."""
    if key in _TYPES:
        return (_TYPES[key],)
    calibration = _CALIBRATION.fullmatch(key)
    if calibration:
        return (_CALIBRATION_TYPES[calibration[2]],)
    return _PROVENANCE_TYPES if _PROVENANCE_KEY.fullmatch(key) else ()


def from_metadata(metadata: Mapping[str, object]) -> HeadSpec:
    """The spec that ``metadata`` holds. Raises HeadError if anything is missing, unknown or impossible."""
    unknown = [key for key in metadata if not key_types(key)]
    if unknown:
        _refuse(f"it has the unknown key {unknown[0]!r}")
    values = _Values(metadata)
    if values.integer(VERSION, 0, 2**32 - 1) != FORMAT_VERSION:
        hint = "update sage, or fit the head again"
        raise HeadError(
            f"the head has the format version {metadata[VERSION]}, not {FORMAT_VERSION}", hint=hint
        )
    embedding = values.integer("mch.embedding_length", 1, MAX_EMBEDDING)
    channels = values.names("mch.confidence.channels")
    spec = HeadSpec(
        name=values.text(NAME),
        base_architecture=values.text("mch.base.architecture"),
        base_fingerprint=values.text("mch.base.fingerprint"),
        probe=_probe(values, embedding),
        embedding_length=embedding,
        width=values.integer("mch.width", 2, MAX_WIDTH),
        head_count=values.integer("mch.attention.head_count", 1, MAX_WIDTH),
        rope_freq_base=values.number("mch.rope.freq_base", low=1.0),
        rms_epsilon=values.number("mch.layer_norm_rms_epsilon", low=1e-12, high=1.0),
        statistics=values.names("mch.statistics"),
        channels=channels,
        platt_scale=values.numbers("mch.confidence.platt_scale", len(channels)),
        platt_bias=values.numbers("mch.confidence.platt_bias", len(channels)),
        step_delimiter=values.text("mch.step.delimiter"),
        template=values.text("mch.template", empty=True),
        calibration=_calibration(values, metadata),
        familiarity=_familiarity(values, metadata),
        provenance=_provenance(metadata),
    )
    if spec.width % (2 * spec.head_count):
        _refuse(f"its width {spec.width} is not an even number for each of {spec.head_count} heads")
    return spec


def _refuse(what: str) -> NoReturn:
    raise HeadError(f"the head is not valid: {what}", hint="get the head again, or fit it again")


class _Values:
    """Typed access to untrusted values; every getter raises HeadError."""

    def __init__(self, metadata: Mapping[str, object]) -> None:
        self._metadata = metadata

    def text(self, key: str, *, empty: bool = False) -> str:
        value = self._metadata.get(key)
        if not isinstance(value, str) or len(value) > MAX_TEXT or not (value or empty):
            _refuse(f"{key} is not a short text")
        return value

    def integer(self, key: str, low: int, high: int) -> int:
        return _integer(key, self._metadata.get(key), low, high)

    def number(self, key: str, *, low: float = -math.inf, high: float = math.inf) -> float:
        value = _number(key, self._metadata.get(key))
        if not low <= value <= high:
            _refuse(f"{key} is {value:g}, outside {low:g} to {high:g}")
        return value

    def names(self, key: str) -> tuple[str, ...]:
        values = self._list(key, MAX_NAMES)
        names = tuple(name for name in values if isinstance(name, str) and 0 < len(name) <= MAX_TEXT)
        if len(names) != len(values) or len(set(names)) != len(names):
            _refuse(f"{key} is not a list of different names")
        return names

    def numbers(self, key: str, count: int) -> tuple[float, ...]:
        values = self._list(key, count)
        if len(values) != count:
            _refuse(f"{key} has {len(values)} values, not {count}")
        return tuple(_number(key, value) for value in values)

    def integers(self, key: str, most: int) -> tuple[int, ...]:
        return tuple(_integer(key, value, 0, 2**31 - 1) for value in self._list(key, most))

    def _list(self, key: str, most: int) -> list[object]:
        value = self._metadata.get(key)
        if not isinstance(value, (list, tuple)) or not 1 <= len(value) <= most:
            _refuse(f"{key} is not a list of 1 to {most} values")
        return list(value)


def _integer(key: str, value: object, low: int, high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        _refuse(f"{key} is not a whole number from {low} to {high}")
    return value


def _number(key: str, value: object) -> float:
    """A finite float32, as a Python float: the same from every kind of file."""
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not abs(value) < 3.4e38:
        _refuse(f"{key} is not a finite number")
    return float(np.float32(value))


def _probe(values: _Values, embedding: int) -> Probe:
    state = np.array(values.numbers("mch.base.probe.state", embedding), dtype=np.float32)
    if not state.any():
        _refuse("mch.base.probe.state is zero")
    return Probe(
        token_ids=values.integers("mch.base.probe.tokens", MAX_NAMES),
        state=state,
        cosine=values.number("mch.base.probe.cosine", low=-1.0, high=1.0),
    )


def _calibration(values: _Values, metadata: Mapping[str, object]) -> dict[str, Calibrator]:
    matches = [match for match in map(_CALIBRATION.fullmatch, metadata) if match]
    modes = sorted({match[1] for match in matches})
    calibration = {}
    for mode in modes:
        prefix = f"mch.calibration.{mode}"
        features = values.names(f"{prefix}.features")
        calibration[mode] = Calibrator(
            features=features,
            weight=values.numbers(f"{prefix}.weight", len(features)),
            bias=values.number(f"{prefix}.bias"),
        )
    return calibration


def _familiarity(values: _Values, metadata: Mapping[str, object]) -> Familiarity | None:
    """Both keys or neither."""
    if not any(key.startswith("mch.familiarity.") for key in metadata):
        return None
    return Familiarity(
        threshold=values.number("mch.familiarity.threshold", low=LOWEST_THRESHOLD, high=0.0),
        window=values.integer("mch.familiarity.window", 1, MAX_WINDOW),
    )


def _provenance(metadata: Mapping[str, object]) -> dict[str, str | int | float]:
    provenance: dict[str, str | int | float] = {}
    for key, value in metadata.items():
        if not key.startswith(_PROVENANCE):
            continue
        short = not isinstance(value, str) or len(value) <= MAX_TEXT
        if isinstance(value, bool) or not isinstance(value, (str, int, float)) or not short:
            _refuse(f"{key} is neither a short text nor a number")
        if not isinstance(value, str) and not abs(value) < 2**63:  # NaN is not either
            _refuse(f"{key} is not a finite number")
        provenance[key.removeprefix(_PROVENANCE)] = value
    if len(provenance) > MAX_PROVENANCE:
        _refuse(f"it has more than {MAX_PROVENANCE} provenance entries")
    return provenance


def _provenance_type(value: str | int | float) -> str:
    if isinstance(value, str):
        return "string"
    return "int64" if isinstance(value, int) else "float64"
