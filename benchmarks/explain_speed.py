"""How fast explanations score tokens, beside a plain prefill of the same tokens by llama.cpp, in one run.

``python -m benchmarks.speed explain``. For each question its greedy chain is read by llama.cpp's low-level API
with nothing measured, again and again until as many tokens are read as an explanation scores, and then
explained. Ratios are formed chain by chain, so that a machine whose speed drifts does not matter.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import llama_cpp.llama_cpp as native
import numpy as np

from benchmarks.evaluation import draw
from benchmarks.native import fill
from benchmarks.record import RECORDS, print_table, write_record
from mch_runtime.engine import Engine
from mch_runtime.llama.context import LlamaSession
from mch_runtime.options import AskOptions, EngineOptions, ExplainOptions
from mch_runtime.prompting import make_prompt
from mch_runtime.trace import Trace
from prompts.dialects import Dialect, shipped
from sage_cli.explaining import SIDE_BY_SIDE
from training.traces import MAX_TOKENS

SEED = 11
PREFILL = "plain prefill"
WAYS = {
    "steps, commitment, consistency": ExplainOptions(
        monotonicity=False, control=False, premises=False, attention=False, alternatives=False
    ),
    "with monotonicity, attention, ablation": ExplainOptions(alternatives=False),
    "with alternatives too": ExplainOptions(),
}


def measure_explaining(
    model: Path, *, threads: int | None, rounds: int, variant: str, directory: Path = RECORDS
) -> None:
    """Measure ``rounds`` chains, print and record. variant: what to call the record of another model."""
    options = EngineOptions(model=model, threads=threads, max_sequences=SIDE_BY_SIDE)
    with Engine.open(options) as engine:
        rates, chains = _measure(engine, rounds)
    rows, figures = [], {}
    for name, rate in rates.items():
        low, middle, high = np.quantile(rate / rates[PREFILL], [0.25, 0.5, 0.75])
        rows.append([name, f"{np.median(rate):.0f}", f"{middle:.2f} [{low:.2f}, {high:.2f}]"])
        figures[name] = {
            "tokens_per_second": round(float(np.median(rate)), 1),
            "ratio": {"median": round(middle, 3), "q25": round(low, 3), "q75": round(high, 3)},
        }
    print_table(
        f"Explaining {chains} chains", ["way", "tokens/s", "ratio to the plain prefill, quartiles"], rows
    )
    results = {"model": model.name, "chains": chains, "threads": threads, "ways": figures}
    name = f"explain{variant and '_'}{variant}"
    print(f"\nrecord: {write_record('speed', results, variant=name, directory=directory)}")


def _measure(engine: Engine, rounds: int) -> tuple[dict[str, np.ndarray[Any, Any]], int]:
    """Tokens per second of every way, a figure for each chain."""
    dialect = shipped()["sage-pico"]
    rates: dict[str, list[float]] = {name: [] for name in (PREFILL, *WAYS)}
    chains = 0
    for place, problem in enumerate(draw("mixed", count=rounds + 1, seed=SEED)):
        trace = engine.ask(problem.question, AskOptions(max_tokens=MAX_TOKENS))
        if not trace.steps:
            continue
        of_chain = _rates(engine, dialect, trace)
        # Nothing is warm before the first one.
        if place:
            chains += 1
            for name, rate in of_chain.items():
                rates[name].append(rate)
            print(f"chain {chains}", file=sys.stderr)
    return {name: np.array(values) for name, values in rates.items()}, chains


def _rates(engine: Engine, dialect: Dialect, trace: Trace) -> dict[str, float]:
    assert isinstance(engine.session, LlamaSession)
    message = [{"role": "user", "content": trace.question}]
    prompt = make_prompt(engine.session.vocabulary, dialect, message).token_ids
    found, most = {}, 0
    for name, options in WAYS.items():
        began = perf_counter()
        scored = engine.explain(trace, options).trace.cost.scored_tokens
        found[name] = scored / (perf_counter() - began)
        most = max(most, scored)
    token_ids = [*prompt, *trace.token_ids]
    times = -(-most // len(token_ids))
    began = perf_counter()
    for _ in range(times):
        prefill(engine.session, token_ids)
    return {PREFILL: times * len(token_ids) / (perf_counter() - began), **found}


def prefill(session: LlamaSession, token_ids: Sequence[int]) -> None:
    """What a few lines of ctypes do: whole batches, logits of the last token alone."""
    context = session.handle.pointer
    memory = native.llama_get_memory(context)
    size = native.llama_n_batch(context)
    native.llama_set_embeddings(context, False)  # noqa: FBT003 - llama.cpp's own signature
    batch = native.llama_batch_init(size, 0, 1)
    try:
        for first in range(0, len(token_ids), size):
            part = token_ids[first : first + size]
            fill(batch, part, first=first, output=first + size >= len(token_ids))
            assert native.llama_decode(context, batch) == 0
        native.llama_synchronize(context)
    finally:
        native.llama_batch_free(batch)
        native.llama_memory_seq_rm(memory, 0, 0, -1)
        native.llama_set_embeddings(context, session.handle.outputs_all)
