"""Fitting a head to labelled traces, and its calibration. Needs torch, imported when called.

The loss is the cross-entropy of every channel at every step end, plus a pairwise loss on the
``answer`` channel between a right and a wrong chain of the same problem: without it a head learns
which problems are hard, and cannot tell chains of one problem apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mch_runtime.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

CHANNELS = ("valid", "sound", "answer")
POOL = 16


@dataclass(frozen=True, kw_only=True)
class TraceSet:
    """Labelled chains, flat.

    hidden: (n_tokens, d) float16, which may be a mapped file; features: (n_tokens, n_s) float32;
    starts: (n_chains + 1,) where each chain's tokens begin; problems: (n_chains,) which problem a
    chain answers, chains of one problem next to each other;
    step_chains: (n_steps,); step_ends: (n_steps,) index within the chain;
    labels: (n_steps, 3) of 0 and 1, nan where unknown, in the order of CHANNELS; is_answer: (n_steps,) answer lines.
    ``answer`` is always known.
    """

    hidden: NDArray[np.float16]
    features: NDArray[np.float32]
    starts: NDArray[np.int64]
    problems: NDArray[np.int64]
    step_chains: NDArray[np.int64]
    step_ends: NDArray[np.int64]
    labels: NDArray[np.float32]
    is_answer: NDArray[np.bool_]

    @property
    def last_steps(self) -> NDArray[np.bool_]:
        """(n_steps,) whether a step is its chain's last."""
        following = np.append(self.step_chains[1:], -1)
        return np.asarray(self.step_chains != following)


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """Shape of the head and settings of the fit.

    attention, statistics: without them those tensors stay zero, for comparison; the same forward pass
    runs such a head. pairwise: weight of the loss between chains of one problem. dropout: of the normed
    hidden states, while training. averaging: how much of the running average of the weights an update keeps.
    """

    width: int = 128
    head_count: int = 4
    rope_freq_base: float = 10_000.0
    rms_epsilon: float = 1e-6
    epochs: int = 12
    patience: int = 3
    chains_per_batch: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    pairwise: float = 0.5
    dropout: float = 0.1
    averaging: float = 0.995
    attention: bool = True
    statistics: bool = True
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class FittedHead:
    """Tensors by name, (out, in) float32; Platt scaling per channel; the loss of each epoch."""

    tensors: Mapping[str, NDArray[np.float32]]
    platt_scale: tuple[float, ...]
    platt_bias: tuple[float, ...]
    losses: tuple[float, ...] = field(default=())


def fit(
    train: TraceSet, held_out: TraceSet, config: FitConfig, *, report: Callable[[str], None] = lambda _: None
) -> FittedHead:
    """Fit on ``train``; stop early and calibrate on ``held_out``. Raises UsageError without torch."""
    torch = import_torch()
    torch.manual_seed(config.seed)
    network = build_network(train.hidden.shape[1], train.features.shape[1], config)
    losses: list[float] = []
    best: dict[str, Any] = {}
    for epoch, average in enumerate(_epochs(network, train, config)):
        held = _mean_loss(average, held_out, config)
        report(f"epoch {epoch + 1}/{config.epochs}: held-out loss {held:.4f}")
        if held < min(losses, default=float("inf")):
            best = {name: value.detach().clone() for name, value in average.state_dict().items()}
        losses.append(held)
        if epoch - int(np.argmin(losses)) >= config.patience:
            break
    network.load_state_dict(best)
    logits = step_logits(network, held_out, config.chains_per_batch)
    pairs = []
    for k in range(len(CHANNELS)):
        known = np.isfinite(held_out.labels[:, k])
        pairs.append(platt(logits[known, k], held_out.labels[known, k]))
    scale, bias = zip(*pairs, strict=True)
    return FittedHead(
        tensors=network.named_tensors(), platt_scale=scale, platt_bias=bias, losses=tuple(losses)
    )


