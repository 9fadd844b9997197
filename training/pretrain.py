"""The base model's stage: next-token training on the corpus, resumable, seeded, data-parallel.

On a CPU each process has one thread and they average gradients, which is faster than one process
with as many threads. On a GPU one process does everything.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from training.corpus import Corpus
from training.model import ModelConfig, Qwen2

IGNORED = -100


@dataclass(frozen=True)
class PretrainConfig:
    """Settings of a run. ``batch_tokens`` counts the tokens of one optimizer step over all processes."""

    seed: int = 0
    batch_tokens: int = 8192
    peak_lr: float = 3e-3
    warmup: float = 0.03
    decay: float = 0.4
    weight_decay: float = 0.05
    clip: float = 1.0
    checkpoint_every: int = 100
    processes: int = 2
    port: int = 29511


def pretrain(corpus: Path, out: Path, model: ModelConfig, config: PretrainConfig) -> None:
    """Train on ``corpus`` once through, writing ``out``/checkpoint.pt and ``out``/log.jsonl.

    A run that finds its own checkpoint goes on from there.
    """
    out.mkdir(parents=True, exist_ok=True)
    if torch.cuda.is_available():
        _train(0, 1, corpus, out, model, config)
    else:
        mp.spawn(
            _train, args=(config.processes, corpus, out, model, config), nprocs=config.processes, join=True
        )


def batches(corpus: Corpus, *, seed: int, batch_tokens: int) -> Iterator[np.ndarray]:
    """The optimizer steps of one pass: indices of examples of similar length, in seeded order."""
    rng = np.random.default_rng(seed)
    lengths = np.diff(corpus.starts)
    chunk = 4096
    for begin in range(0, len(corpus), chunk):
        indices = np.arange(begin, min(begin + chunk, len(corpus)))
        indices = indices[np.argsort(lengths[indices], kind="stable")]
        groups: list[np.ndarray] = []
        first = 0
        while first < len(indices):
            last = first
            while (
                last < len(indices) and (last + 1 - first) * _padded(lengths[indices[last]]) <= batch_tokens
            ):
                last += 1
            groups.append(indices[first : max(last, first + 1)])
            first = max(last, first + 1)
        yield from (groups[i] for i in rng.permutation(len(groups)))


def _padded(length: int) -> int:
    return -(-int(length) // 16) * 16


def collate(corpus: Corpus, indices: np.ndarray) -> tuple[Tensor, Tensor]:
    """Token ids (B, T) and targets (B, T) shifted by one, padded to a multiple of 16; B may be 0."""
    width = _padded(max((corpus.starts[i + 1] - corpus.starts[i] for i in indices), default=0))
    token_ids = np.zeros((len(indices), width), dtype=np.int64)
    targets = np.full((len(indices), width), IGNORED, dtype=np.int64)
    for row, index in enumerate(indices):
        ids = corpus.token_ids[corpus.starts[index] : corpus.starts[index + 1]]
        token_ids[row, : len(ids)] = ids
        context = corpus.contexts[index]
        targets[row, context - 1 : len(ids) - 1] = ids[context:]
    return torch.from_numpy(token_ids), torch.from_numpy(targets)


def optimizers(model: Qwen2, config: PretrainConfig) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the layers, AdamW for embeddings, norms and biases."""
    matrices = [p for p in model.layers.parameters() if p.ndim == 2]
    chosen = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in chosen]
    return [
        torch.optim.Muon(
            matrices, lr=config.peak_lr, weight_decay=config.weight_decay, adjust_lr_fn="match_rms_adamw"
        ),
        torch.optim.AdamW(rest, lr=config.peak_lr, betas=(0.9, 0.95), weight_decay=0.0),
    ]


def schedule(step: int, total: int, config: PretrainConfig) -> float:
    """The share of the peak learning rate: linear warm-up, plateau, linear decay to a fiftieth."""
    warmup = max(1, int(config.warmup * total))
    decay = max(1, int(config.decay * total))
    return min(1.0, (step + 1) / warmup, max(0.02, (total - step) / decay))


