"""The head's forward pass in numpy, incremental over steps.

Nothing is computed between step ends: states and statistics of new tokens wait, and at a step's
end they are projected in one matrix product. Keys and values of the whole trace are kept.
The readable twin is ``reference.py``; the definitions are in ``docs/head-format.md``.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from mch_runtime.head.spec import Head
from mch_runtime.session import FloatArray


def step_logits(
    head: Head, hidden: Iterable[FloatArray], features: Iterable[FloatArray], step_ends: Iterable[int]
) -> FloatArray:
    """Raw channel logits (n, K) at each step end of a recorded trace: hidden (T, d), features (T, n_s)."""
    run, ends, found = HeadRun(head), set(step_ends), []
    for place, (state, row) in enumerate(zip(hidden, features, strict=True)):
        run.push(np.asarray(state, dtype=np.float32), row)
        if place in ends:
            found.append(run.logits())
    return np.array(found, dtype=np.float32).reshape(-1, len(head.spec.channels))


class HeadRun:
    """The head over one trace: position 0 is the last prompt token, then every generated token."""

    def __init__(self, head: Head) -> None:
        self.head = head
        spec, weights = head.spec, head.tensors
        self._heads = spec.head_count
        self._head_size = spec.width // spec.head_count
        half = np.arange(self._head_size // 2, dtype=np.float64)
        self._frequencies = spec.rope_freq_base ** (-2.0 * half / self._head_size)
        self._w = weights
        self._kv = np.concatenate([weights[f"mch.attn_{part}.weight"] for part in "kv"])
        self._waiting: list[tuple[FloatArray, FloatArray]] = []
        self._keys = np.empty((0, self._heads, self._head_size), dtype=np.float32)
        self._values = np.empty_like(self._keys)

    def push(self, hidden: FloatArray, features: FloatArray) -> None:
        """One token: hidden (d,) after reading it, features (n_s,) of the row that predicted it."""
        self._waiting.append((hidden.copy(), features))

    def logits(self) -> FloatArray:
        """Raw channel logits (K,) at the token pushed last."""
        if not self._waiting:
            raise ValueError("no token was pushed since the last step end")
        hidden = np.stack([state for state, _ in self._waiting])
        features = np.stack([feature for _, feature in self._waiting])
        self._waiting.clear()
        x = self._embed(hidden, features)
        self._extend(x)
        y = x[-1] + self._attend(x[-1]) @ self._w["mch.attn_out.weight"].T
        z = self._norm(y, self._w["mch.out_norm.weight"])
        return np.asarray(z @ self._w["mch.confidence.weight"].T + self._w["mch.confidence.bias"])

    def _norm(self, x: FloatArray, weight: FloatArray) -> FloatArray:
        scale = np.sqrt(
            np.mean(np.square(x), axis=-1, keepdims=True) + np.float32(self.head.spec.rms_epsilon)
        )
        return np.asarray(x / scale * weight)

    def _embed(self, hidden: FloatArray, features: FloatArray) -> FloatArray:
        normed = self._norm(hidden, self._w["mch.in_norm.weight"])
        projected = normed @ self._w["mch.in.weight"].T + features @ self._w["mch.stat.weight"].T
        return np.asarray(projected + self._w["mch.in.bias"])

    def _extend(self, x: FloatArray) -> None:
        """Append keys and values of new tokens (n, p)."""
        positions = np.arange(len(self._keys), len(self._keys) + len(x))
        both = (x @ self._kv.T).reshape(len(x), 2, self._heads, self._head_size)
        self._keys = np.concatenate([self._keys, self._rotate(both[:, 0], positions)])
        self._values = np.concatenate([self._values, both[:, 1]])

    def _attend(self, x: FloatArray) -> FloatArray:
        """Causal attention of the last token (p,) over the whole trace."""
        query = (self._w["mch.attn_q.weight"] @ x).reshape(1, self._heads, self._head_size)
        query = self._rotate(query, np.array([len(self._keys) - 1]))[0]
        scores = np.einsum("hk,thk->ht", query, self._keys) / np.float32(self._head_size**0.5)
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
        return np.asarray(np.einsum("ht,thk->hk", weights, self._values).reshape(-1))

    def _rotate(self, x: FloatArray, positions: np.ndarray[tuple[int], np.dtype[np.intp]]) -> FloatArray:
        """Rotary positions in halves on x (n, heads, head size)."""
        angles = positions[:, None] * self._frequencies
        cos = np.cos(angles).astype(np.float32)[:, None, :]
        sin = np.sin(angles).astype(np.float32)[:, None, :]
        first, second = np.split(x, 2, axis=-1)
        return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