def _epochs(network: Any, train: TraceSet, config: FitConfig) -> Iterator[Any]:
    """Train, and yield after every epoch the network whose weights are the running average of the way.

    There are few pairs of chains to learn from, and single updates are noisy: the average is better.
    """
    torch = import_torch()
    rng = np.random.default_rng(config.seed)
    average = build_network(train.hidden.shape[1], train.features.shape[1], config)
    average.load_state_dict(network.state_dict())
    optimizer = torch.optim.AdamW(
        [weight for weight in network.parameters() if weight.requires_grad],
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
    )
    total = config.epochs * -(-len(train.problems) // config.chains_per_batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.learning_rate, total_steps=total)
    updates = 0
    for _ in range(config.epochs):
        network.train()
        for chains in _chain_batches(train, config.chains_per_batch, rng):
            optimizer.zero_grad()
            _loss(network, train, chains, config.pairwise).backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            updates += 1
            pull = max(1 - config.averaging, 9 / (9 + updates))
            with torch.no_grad():
                for mean, weight in zip(average.parameters(), network.parameters(), strict=True):
                    mean.lerp_(weight, pull)
        yield average


def import_torch() -> Any:
    """torch, or one sentence about how to get it."""
    try:
        import torch
    except ImportError as error:
        raise UsageError(
            "fitting a head needs torch, which is not installed", hint="pip install torch==2.13.0"
        ) from error
    return torch


def build_network(d: int, n_statistics: int, config: FitConfig) -> Any:
    """The head as a torch module.

    forward(hidden (B, T, d), features (B, T, n_s), ends (B, S)) -> channel logits (B, S, K), computed at
    the ends alone.
    """
    torch = import_torch()
    nn = torch.nn
    p, size = config.width, config.width // config.head_count

    class Network(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.in_norm = nn.RMSNorm(d, config.rms_epsilon)
            self.inward = nn.Linear(d, p)
            self.stat = nn.Linear(n_statistics, p, bias=False)
            self.attn_q, self.attn_k, self.attn_v, self.attn_out = (
                nn.Linear(p, p, bias=False) for _ in range(4)
            )
            self.out_norm = nn.RMSNorm(p, config.rms_epsilon)
            self.confidence = nn.Linear(p, len(CHANNELS))
            off = [self.stat] * (not config.statistics)
            off += [self.attn_q, self.attn_k, self.attn_v, self.attn_out] * (not config.attention)
            for part in off:
                nn.init.zeros_(part.weight)
                part.weight.requires_grad = False

        def forward(self, hidden: Tensor, features: Tensor, ends: Tensor) -> Tensor:
            normed = nn.functional.dropout(self.in_norm(hidden), config.dropout, self.training)
            x = self.inward(normed) + self.stat(features)
            y = x.gather(1, ends[..., None].expand(-1, -1, p))
            if config.attention:
                y = y + self.attn_out(self._mixed(x, y, ends))
            return self.confidence(self.out_norm(y))

        def _mixed(self, x: Tensor, at_ends: Tensor, ends: Tensor) -> Tensor:
            """What the ends (B, S) see of all tokens up to them, (B, S, p)."""
            places = torch.arange(x.shape[1]).expand(x.shape[:2])
            q = self._rotated(self._heads(self.attn_q(at_ends)), ends)
            k = self._rotated(self._heads(self.attn_k(x)), places)
            seen = places[:, None, :] <= ends[..., None]
            mixed = nn.functional.scaled_dot_product_attention(
                q, k, self._heads(self.attn_v(x)), attn_mask=seen[:, None]
            )
            return mixed.transpose(1, 2).flatten(2)

        def _heads(self, x: Tensor) -> Tensor:
            return x.unflatten(-1, (config.head_count, size)).transpose(1, 2)

        def _rotated(self, x: Tensor, places: Tensor) -> Tensor:
            half = torch.arange(size // 2, dtype=torch.float64)
            angles = places[:, None, :, None] * config.rope_freq_base ** (-2.0 * half / size)
            cos, sin = angles.cos().float(), angles.sin().float()
            first, second = x.chunk(2, dim=-1)
            return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)

        def named_tensors(self) -> dict[str, NDArray[np.float32]]:
            """The tensors under the names of the head's file format."""
            own = {name: value.detach().numpy() for name, value in self.state_dict().items()}
            return {f"mch.{name.replace('inward', 'in')}": value.copy() for name, value in own.items()}

    return Network()


def step_logits(network: Any, traces: TraceSet, chains_per_batch: int) -> NDArray[np.float64]:
    """Raw channel logits (n_steps, K) at every step end of ``traces``, in order."""
    torch = import_torch()
    network.eval()
    result = np.empty((len(traces.step_ends), len(CHANNELS)))
    with torch.no_grad():
        for chains in _chain_batches(traces, chains_per_batch, None):
            steps, outputs = _forward(network, traces, chains)
            result[steps] = outputs.numpy()
    return result


def platt(logits: NDArray[np.float64], labels: NDArray[np.float32]) -> tuple[float, float]:
    """Scale and bias of sigmoid(a * logit + b) of least cross-entropy, by Newton's method.

    Platt's smoothed targets keep it finite where the labels are separable.
    """
    positives = float(labels.sum())
    negatives = len(labels) - positives
    targets = np.where(labels > 0.5, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    design = np.stack([logits, np.ones_like(logits)], axis=1)
    weight = np.array([1.0, 0.0])
    for _ in range(50):
        p = 1.0 / (1.0 + np.exp(-np.clip(design @ weight, -50, 50)))
        gradient = design.T @ (p - targets)
        curvature = (design * (p * (1 - p))[:, None]).T @ design + 1e-6 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        weight -= step
        if np.abs(step).max() < 1e-9:
            break
    return float(weight[0]), float(weight[1])


def _chain_batches(traces: TraceSet, size: int, rng: np.random.Generator | None) -> list[NDArray[np.int64]]:
    """Chains of the same problem together, and chains of like length, so that little is padding.

    With an rng problems come in random order, sorted by length within stretches of POOL batches only.
    """
    lengths = np.diff(traces.starts)
    _, problems = np.unique(traces.problems, return_inverse=True)
    longest = np.zeros(int(problems.max()) + 1, dtype=np.int64)
    np.maximum.at(longest, problems, lengths)
    rank = np.arange(len(longest)) if rng is None else rng.permutation(len(longest))
    per_pool = len(longest) if rng is None else max(1, POOL * size * len(longest) // len(problems))
    pool = rank[problems] // per_pool
    order = np.lexsort((rank[problems], longest[problems], pool))
    batches = [order[first : first + size] for first in range(0, len(order), size)]
    return [batches[k] for k in rng.permutation(len(batches))] if rng is not None else batches


def _forward(network: Any, traces: TraceSet, chains: NDArray[np.int64]) -> tuple[NDArray[np.int64], Any]:
    """Indices of the steps of ``chains`` and their logits (n, K)."""
    torch = import_torch()
    longest = int((traces.starts[chains + 1] - traces.starts[chains]).max())
    hidden = np.zeros((len(chains), longest, traces.hidden.shape[1]), dtype=np.float32)
    features = np.zeros((len(chains), longest, traces.features.shape[1]), dtype=np.float32)
    for row, chain in enumerate(chains):
        span = slice(traces.starts[chain], traces.starts[chain + 1])
        hidden[row, : span.stop - span.start] = traces.hidden[span]
        features[row, : span.stop - span.start] = traces.features[span]
    first, behind = (np.searchsorted(traces.step_chains, chains, side=side) for side in ("left", "right"))
    counts = behind - first
    rows = np.repeat(np.arange(len(chains)), counts)
    columns = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    steps = first[rows] + columns
    ends = np.zeros((len(chains), int(counts.max())), dtype=np.int64)
    ends[rows, columns] = traces.step_ends[steps]
    outputs = network(*map(torch.from_numpy, (hidden, features, ends)))
    return steps, outputs[torch.from_numpy(rows), torch.from_numpy(columns)]


def _loss(network: Any, traces: TraceSet, chains: NDArray[np.int64], pairwise: float) -> Any:
    torch = import_torch()
    functional = torch.nn.functional
    steps, logits = _forward(network, traces, chains)
    labels = torch.from_numpy(traces.labels[steps])
    known = torch.isfinite(labels)
    loss = functional.binary_cross_entropy_with_logits(logits[known], labels[known])
    last = torch.from_numpy(traces.last_steps[steps])
    answers, right = logits[last][:, CHANNELS.index("answer")], labels[last][:, CHANNELS.index("answer")]
    problems = torch.from_numpy(traces.problems[traces.step_chains[steps]])[last]
    pairs = (problems[:, None] == problems) & (right[:, None] > right)
    if pairwise and pairs.any():
        loss = loss + pairwise * functional.softplus(-(answers[:, None] - answers)[pairs]).mean()
    return loss


def _mean_loss(network: Any, traces: TraceSet, config: FitConfig) -> float:
    torch = import_torch()
    network.eval()
    with torch.no_grad():
        batches = _chain_batches(traces, config.chains_per_batch, None)
        return float(np.mean([float(_loss(network, traces, chains, config.pairwise)) for chains in batches]))
