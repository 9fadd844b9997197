"""The preference stage: the model's own right answers over its own wrong ones to the same problem.

Direct preference optimization (Rafailov et al. 2023, arXiv 2305.18290): with r = log pi - log pi_start
of a whole solution, the loss is -log sigmoid(beta * (r_right - r_wrong)), here with a little of the plain
loss on the right solution, which keeps its probability from falling with the other's. What is right is
verified by the problem's exact checker, step by step, not only at the answer.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from mch_runtime.options import SamplingOptions
from mch_runtime.prompting import make_prompt
from mch_runtime.session import Session
from prompts.dialects import shipped
from training.corpus import Corpus
from training.curriculum import FULL, phase_problems
from training.model import ModelConfig, Qwen2
from training.pretrain import IGNORED, collate
from training.traces import Sampled, sample

CHAINS = 4


@dataclass(frozen=True)
class PreferenceConfig:
    """Settings. plain: the weight of the plain loss on right solutions, per token."""

    seed: int = 0
    beta: float = 0.1
    plain: float = 0.2
    lr: float = 1e-4
    pairs_per_step: int = 32
    epochs: int = 1


def sample_pairs(session: Session, *, problems: int, seed: int, rows: int) -> Corpus:
    """Sequences in pairs, right then wrong, one pair at most of each training problem."""
    sampling = SamplingOptions(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, seed=seed + 5000)
    stream = phase_problems(FULL[-1], seed=f"{seed}/preference")
    chains = sample(session, stream, count=problems, chains=CHAINS, sampling=sampling, rows=rows)
    sequences: list[tuple[list[int], int]] = []
    for _, group in groupby(chains, key=lambda one: one.problem_index):
        tried = list(group)
        right = next((one for one in tried if one.labels.answer and one.labels.steps[-1].sound), None)
        wrong = next((one for one in tried if not one.labels.answer), None)
        if right is not None and wrong is not None:
            sequences += [_sequence(session, right), _sequence(session, wrong)]
    lengths = [len(ids) for ids, _ in sequences]
    return Corpus(
        token_ids=np.array([token for ids, _ in sequences for token in ids], dtype=np.uint16),
        starts=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        contexts=np.array([context for _, context in sequences], dtype=np.int32),
    )


def _sequence(session: Session, one: Sampled) -> tuple[list[int], int]:
    """A chain with its prompt in front, and the prompt's length."""
    messages = [{"role": "user", "content": one.problem.question}]
    prompt = list(make_prompt(session.vocabulary, shipped()["sage-pico"], messages).token_ids)
    return prompt + list(one.chain.token_ids), len(prompt)


def prefer(pairs: Corpus, start: Path, out: Path, config: PreferenceConfig) -> None:
    """Train from the checkpoint ``start`` on pairs and write ``out``/checkpoint.pt and ``out``/log.jsonl."""
    torch.manual_seed(config.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    state = torch.load(start, map_location=device, weights_only=True)
    model = Qwen2(ModelConfig(**state["config"])).to(device)
    model.load_state_dict(state["model"])
    optim = torch.optim.AdamW(model.parameters(), lr=config.lr, weight_decay=0.0)
    plan = _plan(pairs, config)
    known: dict[int, Tensor] = {}
    with torch.no_grad():
        for indices in plan[: -(-len(pairs) // 2 // config.pairs_per_step)]:
            known |= dict(zip(indices.tolist(), _log_probs(model, pairs, indices, device)[0], strict=True))
    out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with (out / "log.jsonl").open("w") as log:
        for step, indices in enumerate(plan):
            for group in optim.param_groups:
                group["lr"] = config.lr * (1 - step / len(plan))
            sums, counts = _log_probs(model, pairs, indices, device)
            gain = sums - torch.stack([known[index] for index in indices.tolist()])
            margin = gain[0::2] - gain[1::2]
            preference = -F.logsigmoid(config.beta * margin).mean()
            loss = preference - config.plain * (sums[0::2] / counts[0::2]).mean()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optim.step()
            optim.zero_grad(set_to_none=True)
            record = {
                "step": step,
                "of": len(plan),
                "preference_loss": round(float(preference.detach()), 4),
                "right_preferred": round(float((margin > 0).float().mean()), 3),
                "seconds": round(time.monotonic() - began),
            }
            log.write(json.dumps(record) + "\n")
            log.flush()
    partial = out / "checkpoint.pt.partial"
    torch.save({"model": model.state_dict(), "config": asdict(model.config)}, partial)
    partial.replace(out / "checkpoint.pt")


def _plan(pairs: Corpus, config: PreferenceConfig) -> list[np.ndarray]:
    """The sequences of every step, right and wrong in turn; every epoch in an order of its own."""
    rng = np.random.default_rng(config.seed)
    plan: list[np.ndarray] = []
    for _ in range(config.epochs):
        order = rng.permutation(len(pairs) // 2)
        for first in range(0, len(order), config.pairs_per_step):
            chosen = order[first : first + config.pairs_per_step]
            plan.append(np.stack([2 * chosen, 2 * chosen + 1], axis=1).ravel())
    return plan


def _log_probs(model: Qwen2, pairs: Corpus, indices: np.ndarray, device: str) -> tuple[Tensor, Tensor]:
    """The log-probability of each solution (n,), and how many tokens it has (n,)."""
    token_ids, targets = (part.to(device) for part in collate(pairs, indices))
    counted = targets != IGNORED
    with torch.autocast(device, torch.bfloat16):
        logits = model.project(model.hidden(token_ids)[counted])
    each = torch.zeros(targets.shape, device=device)
    each[counted] = -F.cross_entropy(logits.float(), targets[counted], reduction="none")
    return each.sum(dim=1), counted.sum(dim=1)
