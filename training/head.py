"""The head's stage: fit on traces, calibrate, describe, write ``head.safetensors``."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from mch_runtime.head.container import fingerprint, write_safetensors_head
from mch_runtime.head.fit import CHANNELS, FitConfig, TraceSet, fit, platt
from mch_runtime.head.network import step_logits
from mch_runtime.head.spec import Calibrator, Head, HeadSpec, Probe
from mch_runtime.llama.context import open_session
from mch_runtime.llama.model import open_model
from mch_runtime.loading import hidden_after
from mch_runtime.options import EngineOptions
from mch_runtime.session import Interrupt
from mch_runtime.statistics import FEATURE_NAMES
from prompts.dialects import shipped

PROBE_TOKENS = 16
PROBE_COSINE = 0.90


def make_head(
    base: Path, train: TraceSet, held_out: TraceSet, greedy: TraceSet, config: FitConfig, out: Path
) -> None:
    """Fit a head for the GGUF ``base`` and write it to ``out``.

    ``greedy`` are greedy chains that calibrate the confidence of fast mode.
    """
    fitted = fit(train, held_out, config, report=print)
    fingerprint_, token_ids, state = _probe(base)
    spec = HeadSpec(
        name="sage-pico-mch",
        base_architecture="qwen2",
        base_fingerprint=fingerprint_,
        probe=Probe(token_ids=token_ids, state=state, cosine=PROBE_COSINE),
        embedding_length=train.hidden.shape[1],
        width=config.width,
        head_count=config.head_count,
        rope_freq_base=config.rope_freq_base,
        rms_epsilon=config.rms_epsilon,
        statistics=FEATURE_NAMES,
        channels=CHANNELS,
        platt_scale=fitted.platt_scale,
        platt_bias=fitted.platt_bias,
        step_delimiter="\n",
        template=shipped()["sage-pico"].sha256,
        provenance={
            "data": "quantities, easy, 1-3 steps; sampled by the model itself, labelled by exact checkers",
            "chains": len(train.problems),
            "steps": len(train.step_ends),
            "held_out_chains": len(held_out.problems),
            "greedy_calibration_chains": len(greedy.problems),
            "held_out_loss": min(fitted.losses),
            "date": datetime.now(UTC).date().isoformat(),
        },
    )
    head = Head(spec, fitted.tensors)
    weight, bias = platt(_last_answer_logits(head, greedy), greedy.labels[greedy.last_steps, 2])
    fast = Calibrator(features=("answer_logit",), weight=(weight,), bias=bias)
    write_safetensors_head(Head(replace(spec, calibration={"fast": fast}), fitted.tensors), out)


def _probe(base: Path) -> tuple[str, tuple[int, ...], np.ndarray]:
    """The base's fingerprint, fixed tokens spread over its vocabulary, and the state after them."""
    options = EngineOptions(model=base, threads=1)
    with open_model(base) as model, open_session(model, options, Interrupt()) as session:
        size = session.vocabulary.size
        token_ids = tuple(size * (2 * k + 1) // (2 * PROBE_TOKENS) for k in range(PROBE_TOKENS))
        return fingerprint(model.fd, model.gguf), token_ids, hidden_after(session, token_ids)


def _last_answer_logits(head: Head, traces: TraceSet) -> np.ndarray:
    """The numpy head's ``answer`` logit at the last step of every chain."""
    logits = []
    for step in np.flatnonzero(traces.last_steps):
        first, end = traces.starts[traces.step_chains[step]], traces.step_ends[step]
        span = slice(first, first + end + 1)
        (row,) = step_logits(head, traces.hidden[span], traces.features[span], [end])
        logits.append(float(row[CHANNELS.index("answer")]))
    return np.array(logits)
