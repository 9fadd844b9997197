"""``python -m benchmarks.speed``: sage's decoding beside llama-cpp-python's own loop, in one run.

Each round decodes the same number of greedy tokens after the same prompt in three ways, in turn:
llama-cpp-python's low-level API with nothing measured, sage without a head, sage with its head.
Ratios are formed round by round, so that a machine whose speed drifts does not matter.
--llama-bench adds llama.cpp's own program (target llama-bench of its build), which decodes behind an empty prompt in a
process of its own.
``python -m benchmarks.speed explain`` measures explanations instead, see ``benchmarks/explain_speed.py``, and
``votes`` many chains side by side, see ``benchmarks/vote_speed.py``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter

import llama_cpp.llama_cpp as native
import numpy as np

from benchmarks.explain_speed import measure_explaining
from benchmarks.native import Endless, fill
from benchmarks.record import print_table, write_record
from benchmarks.vote_speed import CHAINS, measure_votes
from mch_runtime.chain import Chain, start_chains, write_chains
from mch_runtime.head.spec import Head
from mch_runtime.head.witness import HeadWitness
from mch_runtime.llama.context import LlamaSession, open_session, thread_counts
from mch_runtime.llama.model import open_model
from mch_runtime.loading import fit_head
from mch_runtime.options import EngineOptions, SamplingOptions
from mch_runtime.session import Interrupt
from mch_runtime.statistics import FEATURE_NAMES
from sage_cli import assets
from tests.head_samples import random_head

PROMPT = list(range(1, 33))
STEP = 24  # tokens


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument("what", nargs="?", choices=("decode", "explain", "votes"), default="decode")
    parser.add_argument("--model", type=Path, default=assets.DEFAULT_MODEL)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, help="default: what sage takes for the model")
    parser.add_argument("--llama-bench", type=Path, help="llama.cpp's program, to be measured beside")
    parser.add_argument(
        "--random-head", action="store_true", help=f"of random weights, with steps of {STEP} tokens"
    )
    parser.add_argument("--variant", default="", help="what to call the record of another model")
    parser.add_argument(
        "--chains", type=int, nargs="+", default=CHAINS, help="of votes: how many side by side"
    )
    arguments = parser.parse_args()
    if arguments.what == "explain":
        measure_explaining(
            arguments.model,
            threads=arguments.threads,
            rounds=arguments.rounds,
            variant=arguments.variant,
        )
        return
    if arguments.what == "votes":
        measure_votes(
            arguments.model,
            threads=arguments.threads,
            tokens=arguments.tokens,
            rounds=arguments.rounds,
            chains=arguments.chains,
            variant=arguments.variant,
        )
        return
    options = EngineOptions(model=arguments.model, ctx_size=1024, threads=arguments.threads)
    with open_model(options.model) as model, open_session(model, options, Interrupt()) as session:
        head, steps = fit_head(model, session, options).head, 0
        if arguments.random_head:
            head, steps = _random_head(session), STEP
        threads = thread_counts(model, options)[0]
        tokens = arguments.tokens
        ways: dict[str, Callable[[], float]] = {
            "bare loop": _timed(lambda: _bare(session, tokens)),
            "sage, no head": _timed(lambda: _sage(session, None, tokens, steps)),
        }
        if head is not None:
            ways["sage with head"] = _timed(lambda: _sage(session, head, tokens, steps))
        if arguments.llama_bench:
            ways["llama-bench"] = lambda: _llama_bench(
                arguments.llama_bench, arguments.model, tokens, threads
            )
        rates = _measure(ways, arguments.rounds, tokens)
    bare = rates["bare loop"]
    results = {"model": arguments.model.name, "tokens": arguments.tokens, "rounds": arguments.rounds}
    rows, figures = [], {}
    for name, rate in rates.items():
        low, middle, high = np.quantile(rate / bare, [0.25, 0.5, 0.75])
        rows.append([name, f"{np.median(rate):.0f}", f"{middle:.2f} [{low:.2f}, {high:.2f}]"])
        figures[name] = {
            "tokens_per_second": round(float(np.median(rate)), 1),
            "ratio": {"median": round(middle, 3), "q25": round(low, 3), "q75": round(high, 3)},
        }
    print_table("Decoding one sequence", ["way", "tokens/s", "ratio to the bare loop, quartiles"], rows)
    print(
        f"\nrecord: {write_record('speed', results | {'threads': threads, 'ways': figures}, variant=arguments.variant)}"
    )


def _measure(ways: dict[str, Callable[[], float]], rounds: int, tokens: int) -> dict[str, np.ndarray]:
    """Tokens per second of each way, (rounds,)."""
    for way in ways.values():
        way()
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            seconds[name].append(way())
    return {name: tokens / np.array(values) for name, values in seconds.items()}


def _timed(way: Callable[[], None]) -> Callable[[], float]:
    """Its seconds."""

    def measured() -> float:
        began = perf_counter()
        way()
        return perf_counter() - began

    return measured


def _llama_bench(program: Path, model: Path, tokens: int, threads: int) -> float:
    """Seconds that it says it took, without loading."""
    counts = ["-p", "0", "-n", str(tokens), "-r", "1", "-t", str(threads)]
    command = [str(program), "-m", str(model), *counts, "-o", "json"]
    found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return float(found[0]["avg_ns"]) / 1e9


def _random_head(session: LlamaSession) -> Head:
    """As large as those that ``sage head fit`` makes, for a model without one."""
    return random_head(d=session.n_embd, width=128, head_count=4, statistics=FEATURE_NAMES, calibration={})


def _bare(session: LlamaSession, tokens: int) -> None:
    """What a few lines of ctypes do: one token a batch, greedy, through llama.cpp's sampler."""
    context = session.handle.pointer
    memory = native.llama_get_memory(context)
    native.llama_memory_seq_rm(memory, 0, 0, -1)
    native.llama_set_embeddings(context, False)  # noqa: FBT003 - llama.cpp's own signature
    sampler = native.llama_sampler_init_greedy()
    batch = native.llama_batch_init(len(PROMPT), 0, 1)
    try:
        fill(batch, PROMPT, first=0)
        for position in range(len(PROMPT), len(PROMPT) + tokens):
            assert native.llama_decode(context, batch) == 0
            fill(batch, [native.llama_sampler_sample(sampler, context, -1)], first=position)
    finally:
        native.llama_batch_free(batch)
        native.llama_sampler_free(sampler)
        native.llama_memory_seq_rm(memory, 0, 0, -1)
        native.llama_set_embeddings(context, session.handle.outputs_all)


def _sage(session: LlamaSession, head: Head | None, tokens: int, steps: int) -> None:
    witness = HeadWitness(head, calibrated=lambda: True) if head is not None else None
    with ExitStack() as stack:
        sampler = stack.enter_context(session.sampler(SamplingOptions(), seed=0))
        chain = Chain(Endless(session, steps=steps), sampler, max_tokens=tokens, witness=witness)
        write_chains(session, start_chains(session, stack, [(PROMPT, [chain])]))


if __name__ == "__main__":
    main()
