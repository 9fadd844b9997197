"""A reader of heads written from ``docs/head-format.md`` alone: numpy, the standard library, nothing of sage.

It finds the head behind a base, checks it, reads it and runs it. It is short rather than fast or forgiving.
"""

from __future__ import annotations

import hashlib
import math
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

# GGUF's types of values, in the order of their numbers; string and array are read otherwise.
_VALUES = ["B", "b", "H", "h", "I", "i", "f", "?", None, None, "Q", "q", "d"]
_STRING, _ARRAY = 8, 9
_TENSORS = {0: "<f4", 1: "<f2"}


class Gguf:
    """metadata: key to value; shapes and tensors by name, outermost dimension first."""

    def __init__(self, data: bytes, *, with_tensors: bool = True) -> None:
        self._data, self._at = data, 4
        assert data[:4] == b"GGUF"
        version, n_tensors, n_keys = self._take("I"), self._take("Q"), self._take("Q")
        assert version in (2, 3)
        self.metadata = {self._string(): self._value(self._take("I")) for _ in range(n_keys)}
        alignment = self.metadata.get("general.alignment", 32)
        table = [self._entry() for _ in range(n_tensors)]
        start = -(-self._at // alignment) * alignment
        self.shapes = {name: shape for name, shape, _, _ in table}
        self.tensors: dict[str, np.ndarray] = {}
        self.end = start
        for name, shape, kind, offset in table if with_tensors else []:
            raw = np.frombuffer(data, _TENSORS[kind], math.prod(shape), start + offset)
            self.tensors[name] = raw.astype(np.float32).reshape(shape)
            assert np.isfinite(self.tensors[name]).all()
            self.end = start + offset + raw.nbytes

    def _take(self, code: str) -> Any:
        (value,) = struct.unpack_from(f"<{code}", self._data, self._at)
        self._at += struct.calcsize(code)
        return value

    def _string(self) -> str:
        length = self._take("Q")
        self._at += length
        return self._data[self._at - length : self._at].decode()

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._string()
        if kind == _ARRAY:
            item, count = self._take("I"), self._take("Q")
            return [self._value(item) for _ in range(count)]
        code = _VALUES[kind]
        assert code is not None
        return self._take(code)

    def _entry(self) -> tuple[str, tuple[int, ...], int, int]:
        name, count = self._string(), self._take("I")
        stored = [self._take("Q") for _ in range(count)]
        return name, tuple(reversed(stored)), self._take("I"), self._take("Q")


def head_behind(path: Path) -> bytes:
    """The bytes of the head behind a base, its footer checked."""
    data = path.read_bytes()
    footer = data[-64:]
    magic, base, length, digest, checksum, zero = struct.unpack("<8sQQ32sII", footer)
    assert (magic, zero) == (b"SAGEMCH1", 0)
    assert zlib.crc32(footer[:56]) == checksum
    begins = -(-base // 4096) * 4096
    assert begins + length + 64 == len(data)
    assert not any(data[base:begins])
    head = data[begins : begins + length]
    assert hashlib.sha256(head).digest() == digest
    return head


def fingerprint(data: bytes, norm: np.ndarray | None) -> str:
    """Of the base that ``data`` begins with; norm: the values of ``output_norm.weight``."""
    gguf = Gguf(data, with_tensors=False)

    def u64(number: int) -> bytes:
        return struct.pack("<Q", number)

    def text(raw: bytes) -> bytes:
        return u64(len(raw)) + raw

    shapes = sorted((name.encode(), shape) for name, shape in gguf.shapes.items())
    parts = [text(b"sage-base-fingerprint-1"), u64(len(shapes))]
    for name, shape in shapes:
        parts += [text(name), u64(len(shape)), *map(u64, shape)]
    parts.append(text(b"" if norm is None else norm.astype("<f4").tobytes()))
    tokens = gguf.metadata.get("tokenizer.ggml.tokens", [])
    parts += [u64(len(tokens)), *(text(token.encode()) for token in tokens)]
    return hashlib.sha256(b"".join(parts)).hexdigest()


class Head:
    """A head that can be run."""

    def __init__(self, data: bytes) -> None:
        gguf = Gguf(data)
        self.meta, self._w = gguf.metadata, gguf.tensors
        assert self.meta["general.architecture"] == "mch"
        assert self.meta["mch.format_version"] == 1
        assert not any(data[gguf.end :])
        d, p = self.meta["mch.embedding_length"], self.meta["mch.width"]
        k, n_s = len(self.meta["mch.confidence.channels"]), len(self.meta["mch.statistics"])
        square = {f"mch.attn_{part}.weight": (p, p) for part in ("q", "k", "v", "out")}
        assert {name: tensor.shape for name, tensor in self._w.items()} == square | {
            "mch.in_norm.weight": (d,),
            "mch.in.weight": (p, d),
            "mch.in.bias": (p,),
            "mch.stat.weight": (p, n_s),
            "mch.out_norm.weight": (p,),
            "mch.confidence.weight": (k, p),
            "mch.confidence.bias": (k,),
        }

    def run(
        self, states: np.ndarray, features: np.ndarray, ends: Sequence[int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Raw and calibrated channels (steps, K), of states (T, d) and features (T, n_s)."""
        w, heads = self._w, self.meta["mch.attention.head_count"]
        size = self.meta["mch.width"] // heads
        x = self._norm(states, "mch.in_norm.weight") @ w["mch.in.weight"].T
        x = x + features @ w["mch.stat.weight"].T + w["mch.in.bias"]
        q, k, v = (
            (x @ w[f"mch.attn_{part}.weight"].T).reshape(len(x), heads, size) for part in ("q", "k", "v")
        )
        q, k = self._rotated(q), self._rotated(k)
        logits = []
        for end in ends:
            scores = np.einsum("hm,ihm->hi", q[end], k[: end + 1]) / math.sqrt(size)
            shares = np.exp(scores - scores.max(axis=1, keepdims=True))
            shares /= shares.sum(axis=1, keepdims=True)
            mixed = np.einsum("hi,ihm->hm", shares, v[: end + 1]).reshape(-1)
            z = self._norm(x[end] + w["mch.attn_out.weight"] @ mixed, "mch.out_norm.weight")
            logits.append(w["mch.confidence.weight"] @ z + w["mch.confidence.bias"])
        raw = np.array(logits)
        told = [self._told(*row) for row in zip(raw, features[list(ends)], strict=True)]
        return raw, np.array([self._channels(row, ended=k == len(told) - 1) for k, row in enumerate(told)])

    def fast(self, logits: np.ndarray, features: np.ndarray) -> float:
        """P(the answer is right) of a single greedy chain, by the raw channels and features at its end."""
        return self._calibrated("fast", self._told(logits, features))

    def _told(self, logits: np.ndarray, features: np.ndarray) -> dict[str, float]:
        """What calibrators may ask for."""
        told = dict(zip(self.meta["mch.statistics"], map(float, features), strict=True))
        for name, logit in zip(self.meta["mch.confidence.channels"], map(float, logits), strict=True):
            told[f"{name}_logit"] = logit
            told |= {f"{name}_logit_above_{knot}": max(0.0, logit - knot) for knot in range(5)}
        return told

    def _channels(self, told: dict[str, float], *, ended: bool) -> list[float]:
        found = []
        for k, name in enumerate(self.meta["mch.confidence.channels"]):
            owns = [f"{name}_at_end", name] if ended else [name]
            own = next((one for one in owns if f"mch.calibration.{one}.bias" in self.meta), None)
            scale, bias = (self.meta[f"mch.confidence.platt_{part}"][k] for part in ("scale", "bias"))
            line = float(sigmoid(np.array(scale * told[f"{name}_logit"] + bias)))
            found.append(self._calibrated(own, told) if own else line)
        return found

    def _calibrated(self, name: str, told: dict[str, float]) -> float:
        names, weight, bias = (
            self.meta[f"mch.calibration.{name}.{p}"] for p in ("features", "weight", "bias")
        )
        score = bias + sum(w * told[feature] for w, feature in zip(weight, names, strict=True))
        return float(sigmoid(np.array(score)))

    def _norm(self, x: np.ndarray, name: str) -> np.ndarray:
        eps = self.meta["mch.layer_norm_rms_epsilon"]
        return x / np.sqrt(np.mean(np.square(x), axis=-1, keepdims=True) + eps) * self._w[name]

    def _rotated(self, x: np.ndarray) -> np.ndarray:
        half = x.shape[-1] // 2
        frequencies = self.meta["mch.rope.freq_base"] ** (-2.0 * np.arange(half) / x.shape[-1])
        angles = np.arange(len(x))[:, None, None] * frequencies
        first, second = x[..., :half], x[..., half:]
        cos, sin = np.cos(angles), np.sin(angles)
        return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def features(
    names: Sequence[str], tokens: Sequence[tuple[float, float, float]], ends: Sequence[int]
) -> np.ndarray:
    """(T, n_s) from (log-probability, entropy, margin) of the tokens at positions 1 and up."""
    rows = [[0.0] * len(names)]
    begins = 0  # of the step, among the tokens
    for place in range(len(tokens)):
        step, chain = tokens[begins : place + 1], tokens[: place + 1]
        rows.append([_FEATURES[name](tokens[place], step, chain) for name in names])
        if place + 1 in ends:
            begins = place + 1
    return np.array(rows)


def _x(tokens: Sequence[tuple[float, float, float]]) -> list[float]:
    return [max(logprob, -8.0) for logprob, _, _ in tokens]


def _log_surprisal(x: float) -> float:
    return math.log(0.001 - x) / 2


_FEATURES: dict[str, Any] = {
    "logprob": lambda one, _step, _chain: _x([one])[0],
    "log_surprisal": lambda one, _step, _chain: _log_surprisal(_x([one])[0]),
    "entropy": lambda one, _step, _chain: one[1],
    "margin": lambda one, _step, _chain: max(-30.0, min(30.0, one[2])),
    "step_logprob_mean": lambda _one, step, _chain: sum(_x(step)) / len(step),
    "step_logprob_min": lambda _one, step, _chain: min(_x(step)),
    "step_log_surprisal_max": lambda _one, step, _chain: _log_surprisal(min(_x(step))),
    "step_tokens_by_32": lambda _one, step, _chain: min(10.0, len(step) / 32),
    "chain_logprob_sum": lambda _one, _step, chain: max(-30.0, sum(_x(chain))),
    "chain_logprob_mean": lambda _one, _step, chain: sum(_x(chain)) / len(chain),
    "chain_logprob_min": lambda _one, _step, chain: min(_x(chain)),
    "chain_log_surprisal_max": lambda _one, _step, chain: _log_surprisal(min(_x(chain))),
    "chain_entropy_max": lambda _one, _step, chain: max(entropy for _, entropy, _ in chain),
    "chain_excess": lambda _one, _step, chain: max(
        -20.0, min(20.0, sum(_x(chain)) + sum(entropy for _, entropy, _ in chain))
    ),
    "chain_departures": lambda _one, _step, chain: min(20, sum(margin < 0 for _, _, margin in chain)),
}
