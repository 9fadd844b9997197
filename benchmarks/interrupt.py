"""``python -m benchmarks.interrupt``: how long after Ctrl-C llama.cpp has stopped, prefill and decoding.

A random model large enough to be slow reads a long prompt on one thread; SIGINT comes at a random
moment, and the clock stops when the session has given up.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import tempfile
import threading
from pathlib import Path
from time import perf_counter

import numpy as np

from benchmarks.record import print_table, write_record
from mch_runtime.errors import Interrupted
from mch_runtime.llama.context import LlamaSession, open_session
from mch_runtime.llama.model import open_model
from mch_runtime.options import EngineOptions
from mch_runtime.session import Feed, Interrupt
from tests.gguf_samples import write_model


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.interrupt", description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    interrupt = Interrupt()
    with tempfile.TemporaryDirectory() as folder:
        path = write_model(
            Path(folder) / "m.gguf", n_layer=8, n_embd=1024, n_head=16, ffn=4096, vocab=512, context=8192
        )
        options = EngineOptions(model=path, ctx_size=4096, threads=1)
        with open_model(path) as model, open_session(model, options, interrupt) as session:
            latencies = {
                "prefill": [_one(session, interrupt, rng, 4000) for _ in range(arguments.rounds)],
                "decoding": [_one(session, interrupt, rng, 1) for _ in range(arguments.rounds)],
            }
    figures = {
        phase: {f"p{q}_ms": round(1000 * float(np.quantile(values, q / 100)), 1) for q in (50, 99, 100)}
        for phase, values in latencies.items()
    }
    rows = [[phase, *(f"{v} ms" for v in row.values())] for phase, row in figures.items()]
    print_table("From SIGINT to Interrupted", ["phase", "median", "99th percentile", "worst"], rows)
    print(f"\nrecord: {write_record('interrupt', vars(arguments) | figures)}")


def _one(session: LlamaSession, interrupt: Interrupt, rng: random.Random, piece: int) -> float:
    """Seconds from the signal until decoding in pieces of ``piece`` tokens has stopped."""
    sent: list[float] = []

    def send() -> None:
        sent.append(perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, lambda *_: interrupt.request())
    timer = threading.Timer(rng.uniform(0.05, 0.5), send)
    try:
        with session.branch() as branch:
            timer.start()
            try:
                while branch.length + piece <= session.n_ctx:
                    session.decode([Feed.last(branch, [7] * piece)], lambda _: None)
            except Interrupted:
                return perf_counter() - sent[0]
            raise RuntimeError("the work was over before the signal came")
    finally:
        timer.cancel()
        interrupt.clear()
        signal.signal(signal.SIGINT, before)


if __name__ == "__main__":
    main()
