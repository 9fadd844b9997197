"""Next-token training on a corpus: resumable, seeded, data-parallel, products in bfloat16.

On a CPU each process has one thread and they average gradients, which is faster than one process
with as many threads. On a GPU one process does everything.
"""

from __future__ import annotations

import json
import math
import os
import socket
import time
from collections import defaultdict
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
GRAIN = 16


@dataclass(frozen=True)
class PretrainConfig:
    """Settings of a run.

    batch_tokens: of one optimizer step over all processes, padding included. compiled: fuse each layer's
    arithmetic with torch.compile, which pays from a few hundred steps on.
    """

    seed: int = 0
    batch_tokens: int = 8192
    peak_lr: float = 3e-3
    warmup: float = 0.03
    decay: float = 0.4
    weight_decay: float = 0.05
    clip: float = 1.0
    checkpoint_every: int = 100
    processes: int = 2
    compiled: bool = True


def pretrain(
    corpus: Path, out: Path, model: ModelConfig, config: PretrainConfig, *, start: Path | None = None
) -> None:
    """Train on ``corpus`` once through, writing ``out``/checkpoint.pt and ``out``/log.jsonl.

    A run that finds its own checkpoint goes on from there; else its weights are those of the checkpoint
    ``start``, if one is given.
    """
    out.mkdir(parents=True, exist_ok=True)
    if torch.cuda.is_available():
        _train(0, 1, corpus, out, model, config, start)
    else:
        run = (config.processes, corpus, out, model, config, start, _free_port())
        mp.spawn(_train, args=run, nprocs=config.processes, join=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def batches(corpus: Corpus, *, batch_tokens: int) -> list[np.ndarray]:
    """The optimizer steps of one pass over the examples in their order: indices of equal padded length."""
    waiting: dict[int, list[int]] = defaultdict(list)
    plan: list[np.ndarray] = []
    for index, length in enumerate(np.diff(corpus.starts)):
        width = _padded(length)
        waiting[width].append(index)
        if len(waiting[width]) == _rows(width, batch_tokens):
            plan.append(np.array(waiting.pop(width)))
    return plan + [np.array(rest) for _, rest in sorted(waiting.items())]


def _padded(length: int) -> int:
    return -(-int(length) // GRAIN) * GRAIN


def _rows(width: int, batch_tokens: int) -> int:
    return max(1, batch_tokens // width)


def collate(corpus: Corpus, indices: np.ndarray, *, batch_tokens: int = 0) -> tuple[Tensor, Tensor]:
    """Token ids (B, T) and targets (B, T) shifted by one.

    T is padded to a multiple of GRAIN, and B with empty rows up to ``batch_tokens``, so that every batch of
    one T has one shape: there are few to compile for.
    """
    width = _padded(max(corpus.starts[i + 1] - corpus.starts[i] for i in indices))
    rows = max(len(indices), _rows(width, batch_tokens))
    token_ids = np.zeros((rows, width), dtype=np.int64)
    targets = np.full((rows, width), IGNORED, dtype=np.int64)
    for row, index in enumerate(indices):
        ids = corpus.token_ids[corpus.starts[index] : corpus.starts[index + 1]]
        token_ids[row, : len(ids)] = ids
        context = corpus.contexts[index]
        targets[row, context - 1 : len(ids) - 1] = ids[context:]
    return torch.from_numpy(token_ids), torch.from_numpy(targets)


class Optimizers:
    """Muon for the matrices inside the layers, AdamW for embeddings, norms and biases.

    Muon is a fifth of a step's work, so each process updates its share of the matrices and sends them
    to the others.
    """

    def __init__(self, model: Qwen2, config: PretrainConfig, *, rank: int, world: int) -> None:
        matrices = [p for p in model.layers.parameters() if p.ndim == 2]
        chosen = {id(p) for p in matrices}
        rest = [p for p in model.parameters() if id(p) not in chosen]
        self._shares = [matrices[owner::world] for owner in range(world)]
        self._peak, self._world = config.peak_lr, world
        muon = torch.optim.Muon(
            self._shares[rank],
            lr=config.peak_lr,
            weight_decay=config.weight_decay,
            adjust_lr_fn="match_rms_adamw",
        )
        adam = torch.optim.AdamW(rest, lr=config.peak_lr, betas=(0.9, 0.95), weight_decay=0.0)
        self._own: list[torch.optim.Optimizer] = [muon, adam]

    def step(self, share: float) -> None:
        """Update all parameters with ``share`` of the peak learning rate."""
        for optim in self._own:
            for group in optim.param_groups:
                group["lr"] = share * self._peak
            optim.step()
        if self._world > 1:
            for owner, matrices in enumerate(self._shares):
                flat = torch.cat([m.detach().flatten() for m in matrices])
                dist.broadcast(flat, owner)
                for matrix, piece in zip(matrices, flat.split([m.numel() for m in matrices]), strict=True):
                    matrix.data.copy_(piece.view_as(matrix))

    def state(self) -> list[object]:
        """What to store, of all processes; all of them must ask."""
        mine = [optim.state_dict() for optim in self._own]
        gathered: list[object] = [mine] * self._world
        if self._world > 1:
            dist.all_gather_object(gathered, mine)
        return gathered

    def load(self, states: list[list[dict]], rank: int) -> None:
        """Go on from a stored state.

        Raises:
            ValueError: it was stored by another number of processes.
        """
        if len(states) != self._world:
            raise ValueError(f"the checkpoint was written by {len(states)} processes, not {self._world}")
        for optim, stored in zip(self._own, states[rank], strict=True):
            optim.load_state_dict(stored)


def schedule(step: int, total: int, config: PretrainConfig) -> float:
    """The share of the peak learning rate: linear warm-up, plateau, linear decay to a fiftieth."""
    warmup = max(1, int(config.warmup * total))
    decay = max(1, int(config.decay * total))
    return min(1.0, (step + 1) / warmup, max(0.02, (total - step) / decay))


def _train(
    rank: int,
    world: int,
    corpus_path: Path,
    out: Path,
    model_config: ModelConfig,
    config: PretrainConfig,
    start: Path | None = None,
    port: int = 0,
) -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        torch.set_num_threads(1)
    if world > 1:
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
        dist.init_process_group("gloo", rank=rank, world_size=world)
    torch.manual_seed(config.seed)
    corpus = Corpus.load(corpus_path)
    model = Qwen2(model_config).to(device)
    optims = Optimizers(model, config, rank=rank, world=world)
    plan = batches(corpus, batch_tokens=config.batch_tokens)
    first = _load(out, start, model, optims, rank, device)
    if config.compiled:
        torch._dynamo.config.recompile_limit = 256
        for layer in model.layers:
            layer.compile(dynamic=False)
    began, seen = time.monotonic(), 0
    for step in range(first, len(plan)):
        share = schedule(step, len(plan), config)
        token_ids, targets = collate(corpus, plan[step], batch_tokens=config.batch_tokens)
        token_ids, targets = token_ids[rank::world], targets[rank::world]
        loss, count = _backward(model, token_ids.to(device), targets.to(device), world)
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
        optims.step(share)
        model.zero_grad(set_to_none=True)
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
        if (step + 1) % config.checkpoint_every == 0 or step == len(plan) - 1:
            state = optims.state()
            if rank == 0:
                _save(out, model, state, step + 1)
    if world > 1:
        dist.barrier()
        dist.destroy_process_group()


def _backward(model: Qwen2, token_ids: Tensor, targets: Tensor, world: int) -> tuple[float, float]:
    """Gradients of the mean loss over all processes; returns the summed loss and its token count."""
    counted = targets != IGNORED
    if len(token_ids):
        with torch.autocast(token_ids.device.type, torch.bfloat16):
            # Only what carries loss meets the vocabulary.
            logits = model.project(model.hidden(token_ids)[counted])
        total = F.cross_entropy(logits.float(), targets[counted], reduction="sum")
        total.backward()
        sums = torch.tensor([float(total.detach()), float(counted.sum())])
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


def _load(out: Path, start: Path | None, model: Qwen2, optims: Optimizers, rank: int, device: str) -> int:
    """The step to begin with, after loading the run's own checkpoint, or else the starting weights."""
    path = out / "checkpoint.pt"
    if not path.exists():
        if start is not None:
            model.load_state_dict(torch.load(start, map_location=device, weights_only=True)["model"])
        return 0
    state = torch.load(path, map_location=device, weights_only=True)
    model.load_state_dict(state["model"])
    optims.load(state["optimizers"], rank)
    return int(state["step"])


def _save(out: Path, model: Qwen2, optimizers: list[object], step: int) -> None:
    partial = out / "checkpoint.pt.partial"
    state = {"model": model.state_dict(), "optimizers": optimizers, "step": step}
    torch.save(state | {"config": asdict(model.config)}, partial)
    partial.replace(out / "checkpoint.pt")


def parameter_count(config: ModelConfig) -> int:
    """How many parameters a model of this configuration has."""
    with torch.device("meta"):
        return sum(math.prod(p.shape) for p in Qwen2(config).parameters())
