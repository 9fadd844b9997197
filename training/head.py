"""The head's stage: fit on traces, calibrate, describe, write ``head.safetensors``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from mch_runtime.familiarity import read_questions
from mch_runtime.head.container import fingerprint, write_safetensors_head
from mch_runtime.head.fit import CHANNELS, FitConfig, TraceSet, fit, platt
from mch_runtime.head.network import step_logits
from mch_runtime.head.spec import Calibrator, Familiarity, Head, HeadSpec, Probe
from mch_runtime.llama.context import open_session
from mch_runtime.llama.model import LlamaModel, open_model
from mch_runtime.loading import hidden_after
from mch_runtime.options import EngineOptions
from mch_runtime.prompting import make_prompt
from mch_runtime.session import Interrupt, Session
from mch_runtime.statistics import FEATURE_NAMES
from prompts.dialects import shipped
from training.problems import Problem

PROBE_TOKENS = 16
PROBE_COSINE = 0.97
WINDOW = 8
FALSE_ALARMS = 0.01


def make_head(
    base: Path,
    train: TraceSet,
    held_out: TraceSet,
    greedy: TraceSet,
    questions: Iterable[Problem],
    config: FitConfig,
    out: Path,
    *,
    data: str,
) -> Head:
    """Fit a head for the GGUF ``base`` and write it to ``out``.

    ``held_out`` stops the fit and calibrates the channels. ``greedy`` are greedy chains that calibrate the
    confidence of fast mode, and ``questions`` set the threshold of familiarity: both of the validation split,
    in the mixture that users are told to expect. data: what the traces are, in words.
    """
    fitted = fit(train, held_out, config, report=print)
    with _session(base) as (model, session):
        fingerprint_, probe = fingerprint(model.fd, model.gguf), _probe(session)
        familiarity = familiarity_of(session, questions)
    spec = HeadSpec(
        name="sage-pico-mch",
        base_architecture="qwen2",
        base_fingerprint=fingerprint_,
        probe=probe,
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
        familiarity=familiarity,
        provenance={
            "data": data,
            "chains": len(train.problems),
            "steps": len(train.step_ends),
            "held_out_chains": len(held_out.problems),
            "greedy_calibration_chains": len(greedy.problems),
            "held_out_loss": min(fitted.losses),
            "familiarity_false_alarms": FALSE_ALARMS,
            "date": datetime.now(UTC).date().isoformat(),
        },
    )
    head = Head(spec, fitted.tensors)
    weight, bias = platt(_last_answer_logits(head, greedy), greedy.labels[greedy.last_steps, 2])
    fast = Calibrator(features=("answer_logit",), weight=(weight,), bias=bias)
    head = Head(replace(spec, calibration={"fast": fast}), fitted.tensors)
    write_safetensors_head(head, out)
    return head


def familiarity_of(session: Session, questions: Iterable[Problem], *, window: int = WINDOW) -> Familiarity:
    """The threshold under which one in a hundred of these questions falls.

    Raises ValueError for fewer than 100 questions.
    """
    scores = sorted(question_scores(session, (one.question for one in questions), window=window))
    if len(scores) < 1 / FALSE_ALARMS:
        raise ValueError(f"{len(scores)} questions are too few for a share of {FALSE_ALARMS:g}")
    return Familiarity(threshold=scores[int(len(scores) * FALSE_ALARMS)], window=window)


def question_scores(
    session: Session, questions: Iterable[str], *, window: int, rows: int = 32
) -> Iterator[float]:
    """How familiar each question is: its lowest mean log-probability over a window, nats per token."""
    dialect = shipped()["sage-pico"]
    prompts = (make_prompt(session.vocabulary, dialect, [{"role": "user", "content": q}]) for q in questions)
    return read_questions(session, prompts, window=window, rows=rows)


@contextmanager
def _session(base: Path) -> Iterator[tuple[LlamaModel, Session]]:
    options = EngineOptions(model=base, threads=1, max_sequences=32, ctx_size=32 * 512)
    with open_model(base) as model, open_session(model, options, Interrupt()) as session:
        yield model, session


def _probe(session: Session) -> Probe:
    """Fixed tokens spread over the base's vocabulary, and the state after them."""
    size = session.vocabulary.size
    token_ids = tuple(size * (2 * k + 1) // (2 * PROBE_TOKENS) for k in range(PROBE_TOKENS))
    return Probe(token_ids=token_ids, state=hidden_after(session, token_ids), cosine=PROBE_COSINE)


def _last_answer_logits(head: Head, traces: TraceSet) -> np.ndarray:
    """The numpy head's ``answer`` logit at the last step of every chain."""
    logits = []
    for step in np.flatnonzero(traces.last_steps):
        first, end = traces.starts[traces.step_chains[step]], traces.step_ends[step]
        span = slice(first, first + end + 1)
        (row,) = step_logits(head, traces.hidden[span], traces.features[span], [end])
        logits.append(float(row[CHANNELS.index("answer")]))
    return np.array(logits)