def _train(
    rank: int, world: int, corpus_path: Path, out: Path, model_config: ModelConfig, config: PretrainConfig
) -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        torch.set_num_threads(1)
    if world > 1:
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(config.port))
        dist.init_process_group("gloo", rank=rank, world_size=world)
    torch.manual_seed(config.seed)
    corpus = Corpus.load(corpus_path)
    model = Qwen2(model_config).to(device)
    optims = optimizers(model, config)
    plan = list(batches(corpus, seed=config.seed, batch_tokens=config.batch_tokens))
    first = _resume(out, model, optims, device)
    began, seen = time.monotonic(), 0
    for step in range(first, len(plan)):
        share = schedule(step, len(plan), config)
        for optim in optims:
            for group in optim.param_groups:
                group["lr"] = share * config.peak_lr
        token_ids, targets = collate(corpus, plan[step][rank::world])
        loss, count = _backward(model, token_ids.to(device), targets.to(device), world)
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
        for optim in optims:
            optim.step()
            optim.zero_grad(set_to_none=True)
        seen += int(corpus.starts[plan[step] + 1].sum() - corpus.starts[plan[step]].sum())
        if rank == 0 and (step % 20 == 0 or step == len(plan) - 1):
            rate = seen / (time.monotonic() - began)
            left = (len(plan) - step - 1) / max(step + 1 - first, 1) * (time.monotonic() - began)
            record = {"step": step, "of": len(plan), "loss": round(loss / max(count, 1), 4)}
            record |= {
                "norm": round(float(norm), 3),
                "tokens_per_second": round(rate),
                "minutes_left": round(left / 60, 1),
            }
            with (out / "log.jsonl").open("a") as log:
                log.write(json.dumps(record) + "\n")
        if rank == 0 and ((step + 1) % config.checkpoint_every == 0 or step == len(plan) - 1):
            _save(out, model, optims, step + 1, model_config)
    if world > 1:
        dist.barrier()
        dist.destroy_process_group()


def _backward(model: Qwen2, token_ids: Tensor, targets: Tensor, world: int) -> tuple[float, float]:
    """Gradients of the mean loss over all processes; returns the summed loss and its token count."""
    if len(token_ids):
        logits = model(token_ids)
        total = F.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="sum"
        )
        total.backward()
        sums = torch.tensor([float(total.detach()), float((targets != IGNORED).sum())])
    else:
        sums = torch.zeros(2)
    gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in model.parameters()]
    if world > 1:
        flat = torch.cat([g.flatten() for g in gradients] + [sums])
        dist.all_reduce(flat)
        sums = flat[-2:].clone()
        for gradient, piece in zip(gradients, flat[:-2].split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(piece.view_as(gradient))
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        parameter.grad = gradient.div_(max(float(sums[1]), 1.0))
    return float(sums[0]), float(sums[1])


def _resume(out: Path, model: Qwen2, optims: list[torch.optim.Optimizer], device: str) -> int:
    path = out / "checkpoint.pt"
    if not path.exists():
        return 0
    state = torch.load(path, map_location=device, weights_only=True)
    model.load_state_dict(state["model"])
    for optim, stored in zip(optims, state["optimizers"], strict=True):
        optim.load_state_dict(stored)
    return int(state["step"])


def _save(
    out: Path, model: Qwen2, optims: list[torch.optim.Optimizer], step: int, model_config: ModelConfig
) -> None:
    partial = out / "checkpoint.pt.partial"
    torch.save(
        {
            "model": model.state_dict(),
            "optimizers": [optim.state_dict() for optim in optims],
            "step": step,
            "config": asdict(model_config),
        },
        partial,
    )
    partial.replace(out / "checkpoint.pt")


def parameter_count(config: ModelConfig) -> int:
    """How many parameters a model of this configuration has."""
    with torch.device("meta"):
        return sum(math.prod(p.shape) for p in Qwen2(config).parameters())
